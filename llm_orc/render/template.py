"""A Jinja template over the finished run, as a format: it names `run` (as in the JSON output), `result`, `agents`, `input`, `variables`."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llm_orc.domain.event import Happening
from llm_orc.domain.message import FailedError, Outcome
from llm_orc.domain.plan import Plan
from llm_orc.domain.problem import Place, Problem, ProblemError
from llm_orc.domain.prompt import ALWAYS, Templates, check
from llm_orc.domain.run import Node, Run
from llm_orc.domain.said import Scope, identifier
from llm_orc.render.formats import Paper
from llm_orc.render.json import document

ON_PAGE = ALWAYS | {"run", "result"}
"""The names on a finished run's page."""


def page_of(run: Run, plan: Plan) -> Scope:
    """What a template over a finished run can name."""
    outcomes = {**plan.missing, **{node.name: _outcome(run, node) for node in run.top()}}
    return _Page(run.input, run.variables, outcomes, document=document(run, verbose=True))


class Template:
    """The rendered template, once the run is over."""

    cut = False

    def __init__(self, name: str, paper: Paper) -> None:
        """Read and check it; raises ProblemError."""
        if (plan := paper.plan) is None:
            raise ProblemError(Problem("the run is kept without its plan, which a template needs", Place(name), "take another format"))
        self._name, self._paper, self._plan = name, paper, plan
        self._template = Templates(plan.ensemble.files).read(_text(name, plan), name)
        known = {identifier(agent): agent for agent in (*plan.agents, *plan.missing)}
        problems = check(self._template, ON_PAGE, known, plan.variables)
        if problems:
            raise ProblemError(*(replace(problem, place=Place(name)) for problem in problems))

    def tell(self, event: Happening) -> None:
        """Nothing is written before the end."""

    def close(self, run: Run) -> None:
        """Write the page; where it cannot be rendered, the bare result, and raise ProblemError."""
        try:
            text = self._template.render(page_of(run, self._plan))
        except FailedError as error:
            self._paper.put(_ended(run.result))
            raise ProblemError(Problem(error.failure.what, Place(self._name), "the result is printed without it")) from None
        self._paper.put(_ended(text))


@dataclass(frozen=True, slots=True)
class _Page(Scope):
    document: dict[str, Any] = field(default_factory=dict)

    def names(self) -> dict[str, Any]:
        return {**Scope.names(self), "run": self.document, "result": self.document["result"]}


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def _outcome(run: Run, node: Node) -> Outcome:
    children = tuple(_outcome(run, child) for child in run.below(node))
    fanned_out = any(child.id.startswith(f"{node.id}[") for child in run.below(node))
    return Outcome(node.status, node.reply, node.failure, node.cause, children, fanned_out)


def _text(name: str, plan: Plan) -> str:
    """Of the ensemble's own format from where its files are; else from the working directory, or from there."""
    own, file = plan.ensemble.output_format == name, Path(name)
    if own or not file.exists():
        try:
            return plan.ensemble.files.text(name)
        except ProblemError as error:
            place = plan.ensemble.source.at("output_format") if own else None
            raise ProblemError(*(replace(problem, place=place) for problem in error.problems)) from None
    if not file.is_file():  # a pipe that nobody writes to would never be open
        raise ProblemError(Problem("is no file, and a template is one", Place(name)))
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ProblemError(Problem("a template is UTF-8 text, this is not", Place(name))) from None
    except OSError as error:
        raise ProblemError(Problem(f"the template cannot be read: {error.strerror}", Place(name))) from None
