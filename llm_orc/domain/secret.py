"""Secrets that this process has had in its hands, so that none of them is written out again, however it is written."""

import re
from functools import lru_cache

MARK = "[key]"
PIECE = 12
"""So many characters of a key in a row are as good as the key."""
LONG = 16
"""In what a model says, less than this is no key: some keys are words such as `ollama`, and many begin alike."""
BEGUN = 4
"""So many characters of a stream may be the beginning of a key."""
_SHORTEST = 4
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
_MOST = 64
_SMALL = 400
_STEP = PIECE // 2
_KEY_VARIABLE = (
    r"API_?KEY|^LLM_ORC_|^(?:ANTHROPIC|AZURE|CLAUDE|COHERE|DEEPSEEK|FIREWORKS|GEMINI|GOOGLE|GROQ|HF|HUGGING|LMSTUDIO|LM_API|MISTRAL|OLLAMA"
    r"|OPENAI|OPENROUTER|PERPLEXITY|TOGETHER|VERTEX|VLLM|XAI)_.*(?:KEY|TOKEN|SECRET|PASS|CREDENTIAL)"
)
_SECRET_WORDS = ("KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL")
_known: tuple[str, ...] = ()


def names_key(variable: str) -> bool:
    """Whether an environment variable of this name is one of ours, or holds what opens a provider of models."""
    return re.search(_KEY_VARIABLE, variable, re.IGNORECASE) is not None


def names_secret(variable: str) -> bool:
    """Whether it may hold any secret."""
    return any(word in variable.upper() for word in _SECRET_WORDS)


def remember(secret: str) -> None:
    """Keep in mind that this must not be seen; the oldest are forgotten, tokens being renewed for ever."""
    global _known  # noqa: PLW0603 - of the process, as what it writes is
    if len(secret) >= _SHORTEST and _known[:1] != (secret,):
        _known = (secret, *(each for each in _known if each != secret))[:_MOST]


def without_secrets(text: str, shortest: int = _SHORTEST) -> str:
    """The text without any secret, and without longer pieces of one; those shorter than `shortest` are left alone."""
    least = max(PIECE, shortest)
    for secret in _known:
        if shortest <= len(secret) and min(len(secret), least) <= len(text) and _may_be_in(text, secret):
            for form in _forms(secret):
                text = text.replace(form, MARK)
            for form in _forms(secret):
                text = _without(text, form, least)
    return text


def holds_secret(text: str, shortest: int = _SHORTEST) -> bool:
    """Whether there is a secret in it, or a longer piece of one."""
    return bool(_known) and without_secrets(text, shortest) != text


def begun(text: str) -> int:
    """How many characters at the end of a text may be a part of a long secret that goes on."""
    end = text[-BEGUN:]
    if len(end) < BEGUN:
        return 0
    forms = [form for secret in _known if len(secret) >= LONG for form in _forms(secret) if end in form]
    return max((_tail(text, form) for form in forms), default=0)


@lru_cache(_MOST)
def _forms(secret: str) -> tuple[str, ...]:
    """Each way in which it may be written."""
    import json  # nothing of this is needed before there is a secret
    from base64 import b64encode, urlsafe_b64encode
    from urllib.parse import quote

    raw = secret.encode(errors="surrogatepass")  # bytes of the environment that are no UTF-8
    texts = [secret, quote(raw), quote(raw, safe=""), json.dumps(secret)[1:-1], secret.translate(_HTML), raw.hex(), raw.hex().upper()]
    for encoded in (b64encode, urlsafe_b64encode):
        texts.append(encoded(raw).decode())
        # The first and the last characters depend on what stands beside it.
        texts += [encoded(bytes(before) + raw).decode()[-(-before * 4 // 3) : -4] for before in range(3)]
    return tuple(dict.fromkeys(text for text in texts if len(text) >= _SHORTEST))


@lru_cache(_MOST)
def _parts(secret: str) -> frozenset[str]:
    return frozenset(form[start : start + _STEP] for form in _forms(secret) for start in range(0, len(form), _STEP))


def _may_be_in(text: str, secret: str) -> bool:
    """A quick look, which the many small pieces of a stream are worth."""
    if len(text) > _SMALL or len(secret) < _STEP:
        return True
    return not _parts(secret).isdisjoint(text[start : start + _STEP] for start in range(len(text) - _STEP + 1))


def _without(text: str, form: str, least: int) -> str:
    """The text without any run of so many characters of a form."""
    for start in range(0, len(form) - _STEP + 1, _STEP):  # such a run holds at least one of these parts whole
        part = form[start : start + _STEP]
        at = text.find(part)
        while at >= 0:
            left, right = _shared(text[:at][::-1], form[:start][::-1]), _shared(text[at : at + len(form)], form[start:])
            if left + right >= least:
                text = text[: at - left] + MARK + text[at + right :]
                at -= left
            at = text.find(part, at + 1)
    return text


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    return next((number for number, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _tail(text: str, form: str) -> int:
    longest = min(len(text), len(form))
    return next(size for size in range(longest, 0, -1) if text[len(text) - size :] in form)
