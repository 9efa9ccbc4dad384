"""What everything has in common that is read from a file."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
NAME_OR_TEMPLATE_PATTERN = NAME_PATTERN + r"|\{\{"
NameOrTemplate = Annotated[str, Field(pattern=NAME_OR_TEMPLATE_PATTERN)]


class Read(BaseModel):
    """Anything read from a file: unchangeable, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)
