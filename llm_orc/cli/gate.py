"""`--fail-on`: an expression over the finished run that says whether it is good enough."""

from dataclasses import dataclass, replace

from llm_orc.domain.message import FailedError
from llm_orc.domain.plan import Plan
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.prompt import Template, Templates, check
from llm_orc.domain.run import Run
from llm_orc.domain.said import identifier
from llm_orc.render.template import ON_PAGE, page_of

KEY = "--fail-on"
_THERE = f" in the template of '{KEY}'"


@dataclass(frozen=True, slots=True)
class Gate:
    """An expression that was checked before the run."""

    expression: Template
    plan: Plan

    def closes(self, run: Run) -> bool:
        """Whether the expression is true; raises ProblemError where it cannot be evaluated."""
        try:
            return bool(self.expression.value(page_of(run, self.plan)))
        except FailedError as error:
            what = error.failure.what.removeprefix(f"'{KEY}': ")
            raise ProblemError(Problem(f"{KEY}: {what}", hint="see what it reads: --output-format json")) from None


def gate_of(text: str, plan: Plan) -> Gate:
    """The gate for this expression, with or without `{{ }}`; raises ProblemError."""
    expression = Templates(plan.ensemble.files).expression(text if "{{" in text else f"{{{{ {text} }}}}", KEY)
    known = {identifier(name): name for name in (*plan.agents, *plan.missing)}
    problems = check(expression, ON_PAGE, known, plan.variables)
    if problems:
        raise ProblemError(*(replace(problem, what=f"{KEY}: {problem.what.replace(_THERE, '')}") for problem in problems))
    return Gate(expression, plan)
