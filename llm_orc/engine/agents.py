"""What the four bodies of an agent do when it is its turn."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any, assert_never

from llm_orc.domain.ensemble import CommandAgent, EnsembleAgent, FunctionAgent, ModelAgent, ScriptAgent
from llm_orc.domain.event import Happening, Received, Reused, Sent, Started, Warned
from llm_orc.domain.files import NoFiles
from llm_orc.domain.item import told
from llm_orc.domain.message import NO_USAGE, Attachment, FailedError, Failure, Kind, Message, Outcome, Reply, Request, Tell, Usage
from llm_orc.domain.plan import PlannedAgent
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.profile import Profile
from llm_orc.domain.prompt import default_prompt
from llm_orc.domain.reuse import Parts
from llm_orc.domain.said import MISSING, Scope, as_json, json_or_none, said, selected, text_of
from llm_orc.domain.shortening import Material, material_of
from llm_orc.engine.asks import Turn, asking
from llm_orc.engine.limits import Place
from llm_orc.engine.means import Means
from llm_orc.engine.programs import Program, run_program, surroundings
from llm_orc.engine.pure import parts_of_command, parts_of_script

_LARGE = 256 * 1024
_SHORT = 1_000
_PER_SHORT = 1_000


@dataclass(frozen=True, slots=True)
class Call:
    """One agent, or one item of a fan-out, at the moment of its turn."""

    id: str
    planned: PlannedAgent
    scope: Scope
    turn: Turn
    means: Means
    tell: Tell
    history: tuple[Message, ...] = ()
    """What was said before, of a turn."""

    async def reply(self) -> Reply:
        """What a model, script, command or function says; raises FailedError."""
        try:
            return await self._by_body()
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            raise FailedError(Failure(Kind.CANCELLED, "it cancelled itself")) from None  # a stranger's code: nobody cancelled us

    async def _by_body(self) -> Reply:
        agent = self.planned.agent
        match agent:
            case ModelAgent():
                return await self._ask_model()
            case ScriptAgent():
                return await self._run_script(agent)
            case CommandAgent():
                return await self._run_command(agent)
            case FunctionAgent():
                return await self._call(agent)
            case EnsembleAgent():
                message = f"'{self.id}' opens a child run, which is no single call"
                raise TypeError(message)
            case _:
                assert_never(agent)

    def prompt(self) -> str:
        """What the agent is told: its prompt where that says it all, else its task and the default prompt."""
        template = self.planned.prompt
        if template is not None and template.tagged:
            return template.render(self.scope)
        parts = [template.text if template is not None else "", self._default_prompt()]
        return "\n\n".join(part for part in parts if part)

    def work(self) -> str:
        """What a command or child works on: its prompt, else what `input_key` selects, else the default prompt (a command: its input)."""
        if self.planned.prompt is not None:
            return self.prompt()
        if self._selects:
            return self._selected_text()
        return self._default_prompt() if isinstance(self.planned.agent, EnsembleAgent) else self.scope.own_input

    @property
    def _selects(self) -> bool:
        # With `fan_out: true` the key has already selected the items.
        return self.planned.agent.input_key is not None and self.planned.agent.fan_out is not True

    def _selected_text(self) -> str:
        first, key = self.planned.depends_on[0], self.planned.agent.input_key or ""
        return text_of(selected(first, self.scope.outcomes[first], key))

    def _default_prompt(self) -> str:
        sections = {name: said(name, self.scope.outcomes[name]) for name in self.planned.depends_on}
        if self._selects:
            first = self.planned.depends_on[0]
            sections[first] = said(first, Outcome("succeeded", Reply(self._selected_text())))
        sections = {name: section for name, section in sections.items() if name not in self.planned.listed_by}
        return default_prompt(self.scope.own_input, sections.values())

    async def _ask_model(self) -> Reply:
        planned, profile = self.planned, self.planned.profile
        if profile is None:
            message = f"'{self.id}' was planned without a profile"
            raise TypeError(message)
        prompt = self.prompt()
        self.turn.began = Started(self.id, prompt, profile.name, profile.provider, profile.model)
        took = _Took(self.tell)
        request = Request(self.id, (*self.history, Message("user", prompt, await self._attachments())), profile, self.means.stream)
        reply = took.all_of(await asking(planned, self.turn, self.means, self._material)(request, took.tell))
        if planned.shape is None or reply.mismatch:
            return reply
        try:
            return replace(reply, text=planned.shape.render(replace(self.scope, output=reply.value)))
        except FailedError as error:
            error.partial = reply.text
            raise

    def _material(self) -> list[Material]:
        """What was put into its prompt, as far as somebody may have to shorten it."""
        return list(material_of(self.scope))

    async def _attachments(self) -> tuple[Attachment, ...]:
        """The files that it is sent, each once; what a person should know of them is told. Raises FailedError."""
        sent: dict[Attachment, None] = {}
        for each in self.planned.attachments:
            sent[each if isinstance(each, Attachment) else await self._looked_up(each.render(self.scope).strip())] = None
        for each in filter(attrgetter("remark"), sent):
            self.tell(Warned(self.id, each.remark))
        return tuple(sent)

    async def _looked_up(self, name: str) -> Attachment:
        """A file whose name only the run tells."""
        if not name:
            raise FailedError(Failure(Kind.MALFORMED, "'attachments': the name of a file is empty"))
        files = self.planned.files or NoFiles()
        try:
            return await asyncio.to_thread(files.attachment, name, filled=True)
        except ProblemError as error:
            problem = error.problems[0]
            raise FailedError(Failure(Kind.INVALID_REQUEST, problem.what, problem.hint), usage=NO_USAGE) from None

    async def _run_script(self, agent: ScriptAgent) -> Reply:
        program = self.planned.program or agent.script
        argv = [self.means.python, program] if program.endswith(".py") else [program]
        attachments = await self._attachments()
        handed: dict[str, Any] = {
            "input": self._selected_text() if self._selects else self.scope.input,
            "parameters": agent.parameters or None,
            "dependencies": {name: self._told(self.scope.outcomes[name]) for name in self.planned.depends_on} or None,
            "item": None if self.scope.item is MISSING else told(self.scope.item),
            "variables": dict(self.scope.variables) or None,
            "attachments": [_attached(each) for each in attachments] or None,
        }
        size = len(self.scope.input) + sum(len(self.scope.outcomes[name].text) for name in self.planned.depends_on)
        stdin = await asyncio.to_thread(_encoded, handed) if size > _LARGE else _encoded(handed)
        run = Program(agent.script, argv, str(self.means.cwd), surroundings(self.means.env, agent.env))
        return await self._said(agent, run, stdin, lambda: parts_of_script(agent, run, handed, attachments))

    def _told(self, outcome: Outcome) -> Mapping[str, Any]:
        """What a script hears of a dependency."""
        text = outcome.reply.text if outcome.reply else None
        said = {"status": outcome.status, "ok": outcome.ok, "cause": outcome.cause or None, "text": text, "json": json_or_none(outcome)}
        return {**said, "spent": self._spent(outcome)}

    def _spent(self, outcome: Outcome) -> Mapping[str, Any] | None:
        """What a dependency that asks models took, each child of a fan-out too, and what its model costs; None for programs."""
        if outcome.profile is None and not outcome.usage.total:
            return None
        children = [{"ok": child.ok, **_took(child)} for child in outcome.children] if outcome.fanned_out else None
        return {**_took(outcome), "price": self._price(outcome.profile), "children": children}

    def _price(self, profile: Profile | None) -> Mapping[str, float] | None:
        """US dollars per million tokens of a short prompt, and of its reply."""
        pricing = self.means.pricing(profile) if profile and self.means.reachable(profile) else None
        if pricing is None:
            return None
        return {"input": pricing.cost(Usage(input=_SHORT)) * _PER_SHORT, "output": pricing.cost(Usage(output=_SHORT)) * _PER_SHORT}

    async def _run_command(self, agent: CommandAgent) -> Reply:
        env = surroundings(self.means.env, agent.env)
        stdin = self.work()
        self.turn.began = Started(self.id, stdin)
        run = Program(agent.command[0], agent.command, str(self.means.cwd), env, agent.success_codes)
        return await self._said(agent, run, stdin.encode(errors="replace"), lambda: parts_of_command(agent, run, stdin))

    async def _said(self, agent: ScriptAgent | CommandAgent, program: Program, stdin: bytes, parts: Callable[[], Parts]) -> Reply:
        """What it says now, or said before where it does nothing else."""
        reuse = self.means.reuse
        if reuse is None or not (agent.pure and reuse.wanted(agent.cache)):
            return await self._run(program, stdin, self.tell)
        return await reuse.said(self.id, self.turn, self.tell, parts, partial(self._run, program, stdin))

    async def _run(self, program: Program, stdin: bytes, tell: Tell) -> Reply:
        from llm_orc.engine.artifacts import folder_of  # most plans only ask models

        place, folder = Place(self.means.bounds.programs), folder_of(self.id, program.env, self.means.keep, tell)
        async with self.turn.taken(tell, place), folder as env:
            return await run_program(replace(program, env=env), stdin)

    async def _call(self, agent: FunctionAgent) -> Reply:
        prompt = self.prompt()
        self.turn.began = Started(self.id, prompt)
        async with self.turn.taken(self.tell):
            try:
                value = await agent.function(prompt)
            except FailedError:
                raise
            except Exception as error:  # a stranger's code, whose words its author wants to read
                raise FailedError(Failure(Kind.SCRIPT, f"{type(error).__name__}: {error}")) from error
        if isinstance(value, bytes | bytearray):
            from llm_orc.engine.artifacts import kept_bytes  # few make any

            return Reply(await kept_bytes(self.id, bytes(value), self.means.keep, self.tell))
        return Reply(value) if isinstance(value, str) else Reply(as_json(value), value, structured=True)


@dataclass(slots=True)
class _Took:
    """What all the attempts of one reply took together, by what is told of them."""

    say: Tell
    usage: Usage = NO_USAGE
    cost: float | None = None
    attempts: int = 0

    def tell(self, event: Happening) -> None:
        """One more thing that happened."""
        match event:
            case Sent():
                self.attempts += 1
            case Received():
                self.usage += event.usage
                if event.cost is not None:
                    self.cost = (self.cost or 0.0) + event.cost
            case Reused():
                self.cost = self.cost or 0.0
            case _:
                pass
        self.say(event)

    def all_of(self, reply: Reply) -> Reply:
        """The reply, with all that it took."""
        return replace(reply, usage=self.usage, cost=self.cost, attempts=self.attempts)


def _attached(attachment: Attachment) -> Mapping[str, Any]:
    """What a script hears of a file: where it lies, and the bytes of what lies nowhere."""
    known = {"name": attachment.name, "media_type": attachment.media_type, "path": attachment.path or None}
    if attachment.path:
        return known
    from base64 import b64encode  # most files lie somewhere

    return {**known, "base64": b64encode(attachment.data).decode()}


def _took(outcome: Outcome) -> Mapping[str, Any]:
    return {"usage": asdict(outcome.usage), "cost": outcome.cost}


def _encoded(handed: Mapping[str, Any]) -> bytes:
    return as_json(handed).encode(errors="replace")
