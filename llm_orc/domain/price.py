"""What tokens cost."""

from typing import Annotated, Protocol

from pydantic import Field

from llm_orc.domain.message import Usage
from llm_orc.domain.read import Read

Dollars = Annotated[float, Field(ge=0)]
_MILLION = 1_000_000


class Pricing(Protocol):
    """What a model costs."""

    def cost(self, usage: Usage) -> float:
        """US dollars for so many tokens."""
        ...


class Price(Read):
    """US dollars per million tokens."""

    input: Dollars
    """Tokens of the prompt."""
    output: Dollars
    """Tokens of the reply, thinking included."""
    cached_input: Dollars | None = None
    """Tokens of the prompt that the provider had in its cache; `input` where it is not given."""

    def cost(self, usage: Usage) -> float:
        """US dollars for so many tokens."""
        cached = self.input if self.cached_input is None else self.cached_input
        return ((usage.input - usage.cached) * self.input + usage.cached * cached + usage.output * self.output) / _MILLION


FREE = Price(input=0, output=0)
"""Of a model on this machine."""
