"""`--split DIR`: the sections of a result as files of their own."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from llm_orc.cli.output import Target, opened, target_of
from llm_orc.cli.terminal import Terminal, reason
from llm_orc.domain.documented import section_name
from llm_orc.domain.plan import Plan
from llm_orc.domain.problem import Place, Problem, ProblemError
from llm_orc.domain.run import Run
from llm_orc.render.formats import Format, Paper

ENDINGS = {"markdown": ".md", "text": ".txt", "html": ".html", "docx": ".docx", "pdf": ".pdf"}
"""By the formats that a section can be written in."""


@dataclass(frozen=True, slots=True)
class Split:
    """The files that are written, by the agents whose replies they are."""

    folder: Path
    plan: Plan
    files: dict[str, tuple[Target, Format]]

    def write(self, run: Run) -> None:
        """Write those whose agents have a reply; raises ProblemError."""
        from llm_orc.render.sections import sections

        told = dict(sections(run, self.plan))
        if told:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ProblemError(Problem(f"the folder cannot be made: {reason(error)}", Place(str(self.folder)))) from None
        for name, text in told.items():
            target, shape = self.files[name]
            shape.close(replace(run, ensemble=name, result=text))
            target.finish()


def _names(plan: Plan) -> Iterator[str]:
    """Of the sections that there may be."""
    for name in plan.leaves:
        variants = plan.agents[name].variants
        yield from (section_name(name, variant.name) for variant in variants) if variants else [name]


def split_of(terminal: Terminal, plan: Plan, named: str, output_format: str | None, css: str | None, *, force: bool) -> Split:
    """What is to be written; raises ProblemError before anything is spent on files that could not be."""
    form = output_format or "markdown"
    if form not in ENDINGS:
        hint = f"take one of: {', '.join(ENDINGS)}"
        raise ProblemError(Problem(f"--split does nothing with the format '{form}'", hint=hint))
    folder = terminal.where.cwd / named
    if folder.exists() and not folder.is_dir():
        raise ProblemError(Problem("is a file, and --split names a folder", Place(named)))
    problems: list[Problem] = []
    files: dict[str, tuple[Target, Format]] = {}
    for name in _names(plan):
        shown = f"{named.rstrip('/')}/{name}{ENDINGS[form]}"
        try:
            target = target_of(terminal, shown, force=force) if folder.is_dir() else Target(terminal, terminal.where.cwd / shown, shown)
            files[name] = target, opened(form, Paper(target.write, plan, css=css))
        except ProblemError as error:
            problems += error.problems
    if problems:
        raise ProblemError(*dict.fromkeys(problems))
    return Split(folder, plan, files)
