"""What a server or a plugin repeats of a key goes no further."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from llm_orc.domain.event import Delta, Happening, Warned
from llm_orc.domain.message import Ask, FailedError, Reply, Request, Tell
from llm_orc.domain.secret import BEGUN, LONG, PIECE, begun, without_secrets
from llm_orc.models.base import Listed


def hushed(ask: Ask) -> Ask:
    """The same ask, no key in its reply, in its failures or in what it tells."""

    async def asked(request: Request, tell: Tell) -> Reply:
        stream = _Stream(tell)
        try:
            reply = await ask(request, stream.tell)
        except FailedError as error:
            stream.flush()
            hush(error)
            raise
        except Exception as error:
            _hush_chain(error)
            raise
        stream.flush()
        text, model = without_secrets(reply.text, LONG), reply.model and without_secrets(reply.model, LONG)
        return reply if (text, model) == (reply.text, reply.model) else replace(reply, text=text, model=model)

    return asked


def hush(error: FailedError) -> None:
    """Take keys out of a failure."""
    error.failure = replace(error.failure)  # made anew it has none, if a plugin's failure is older than its key
    error.partial = without_secrets(error.partial, LONG)
    _hush_chain(error)


def listed(found: Sequence[Listed]) -> list[Listed]:
    """The models, none of them called by a key."""
    return [replace(each, name=without_secrets(each.name, LONG)) for each in found]


class _Stream:
    """Passes on what is told, and holds back what may be the beginning of a key until it is known."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._held: Delta | None = None
        self._last = ""
        """The end of what was passed on: a key may come letter by letter."""

    def tell(self, event: Happening) -> None:
        match event:
            case Delta():
                self._take(event)
            case Warned():
                self._tell(replace(event, what=without_secrets(event.what, PIECE)))
            case _:
                self.flush()
                self._tell(event)

    def flush(self) -> None:
        """Pass on what was held back: nothing more comes."""
        held, self._held, self._last = self._held, None, ""
        if held is not None:
            self._pass_on(held, held.text)

    def _take(self, event: Delta) -> None:
        if self._held is not None and self._held.thinking is not event.thinking:
            self.flush()
        text = (self._held.text if self._held else "") + event.text
        end = max(len(text) - begun(self._last + text), 0)
        self._held = replace(event, text=text[end:]) if end < len(text) else None
        self._pass_on(event, text[:end])

    def _pass_on(self, event: Delta, text: str) -> None:
        self._last = (self._last + text)[1 - BEGUN :]
        if clean := without_secrets(text, LONG):
            self._tell(event if clean == event.text else replace(event, text=clean))


def _hush_chain(error: BaseException) -> None:
    """Take keys out of the words of an exception, and of those that led to it: a library may put a whole URL there."""
    for each in _chain(error):
        args = tuple(without_secrets(arg, PIECE) if isinstance(arg, str) else arg for arg in each.args)
        if args != each.args:
            each.args = args


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
