"""Valid files, spoilt by the thousand: reading one gives what it says, or problems with places; never anything else."""

import re
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_orc.config.reading import parse
from llm_orc.config.rest import HalfReadError
from llm_orc.config.written import ensemble_of, profile_of
from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.files import NoFiles
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.profile import Profile
from llm_orc.domain.resolve import resolve
from tests.config.test_written import EVERYTHING

PROFILE = "model: qwen\nprovider: lmstudio\nbase_url: http://localhost:1234/v1\ntemperature: 0.5\noptions: {a: {b: [1, 2]}}\n"
MERGED = """
defaults: &d {temperature: 0.5}
agents:
  - &a {name: a, options: {x: *d}}
  - {<<: *a, name: b, stop: [x]}
synthesis: {concat: true}
"""
VALUES = (
    "",
    "~",
    "true",
    "3",
    "-1",
    "1e999",
    ".nan",
    "x",
    "''",
    "[]",
    "{}",
    "[x, 1]",
    "{a: b}",
    "{{ x }}",
    "*a",
    "&a x",
    "!x y",
    "|",
    ">-",
    "- a",
)
KEYS = (
    "<<",
    "name",
    "script",
    "model",
    "provider",
    "fan_out",
    "concat",
    "agent",
    "defaults",
    "cache",
    "loop",
    "task",
    "depends_on",
    "1",
    "? x",
    "[a]",
)
UNWANTED = re.compile(r"[Pp]ydantic|Input should|Value error|Traceback|<class|type=|\bdict\b|\btuple\b|\bNone\b|Error\b")

spots = st.integers(min_value=0, max_value=10_000)


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    """A file with one to four changes of the kinds that people (and disks) make."""
    text = draw(st.sampled_from([EVERYTHING, MERGED, PROFILE]))
    for _ in range(draw(st.integers(1, 4))):
        text = draw(st.sampled_from([typo, key, value, line, letters, indentation, swap]))(draw, text)
    return text


def typo(draw: st.DrawFn, text: str) -> str:
    words = list(re.finditer(r"\w+", text))
    word = words[draw(spots) % len(words)] if words else None
    return text if word is None else text[: word.start()] + word[0][1:] + word[0][:1] + text[word.end() :]


def key(draw: st.DrawFn, text: str) -> str:
    keys = list(re.finditer(r"\w+(?=:)", text))
    found = keys[draw(spots) % len(keys)] if keys else None
    return text if found is None else text[: found.start()] + draw(st.sampled_from(KEYS)) + text[found.end() :]


def value(draw: st.DrawFn, text: str) -> str:
    values = list(re.finditer(r"(?<=: )[^,}\]\n]+", text))
    found = values[draw(spots) % len(values)] if values else None
    return text if found is None else text[: found.start()] + draw(st.sampled_from(VALUES)) + text[found.end() :]


def line(draw: st.DrawFn, text: str) -> str:
    lines = text.splitlines(keepends=True)
    index = draw(spots) % len(lines) if lines else 0
    return "".join(lines[:index] + lines[index : index + 1] * draw(st.sampled_from([0, 2])) + lines[index + 1 :])


def letters(draw: st.DrawFn, text: str) -> str:
    index = draw(spots) % (len(text) + 1)
    return (
        text[:index]
        + draw(st.text(max_size=4) | st.sampled_from(["\t", ": ", "\x00", "{", "]", '"', "${a.b}"]))
        + text[index + draw(st.integers(0, 3)) :]
    )


def indentation(draw: st.DrawFn, text: str) -> str:
    starts = [found.end() for found in re.finditer("^", text, re.MULTILINE)]
    index = starts[draw(spots) % len(starts)]
    return text[:index] + draw(st.sampled_from([" ", "  ", "\t", "- ", "    "])) + text[index:]


def swap(draw: st.DrawFn, text: str) -> str:
    lines = text.splitlines(keepends=True)
    pairs = list(pairwise(range(len(lines))))
    if pairs:
        first, second = pairs[draw(spots) % len(pairs)]
        lines[first], lines[second] = lines[second], lines[first]
    return "".join(lines)


@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(spoilt())
def test_a_spoilt_file_is_read_or_its_problems_have_places(text: str) -> None:
    for kind in (Ensemble, Profile):
        found = problems_of(text, kind)
        assert all(problem.place and problem.place.file == "spoilt.yaml" for problem in found), found
        assert all(problem.place and problem.place.line <= len(text.splitlines()) + 1 for problem in found), found
        assert all(problem.what and not UNWANTED.search(problem.what + problem.hint) for problem in found), found


def problems_of(text: str, kind: type[Ensemble | Profile]) -> tuple[Problem, ...]:
    try:
        document = parse(text, "spoilt.yaml")
        read = profile_of(document, "x") if kind is Profile else ensemble_of(document, NoFiles(), "x")
    except HalfReadError as error:
        return (*error.problems, *wrong_in(error.rest))
    except ProblemError as error:
        return error.problems or (Problem("nothing is said"),)
    return wrong_in(read) if isinstance(read, Ensemble) else ()


def wrong_in(read: Ensemble) -> tuple[Problem, ...]:
    """What is wrong with the names in it; without any profile, ensemble or file there."""
    try:
        resolve(read, {}, {})
    except ProblemError as error:
        return error.problems
    return ()
