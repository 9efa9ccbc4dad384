"""The checks of a provider, as a class that pytest collects; it needs no plugin of pytest."""

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import get_args

from llm_orc.domain.message import Attachment, FailedError, FinishReason, Kind, Message
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.profile import Endpoint, Parameters, Profile
from llm_orc.models.base import Listed, Options
from llm_orc.testing.subject import Opened, Subject, checked, expect, not_checked

PARAMETERS = Parameters(temperature=0.37, max_tokens=1234, top_p=0.83, seed=770421, stop=("CANARY-STOP",))
SYSTEM = "CANARY-SYSTEM: you are being checked."
HISTORY = (Message("user", "CANARY-FIRST"), Message("assistant", "CANARY-SECOND"), Message("user", "CANARY-THIRD"))
SCHEMA = {"type": "object", "properties": {"canary_property": {"type": "string"}}, "required": ["canary_property"]}
IMAGE = Attachment(
    "canary.png",
    "image/png",
    base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="),
)
DOCUMENT = Attachment("canary.pdf", "application/pdf", b"%PDF-1.4\n% CANARY-DOCUMENT\n%%EOF\n")
SIDE_BY_SIDE = 5
_PYTHON = re.compile(r"Traceback|\b[A-Z]\w*(Error|Exception)\b|<class |object at 0x")
"""What only a programmer would understand."""

Making = Callable[[], AbstractContextManager[Subject]]


def provider_conformance(subject: "Subject | Callable[[], Iterator[Subject]]") -> "type[Conformance]":
    """A test class, to be given a name that pytest collects; `subject` is a Subject, or a generator that yields one for each check.

    A generator is the place to start a server before the yield, and to stop it after.
    """
    making: Making = (lambda: nullcontext(subject)) if isinstance(subject, Subject) else contextmanager(subject)
    return type("ProviderConformance", (Conformance,), {"making": lambda _: making()})


def _made(check: "Callable[[Conformance, Opened], Awaitable[None]]") -> "Callable[[Conformance], None]":
    def test(self: "Conformance") -> None:
        __tracebackhide__ = True
        with self.making() as subject:
            checked(subject, lambda opened: check(self, opened))

    test.__name__, test.__doc__ = check.__name__, check.__doc__
    return test


class Conformance:
    """Each test opens the provider anew, and closes it; whatever it does, it prints nothing and leaves nothing open."""

    def making(self) -> AbstractContextManager[Subject]:
        """The subject of one check."""
        raise NotImplementedError("the class comes from provider_conformance(subject)")

    @_made
    async def test_endpoint_and_ask_open_nothing(self, opened: Opened) -> None:
        """`endpoint` and `ask` are called by `plan` and `validate`, which reach no server."""
        profile = opened.subject.profile
        endpoint = opened.provider.endpoint(profile)
        opened.provider.ask(profile)
        expect(isinstance(endpoint, Endpoint), f"endpoint() gives {type(endpoint).__name__}, not an Endpoint")
        expect(endpoint.key and endpoint.label, "an endpoint has a key and a label")
        expect(endpoint == opened.provider.endpoint(profile), "endpoint() gives the same for the same profile")
        if opened.subject.sent is not None:
            expect(not opened.requests(), "endpoint() and ask() send nothing")

    @_made
    async def test_it_gets_ready_without_sending(self, opened: Opened) -> None:
        """`ready` only imports."""
        if ready := getattr(opened.provider, "ready", None):
            ready()
        if opened.subject.sent is not None:
            expect(not opened.requests(), "ready() sends nothing")

    @_made
    async def test_a_profile_that_cannot_be_asked_is_a_problem(self, opened: Opened) -> None:
        """Said by `ask`, before anything runs, with words."""
        if not opened.subject.wrong:
            raise not_checked("give Subject(wrong=[...]), profiles that it refuses")
        for profile in opened.subject.wrong:
            try:
                opened.provider.ask(profile)
            except ProblemError as error:
                expect(error.problems and all(problem.what for problem in error.problems), "a problem says what is wrong")
            else:
                raise AssertionError(f"ask() takes a profile that is wrong: {profile.model_dump(exclude_defaults=True)}")

    @_made
    async def test_it_answers(self, opened: Opened) -> None:
        """With text, the model that answered, and how the reply ended."""
        reply = await opened.ask()
        expect(reply.text.strip(), "a reply has text; without any it is FailedError(Kind.EMPTY)")
        expect(reply.model, "a reply names the model that answered")
        expect(reply.finish in get_args(FinishReason), f"finish is one of {get_args(FinishReason)}, not {reply.finish!r}")
        expect(reply.attempts == 1, "a provider asks once; retries are the engine's")
        expect(not opened.pieces() + opened.pieces(thinking=True), "no Delta is told where nobody streams")

    @_made
    async def test_tokens_add_up(self, opened: Opened) -> None:
        """Input holds the cached ones, output the reasoning ones."""
        usage = (await opened.ask()).usage
        expect(usage.input > 0, "usage counts the input; `estimated(messages, text)` where no server does")
        expect(usage.output > 0, "usage counts the output")
        expect(usage.cached + usage.cache_write <= usage.input, "cached and cache_write are parts of input")
        expect(usage.reasoning <= usage.output, "reasoning is a part of output")

    @_made
    async def test_a_call_is_one_request(self, opened: Opened) -> None:
        """A library's own retries are switched off."""
        await opened.ask()
        expect(len(sent := opened.requests()) == 1, f"one call is one request, and these were {len(sent)}")

    @_made
    async def test_the_pieces_of_a_stream_are_its_text(self, opened: Opened) -> None:
        """Each is told once, in order; a provider that cannot stream tells none."""
        reply = await opened.ask(stream=True)
        expect(reply.text.strip(), "a streamed reply has text")
        if pieces := opened.pieces():
            expect("".join(pieces) == reply.text, f"the deltas join to {''.join(pieces)[:80]!r}, and the text is {reply.text[:80]!r}")
            expect(all(pieces), "no Delta is empty")

    @_made
    async def test_history_and_system_prompt_arrive(self, opened: Opened) -> None:
        """All of them, in order."""
        await opened.ask(*HISTORY, profile=_with(opened, Parameters(system_prompt=SYSTEM)))
        [body] = opened.requests()
        for said in (SYSTEM, *(message.text for message in HISTORY)):
            expect(body.count(said) == 1, f"the server sees {said!r} {body.count(said)} times")
        places = [body.index(message.text) for message in HISTORY]
        expect(places == sorted(places), "the messages arrive in their order")

    @_made
    async def test_parameters_arrive_or_are_named(self, opened: Opened) -> None:
        """What the model does not take is told in a warning that names it."""
        await opened.ask(profile=_with(opened, PARAMETERS))
        [body] = opened.requests()
        for name in ("temperature", "max_tokens", "top_p", "seed", "stop"):
            value = getattr(PARAMETERS, name)
            value = value[0] if isinstance(value, tuple) else value
            expect(str(value) in body or opened.warned(name), f"{name} does not reach the server, and no warning names it")

    @_made
    async def test_options_that_it_does_not_know_arrive_or_are_named(self, opened: Opened) -> None:
        """A server may know more than its provider."""
        profile = _with(opened, Parameters(options={"canary_option": "CANARY-VALUE"}))
        refused = await opened.failure(profile=profile)
        body = "".join(opened.requests())
        arrived = "canary_option" in body and "CANARY-VALUE" in body
        expect(refused or arrived or opened.warned("canary_option"), "an option is dropped without a word")

    @_made
    async def test_its_options_have_a_schema(self, opened: Opened) -> None:
        """Of the entries that it knows."""
        schema = getattr(opened.subject.provider, "options", Options)
        expect(isinstance(schema, type) and issubclass(schema, Options), "`options` is a subclass of llm_orc.models.base.Options")
        json.dumps(schema.model_json_schema())

    @_made
    async def test_a_schema_arrives_where_it_is_taken(self, opened: Opened) -> None:
        """Where it is not, the reply is plain text, and the engine reads it."""
        failed = await opened.failure(schema=SCHEMA)
        if "structured_output" in opened.subject.takes:
            expect(failed is None, f"a request with a schema failed: {failed}")
            expect("canary_property" in "".join(opened.requests()), "the schema does not reach the server")
        else:
            expect(failed is None or _refused(failed), f"where no schema is taken, it fails as invalid_request, not {failed}")

    @_made
    async def test_an_image_arrives_or_is_refused(self, opened: Opened) -> None:
        """An answer that was made without it would be a lie."""
        await _attached(opened, IMAGE, taken="vision" in opened.subject.takes)

    @_made
    async def test_a_document_arrives_or_is_refused(self, opened: Opened) -> None:
        """Likewise."""
        await _attached(opened, DOCUMENT, taken="files" in opened.subject.takes)

    @_made
    async def test_calls_run_side_by_side(self, opened: Opened) -> None:
        """On one provider, each with a reply of its own."""
        said = [Message("user", f"CANARY-{number}") for number in range(SIDE_BY_SIDE)]
        replies = await asyncio.gather(*(opened.ask(message) for message in said))
        expect(all(reply.text.strip() for reply in replies), "each call has its reply")
        if opened.subject.sent is not None:
            bodies = opened.requests()
            expect(len(bodies) == len(said), f"{len(said)} calls are {len(bodies)} requests")

    @_made
    async def test_a_cancelled_call_ends_and_leaves_nothing(self, opened: Opened) -> None:
        """And the provider goes on."""
        if opened.subject.endless is None:
            raise not_checked("give Subject(endless=...), a profile whose reply does not end")
        for stream in (True, False):
            opened.told.clear()
            call = asyncio.create_task(opened.ask(profile=opened.subject.endless, stream=stream))
            await opened.begun(call)
            expect(not call.done(), "the reply of `endless` ended")
            call.cancel()
            await asyncio.wait([call])
            expect(call.cancelled(), "a cancelled call raises CancelledError, nothing else")
            if opened.subject.sent is not None:
                opened.requests()
        expect((await opened.ask()).text.strip(), "after a cancelled call another one is answered")

    @_made
    async def test_closing_twice_is_closing_once(self, opened: Opened) -> None:
        """Before the first call, after it, and again."""
        await opened.provider.close()
        again = Opened(opened.subject)
        await again.ask()
        await again.provider.close()
        await again.provider.close()

    @_made
    async def test_a_failure_says_what_and_what_next(self, opened: Opened) -> None:
        """As FailedError with the right kind, in words for a person, after a single request."""
        if not opened.subject.failing:
            raise not_checked("give Subject(failing={Kind...: profile}), profiles whose calls fail")
        for kind, profile in opened.subject.failing.items():
            for stream in (False, True):
                failed = await opened.failure(profile=profile, stream=stream)
                _check_failure(opened.subject, kind, failed)
                if opened.subject.sent is not None:
                    expect(len(opened.requests()) <= 1, f"{kind}: a provider does not try again; the engine does")

    @_made
    async def test_no_key_shows(self, opened: Opened) -> None:
        """In nothing that could be printed."""
        if not opened.subject.secrets:
            raise not_checked("give Subject(secrets=[...]), the keys that it uses")
        reply = await opened.ask(stream=True)
        seen = repr((opened.provider, getattr(opened.provider, "__dict__", {}), opened.provider.endpoint(opened.subject.profile)))
        seen += repr((reply, opened.told))
        expect(not _shown(opened.subject, seen), "a key shows in a repr, a reply or an event")

    @_made
    async def test_its_models_are_listed(self, opened: Opened) -> None:
        """By `models`, which may give none."""
        models = getattr(opened.provider, "models", None)
        expect(models or not opened.subject.lists, "it has no method models()")
        listed = await models(opened.subject.profile) if models else ()
        expect(all(isinstance(each, Listed) and each.name for each in listed), "models() gives Listed, each with a name")
        names = [each.name for each in listed]
        expect(len(set(names)) == len(names), "each model is listed once")
        expect(opened.subject.profile.model in names or not opened.subject.lists, f"the profile's model is not among {names}")


def _with(opened: Opened, parameters: Parameters) -> Profile:
    return opened.subject.profile.with_parameters(parameters)


async def _attached(opened: Opened, attachment: Attachment, *, taken: bool) -> None:
    failed = await opened.failure(Message("user", "What is this?", (attachment,)))
    if not taken:
        named = opened.warned(attachment.name)
        expect(_refused(failed) or named, f"what it does not take is refused as invalid_request, or named in a warning: {attachment.name}")
        return
    expect(failed is None, f"a request with {attachment.name} failed: {failed}")
    body = "".join(opened.requests())
    forms = (base64.b64encode(attachment.data), base64.urlsafe_b64encode(attachment.data))
    expect(any(form.decode().rstrip("=") in body for form in forms), f"{attachment.name} does not reach the server")


def _refused(failed: FailedError | ProblemError | None) -> bool:
    return isinstance(failed, ProblemError) or (isinstance(failed, FailedError) and failed.failure.kind is Kind.INVALID_REQUEST)


def _check_failure(subject: Subject, kind: Kind, failed: FailedError | ProblemError | None) -> None:
    failure = failed.failure if isinstance(failed, FailedError) else None
    if failure is None:
        raise AssertionError(f"{kind}: it did not fail, or not as FailedError: {failed!r}")
    expect(failure.kind is kind, f"it fails as {failure}, not as {kind}")
    for words in (failure.what, failure.hint):
        expect(words and "\n" not in words, f"{kind}: what and hint are one line each, and this is {words!r}")
        expect(not _PYTHON.search(words), f"{kind}: these words are Python's, not a person's: {words}")
        expect(not _shown(subject, words), f"{kind}: a key shows")


def _shown(subject: Subject, text: str) -> bool:
    forms = (form for secret in subject.secrets for form in (secret, base64.b64encode(secret.encode()).decode()))
    return any(form in text for form in forms)
