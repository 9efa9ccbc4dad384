"""One call of an Ollama model: what is sent, how large a window it needs, and what comes of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from llm_orc.domain.event import Delta, Warned
from llm_orc.domain.message import NO_USAGE, Attachment, FailedError, Failure, FinishReason, Kind, Message, Reply, Request, Tell, Usage
from llm_orc.models import base
from llm_orc.models.base import Reach, estimated, messages_of
from llm_orc.models.enclosed import enclosed
from llm_orc.models.refusals import empty, ended_early
from llm_orc.models.target import Target

if TYPE_CHECKING:
    from ollama import ChatResponse

    from llm_orc.models.ollama_wire import Known

Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
BESIDE = ("think", "keep_alive", "format")
"""Options that stand beside `options` in a request."""
_MOST_TOKENS = 10**12  # whoever counts more is not counting
_FINISH: Mapping[str, FinishReason] = {"stop": "stop", "length": "length"}

STEP = 2048
"""Windows grow by so many tokens, so that a model is not loaded anew for every request."""
SMALLEST = 4096
REPLY = 2048
"""Room for a reply where nobody says how long it may be."""
SHORTEST = 256
"""A window in which not even so long a reply has room is too small."""
PICTURE = 2048
"""Tokens of an image, at most of what models make of one; Ollama itself counts 768."""


_SPARSE = 8
"""Characters a token: normal text has three to five, and no tokenizer takes so many into one."""
_RUN = re.compile(r"(.{1,3}?)\1{3,}", re.DOTALL)
"""Repetitions, as in rulers and indents, which may be one token however long they are."""
_DENSE = b"0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


class Options(base.Options):
    """Beside these, whatever a newer Ollama knows goes into its `options` as it is."""

    think: bool | Literal["low", "medium", "high", "max"] | None = None
    """Whether, or how hard, the model thinks before it answers."""
    keep_alive: float | str | None = None
    """How long the model stays in memory: seconds, or as in `10m`; -1 is for ever."""
    format: Literal["json"] | dict[str, Any] | None = None
    """What the reply has to be, where no output_schema says it."""
    num_ctx: Count | None = None
    """The window; unless told, it is what prompt and reply need."""
    num_predict: Annotated[int, Field(ge=-2)] | None = None
    """The longest reply; goes over max_tokens."""
    num_keep: Annotated[int, Field(ge=-1)] | None = None
    num_gpu: Annotated[int, Field(ge=-1)] | None = None
    """How many layers the graphics card takes."""
    num_thread: Whole | None = None
    num_batch: Count | None = None
    main_gpu: Whole | None = None
    use_mmap: bool | None = None
    use_mlock: bool | None = None
    numa: bool | None = None
    temperature: Annotated[float, Field(ge=0)] | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None
    top_k: Whole | None = None
    top_p: Share | None = None
    min_p: Share | None = None
    typical_p: Share | None = None
    tfs_z: float | None = None
    repeat_last_n: Annotated[int, Field(ge=-1)] | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    penalize_newline: bool | None = None
    mirostat: Literal[0, 1, 2] | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None


_PLAIN = Options()
LOADING = ("num_ctx", "num_gpu", "num_thread", "num_batch", "main_gpu", "use_mmap", "use_mlock", "numa")
"""Options that belong to a model in memory: another value loads it anew."""


@dataclass(slots=True)
class Call:
    """One request to a model that is there, as it grows into a reply; raises FailedError as soon as it can be none."""

    request: Request
    tell: Tell
    target: Target
    known: "Known"
    reach: Reach
    given: Options = field(init=False)
    options: dict[str, Any] = field(init=False, default_factory=dict)
    """As they are sent."""
    messages: list[dict[str, Any]] = field(init=False)
    usage: Usage | None = None
    _pieces: list[str] = field(default_factory=list)
    _begun: bool = False
    _thought: bool = False
    _last: "ChatResponse | None" = None

    def __post_init__(self) -> None:
        profile = self.request.profile
        self.given = Options.model_validate(profile.options) if profile.options else _PLAIN
        self.messages = [self._message(each) for each in messages_of(self.request)]
        refuses = self.reach.card(profile).refuses
        for key in ("temperature", "top_p", "seed", "stop"):
            if (value := getattr(profile, key)) is not None:
                if key in refuses:
                    self._warn(f"{self.known.name} does not take {key}: it is not sent")
                else:
                    self.options[key] = value
        if profile.max_tokens is not None:
            self.options["num_predict"] = profile.max_tokens
        if profile.options:
            self.options |= {key: value for key, value in self.given if value is not None and key not in BESIDE}

    @property
    def done(self) -> bool:
        """Whether its last line has come."""
        return self._last is not None

    @property
    def text(self) -> str:
        """All so far."""
        return "".join(self._pieces)

    def settings(self) -> dict[str, Any]:
        """What is sent beside model and messages."""
        think, schema = self.given.think, self.request.schema
        if think and self.known.abilities is not None and "thinking" not in self.known.abilities:
            self._warn(f"{self.known.name} does not think before it answers: option think is not sent")
            think = None
        said: dict[str, Any] = {"options": self.options, "format": self.given.format if schema is None else dict(schema)}
        said |= {"think": think, "keep_alive": self.given.keep_alive}
        return {key: value for key, value in said.items() if value is not None}

    def fit(self, has: int | None) -> bool:
        """Decide the window; whether a model that is loaded with `has` can stay as it is. Raises FailedError where none suffices."""
        limit = self.limit
        if limit is not None:
            self.make_room(limit)
        if (told := self.given.num_ctx) is not None:
            return has is not None and has == min(told, limit or told)
        longest = self._longest
        need = self._most + (REPLY if longest is None else longest)
        size = max(SMALLEST, -(-need // STEP) * STEP)
        if limit is not None:
            need, size = min(need, limit), min(size, limit)
        stays = has is not None and has >= need
        self.options["num_ctx"] = has if stays else size
        return stays

    def make_room(self, window: int) -> None:
        """Raises FailedError for a prompt that leaves no room for a reply in a window; a reply that it cuts short is named."""
        likely, longest = self._likely, self._longest
        if likely + min(longest or SHORTEST, SHORTEST) > window:
            what = f"the prompt has about {likely} tokens, and {self.known.name} a window of {window} for prompt and reply"
            raise FailedError(Failure(Kind.CONTEXT_LENGTH, what, self._way_out(window), window=window), usage=NO_USAGE)
        if longest is not None and longest > window - likely:
            self.options["num_predict"] = window - likely
            self._warn(f"the prompt leaves {window - likely} tokens for the reply in a window of {window}: max_tokens {longest} is more")

    def take(self, piece: "ChatResponse") -> None:
        """A piece of the reply, or the whole."""
        self._begun = True
        if thinking := piece.message.thinking:
            self._thought = True
            self._say(thinking, thinking=True)
        if text := piece.message.content:
            self._pieces.append(text)
            self._say(text)
        if piece.done:
            self._last = piece
            self.usage = self._counted(piece.prompt_eval_count, piece.eval_count)

    def reply(self) -> Reply:
        """The reply, if there is one."""
        label, text, last = self.target.address.label, self.text, self._last
        if last is None and not self._begun:
            raise FailedError(Failure(Kind.MALFORMED, f"{label} sent nothing", "try again; if it stays so, see the server's own log"))
        if last is None:
            raise ended_early(self.target, "line")
        self._check_uncut(last.prompt_eval_count)
        if not text.strip():
            raise FailedError(empty(self.target, cut=last.done_reason == "length", thought=self._thought))
        return Reply(
            text,
            usage=self.usage or self._counted(None, None),
            finish=_FINISH.get(last.done_reason or "stop", "other"),
            model=last.model or self.known.name,
        )

    def _counted(self, prompt: int | None, reply: int | None) -> Usage:
        """As the server counted; old ones leave out the count of a prompt that they had in memory."""
        prompt, reply = _believed(prompt), _believed(reply)
        if prompt and reply is not None:
            return Usage(prompt, reply)
        ours = estimated(messages_of(self.request), self.text)
        return Usage(prompt or ours.input, ours.output if reply is None else reply, estimated=not prompt or reply is None)

    def _check_uncut(self, count: int | None) -> None:
        """A server that read far fewer tokens than there are has cut the front of the prompt off.

        A count of nothing is none. Servers that do not tell a model's window are older than counts that hold what was cached.
        """
        text = "".join(message["content"] for message in self.messages)
        if not (count := _believed(count)) or self.known.window is None or count >= len(text) // _SPARSE:
            return
        if count < len(_RUN.sub(r"\1", text)) // _SPARSE:
            window = self.options.get("num_ctx")
            what = f"{self.target.address.label} read {count} tokens of a prompt of about {self._likely}: it was cut"
            raise FailedError(Failure(Kind.CONTEXT_LENGTH, what, self._way_out(window), window=window))

    def _way_out(self, window: int | None) -> str:
        cap = self.request.profile.context_window
        if self.given.num_ctx is not None and self.given.num_ctx == window:
            raised = "raise num_ctx in the profile's options (or leave it out)"
        elif cap is not None and cap == window:
            raised = "raise context_window in the profile"
        elif window is not None and self.known.window is not None and window >= self.known.window:
            raised = "choose a model with a larger window"
        else:
            raised = (
                f"raise num_ctx: options: {{num_ctx: {-(-(self._most + REPLY) // STEP) * STEP}}}, or OLLAMA_CONTEXT_LENGTH of the server"
            )
        return f"{raised}, or send less: split the input with fan_out"

    @property
    def limit(self) -> int | None:
        """The largest window that there may be: the model's own, the user's cap, or what the user says it is."""
        told, profile = self.given.num_ctx, self.request.profile
        caps = [told] if told is not None else [profile.context_window, self.reach.card(profile).context_window]
        return min((each for each in (self.known.window, *caps) if each is not None), default=None)

    @property
    def _longest(self) -> int | None:
        """The longest reply that was asked for."""
        said = self.given.num_predict
        return (said if said > 0 else None) if said is not None else self.request.profile.max_tokens

    @property
    def _likely(self) -> int:
        """Tokens of the prompt: four characters each, and what images take at least."""
        return sum(-(-len(each["content"]) // 4) + 4 + 256 * len(each.get("images", ())) for each in self.messages)

    @property
    def _most(self) -> int:
        """Tokens that the prompt may have: a digit or sign can be one, a letter of another script more than one."""
        total = 64
        for each in self.messages:
            raw = each["content"].encode(errors="replace")
            plain = len(raw.translate(None, _DENSE))
            total += plain // 3 + len(raw) - plain + 16 + PICTURE * len(each.get("images", ()))
        return total

    def _message(self, message: Message) -> dict[str, Any]:
        """A message as it is sent: images beside the text, texts within; raises FailedError for what the model cannot read."""
        whole = message.text.encode(errors="replace").decode()  # the SDK sends UTF-8, which knows no half letters
        said: dict[str, Any] = {"role": message.role, "content": whole}
        for file in message.attachments:
            if not file.is_image:
                said["content"] = "\n\n".join(filter(None, (said["content"], self._read(file))))
            elif self.known.abilities is not None and "vision" not in self.known.abilities:
                what = f"{self.known.name} cannot see {file.name}"
                raise _invalid(what, "choose a model with vision: requires: [vision] on the agent, or see llm-orc list models")
            else:
                said.setdefault("images", []).append(file.data)
        return said

    def _read(self, file: Attachment) -> str:
        if (text := enclosed(file)) is not None:
            return text
        if file.media_type.startswith("text/"):
            raise _invalid(f"{file.name} is no UTF-8 text", "save it as UTF-8")
        what = f"Ollama takes images and texts, and {file.name} is {file.media_type}"
        raise _invalid(what, "turn it into text first, by a script or command, or choose another provider")

    def _say(self, text: str, *, thinking: bool = False) -> None:
        if self.request.stream:
            self.tell(Delta(node=self.request.node, text=text, thinking=thinking))

    def _warn(self, what: str) -> None:
        self.tell(Warned(node=self.request.node, what=what))


def _believed(count: int | None) -> int | None:
    return count if count is not None and 0 <= count < _MOST_TOKENS else None


def _invalid(what: str, hint: str) -> FailedError:
    return FailedError(Failure(Kind.INVALID_REQUEST, what, hint), usage=NO_USAGE)
