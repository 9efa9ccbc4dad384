"""Files that go with a message: checked when they are read, and held against what a model takes before anything is sent."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from llm_orc.domain.media import NAMES, PDF, ending, is_whole, kind_of, pixels, promised
from llm_orc.domain.message import Attachment
from llm_orc.domain.model import AttachmentLimits, Capability, ModelCard
from llm_orc.domain.problem import Problem, ProblemError

LARGEST = 50_000_000
"""Bytes of one file."""
OURS = AttachmentLimits(count=1_000, bytes=100_000_000)
"""What one request may hold, whoever answers."""
_BOM = b"\xef\xbb\xbf"
_ABLE: dict[Capability, str] = {"vision": "look at images", "files": "read PDFs"}


class Refusal(NamedTuple):
    """Why a model is not sent what is attached, and what to do."""

    what: str
    hint: str


def attachment_of(name: str, data: bytes, path: str = "") -> Attachment:
    """The file as models are sent it: its bytes decide what it is. Raises ProblemError, without a place, for what no model takes."""
    if not data:
        raise ProblemError(Problem(f"'{name}' is empty"))
    if len(data) > LARGEST:
        raise too_large(name)
    kind, named = kind_of(name, data), promised(name)
    if not kind.media_type:
        what = f"'{name}' is {kind.called}, which no model takes" if kind.called[:2] in ("a ", "an") else f"'{name}' is {kind.called}"
        raise ProblemError(Problem(what, hint=kind.hint))
    if named and kind.media_type not in NAMES:
        raise ProblemError(Problem(f"'{name}' is no {NAMES[named]}: it holds {kind.called}", hint="look into it, or rename it"))
    if not is_whole(kind.media_type, data):
        raise ProblemError(Problem(f"'{name}' is cut off: {kind.called} ends otherwise", hint="get the whole file"))
    if kind.media_type.startswith("image/") and pixels(kind.media_type, data) is None:
        raise ProblemError(Problem(f"'{name}' is broken: {kind.called} says how large it is", hint="save it anew"))
    mistaken = kind.media_type in NAMES and kind.media_type != named and ending(name)
    remark = f"'{name}' is {kind.called}, and sent as one" if mistaken else ""
    return Attachment(name, kind.media_type, data.removeprefix(_BOM) if kind.media_type not in NAMES else data, path, remark)


def too_large(name: str) -> ProblemError:
    """Of one file."""
    return ProblemError(Problem(f"'{name}' is larger than {LARGEST // 1_000_000} MB", hint="attach a smaller one, or a part of it"))


def needed(attachments: Sequence[Attachment]) -> frozenset[Capability]:
    """What a model has to be able to do that is sent them."""
    return frozenset(capability for each in attachments if (capability := _needed(each)))


def refusals(model: str, attachments: Sequence[Attachment], card: ModelCard) -> Iterator[Refusal]:
    """Why this model is not sent them, each once; what is not known of a model refuses nothing."""
    if not attachments:
        return
    for capability, able in _ABLE.items():
        names = [each.name for each in attachments if _needed(each) == capability]
        if names and card.capabilities is not None and capability not in card.capabilities:
            hint = f"choose a model with {capability}: requires: [{capability}] on an auto profile, or say in the profile: capabilities"
            yield Refusal(f"{model} cannot {able}: {_listed(names)}", hint)
    known = card.attachments or AttachmentLimits()
    yield from _each(model, attachments, known)
    yield from _together("a request", attachments, OURS)
    yield from _together(model, attachments, known)


def _needed(attachment: Attachment) -> Capability | None:
    if attachment.is_image:
        return "vision"
    return "files" if attachment.media_type == PDF else None


def _each(model: str, attachments: Sequence[Attachment], known: AttachmentLimits) -> Iterator[Refusal]:
    for each in attachments:
        if known.media_types is not None and _needed(each) and each.media_type not in known.media_types:
            takes = ", ".join(NAMES.get(one, one) for one in sorted(known.media_types))
            yield Refusal(f"{model} takes no {NAMES.get(each.media_type, each.media_type)}: {each.name}", f"save it as one of: {takes}")
        if known.side and each.is_image and max(pixels(each.media_type, each.data) or (0,)) > known.side:
            yield Refusal(f"{model} takes images of up to {known.side:,} pixels a side: {each.name} is larger", "make it smaller")


def _together(who: str, attachments: Sequence[Attachment], limits: AttachmentLimits) -> Iterator[Refusal]:
    size = sum(len(each.data) for each in attachments)
    if limits.count is not None and len(attachments) > limits.count:
        yield Refusal(f"{who} takes {limits.count:,} attachments, and these are {len(attachments):,}", "attach fewer: fan_out over them")
    if limits.bytes is not None and size > limits.bytes:
        hint = "attach less, or smaller files: fan_out over them"
        yield Refusal(f"{who} takes {limits.bytes / 1e6:g} MB of attachments, and these are {size / 1e6:.1f} MB", hint)


def _listed(names: Sequence[str]) -> str:
    return ", ".join([*names[:3], *([f"and {len(names) - 3} more"] if len(names) > 3 else [])])
