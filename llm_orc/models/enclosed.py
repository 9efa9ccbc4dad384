"""Texts that are attached, where a wire format knows only text and pictures."""

from llm_orc.domain.message import Attachment


def enclosed(attachment: Attachment) -> str | None:
    """What a text file says, between its name and its end; None for anything else."""
    text = attachment.text
    return None if text is None else f'<file name="{attachment.name}">\n{text}\n</file>'
