"""What `llm-orc runs export` writes."""

from typing import NamedTuple

from llm_orc.cli.output import BY_ENDING, FOREIGN, by_ending, refuse_ending, style_sheet, target_of
from llm_orc.cli.output import opened as opened_format
from llm_orc.cli.runs_opened import opened
from llm_orc.cli.runs_shown import folded
from llm_orc.cli.terminal import Terminal
from llm_orc.domain.plan import Plan
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.run import Run
from llm_orc.domain.spec import Spec, is_comparison
from llm_orc.render.formats import FORMATS, Paper
from llm_orc.render.whole import EVERYTHING, whole
from llm_orc.store.pages import kept_run


class Asked(NamedTuple):
    """What the flags say."""

    run: str
    output_format: str | None
    output: str | None
    force: bool
    css: str | None
    split: str | None


def exported(terminal: Terminal, asked: Asked) -> int:
    """Write a run; the exit code. Raises ProblemError."""
    target = target_of(terminal, asked.output, force=asked.force, split=asked.split)
    if not asked.output_format:
        refuse_ending(target, BY_ENDING, FOREIGN)
    chosen = asked.output_format or by_ending(target, BY_ENDING) or EVERYTHING
    css = None if asked.css is None else style_sheet(terminal, asked.css, asked.output_format or chosen)
    with opened(terminal) as store:
        run_id = store.find(asked.run)
        run = folded(store, run_id, "")
        if asked.split is not None:
            _split(terminal, asked, asked.split, run, store.kept_spec(run_id), css)
        if not target.is_wanted:
            return 0
        if chosen == EVERYTHING:
            for piece in whole(run, kept_run(store, run_id), store.kept_spec(run_id), store.events(run_id)):
                target.write(piece)
        else:
            spec = store.kept_spec(run_id)
            plan = None if chosen in FORMATS and not is_comparison(spec) else _plan(terminal, spec)
            shape = opened_format(chosen, Paper(target.write, plan, verbose=True, width=target.width, color=target.color, css=css))
            for event in store.events(run_id):
                shape.tell(event)
            shape.close(run)
    target.finish()
    return 0


def _split(terminal: Terminal, asked: Asked, folder: str, run: Run, spec: Spec | None, css: str | None) -> None:
    from llm_orc.cli.split import split_of

    plan = _plan(terminal, spec)
    if plan is None:
        raise ProblemError(Problem(f"what '{run.id}' was begun with is not kept, and so not what its sections are"))
    split_of(terminal, plan, folder, asked.output_format, css, force=asked.force).write(run)


def _plan(terminal: Terminal, spec: Spec | None) -> Plan | None:
    """What formats of others, and templates, may look at."""
    if spec is None:
        return None
    from llm_orc.cli.resuming import plan_as_kept

    return plan_as_kept(terminal, spec)
