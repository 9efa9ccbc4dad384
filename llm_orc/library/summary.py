"""A conversation in short."""

from typing import TYPE_CHECKING

from llm_orc.domain.message import FailedError, Failure, Kind
from llm_orc.library.run import arun

if TYPE_CHECKING:
    from llm_orc.library.setting import Setting

ENSEMBLE = "summarize-long"
"""Takes texts of any length."""


async def summarized(transcript: str, setting: "Setting | None") -> str:
    """What a model makes of it; raises FailedError."""
    if not transcript:
        return ""
    known = {} if setting is None else setting.options
    run = await arun(ENSEMBLE, transcript, **known)
    if not run.answered:
        failures = [node.failure for node in run.nodes.values() if node.failure]
        causes = [node.cause for node in run.nodes.values() if node.cause]
        raise FailedError(failures[0] if failures else Failure(Kind.OFFLINE, causes[0] if causes else "nobody answered"))
    return run.result
