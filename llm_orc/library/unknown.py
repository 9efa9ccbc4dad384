"""What a program gets when it names something that is not there."""

from collections.abc import Iterable

from llm_orc.domain.problem import Problem, ProblemError, nearest


class UnknownError(ProblemError, ValueError, KeyError):
    """Nothing has that name; says which names there are."""

    def __str__(self) -> str:
        """As every problem is told; a KeyError would put it in quotes."""
        return "\n".join(map(str, self.problems))

    @classmethod
    def of(cls, what: str, name: str, names: Iterable[str], more: str = "") -> "UnknownError":
        """No such thing of that name among these; `more` ends the hint."""
        known = list(names)
        there_are = f"there are: {', '.join(known[:_SHOWN])}{', ...' if len(known) > _SHOWN else ''}" if known else "there are none"
        hint = "; ".join(filter(None, [nearest(name, known) or there_are, more]))
        return cls(Problem(f"no {what} '{name}'", hint=hint))


_SHOWN = 10
