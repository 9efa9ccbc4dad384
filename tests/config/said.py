"""What is said of a text that is read as YAML, an ensemble or a profile."""

from textwrap import dedent

from llm_orc.config.reading import Document, parse
from llm_orc.config.written import ensemble_of, profile_of
from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.files import NoFiles
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.profile import Profile


def ensemble(text: str) -> Ensemble:
    return ensemble_of(document(text), NoFiles(), "review")


def profile(text: str) -> Profile:
    return profile_of(document(text), "fast")


def document(text: str) -> Document:
    return parse(dedent(text.removeprefix("\n")), "review.yaml")


def of_ensemble(text: str) -> list[str]:
    """All that is said of it, as it is printed; warnings too where nothing is worse."""
    try:
        read = document(text)
        ensemble_of(read, NoFiles(), "review")
    except ProblemError as error:
        return [str(problem) for problem in error.problems]
    return [str(problem) for problem in read.problems]


def of_profile(text: str) -> list[str]:
    try:
        read = document(text)
        profile_of(read, "fast")
    except ProblemError as error:
        return [str(problem) for problem in error.problems]
    return [str(problem) for problem in read.problems]
