"""One call of `llm-orc runs resume`, from the run's id to the exit code."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from llm_orc.app import placed, planned
from llm_orc.cli.invocation import Wanted, call_of
from llm_orc.cli.output import target_of
from llm_orc.cli.planning import ask_for_trust, warn
from llm_orc.cli.runs_opened import opened
from llm_orc.cli.terminal import Terminal
from llm_orc.config.digest import digest
from llm_orc.config.folders import UNTRUSTED, FolderFiles, folder_of, real
from llm_orc.config.layers import Layers, read_layers
from llm_orc.domain.ensemble import ModelAgent
from llm_orc.domain.event import Happening
from llm_orc.domain.files import Files, NoFiles
from llm_orc.domain.past import is_whole
from llm_orc.domain.plan import Plan
from llm_orc.domain.problem import Place, Problem, ProblemError
from llm_orc.domain.profile import Profile
from llm_orc.domain.run import Run, fold
from llm_orc.domain.secret import MARK
from llm_orc.domain.spec import Change, Spec, changes, checked, is_comparison, plan_of, profile_as_kept, spec_of

NO_FILE = "<"
"""How the place of an ensemble begins that was made in Python, or to compare profiles."""
PROFILE = "profile"


class Asked(NamedTuple):
    """What the flags of `runs resume` say."""

    run: str
    wanted: Wanted
    max_cost: float | None
    offline: bool | None
    """None is as the run was begun."""
    again: bool


def resumed(terminal: Terminal, asked: Asked) -> int:
    """Go on with a run, or begin it anew; the exit code. Raises ProblemError."""
    target = target_of(terminal, asked.wanted.output, force=asked.wanted.force)
    with opened(terminal) as store:
        run_id = store.find(asked.run)
        if not asked.again and store.alive(run_id):
            raise ProblemError(Problem(f"another process works on the run '{run_id}'", hint="wait until it is done, or end it"))
        spec = checked(store.spec(run_id))
        past = () if asked.again else tuple(store.events(run_id))
        with store.asked():
            run = folded(past)
    whole = is_whole(run)
    layers, plan = _trusted(terminal, spec, runs=not whole)
    plan = replace(plan, max_cost=asked.max_cost or plan.max_cost)
    offline = spec["offline"] if asked.offline is None else asked.offline
    call = call_of(terminal, layers, plan, asked.wanted._replace(offline=offline), target)
    call.past, call.run, call.store = past, run, store.folder
    warn(terminal, layers.warnings, plan.warnings)
    if whole:
        call.tell_again()
    else:
        asyncio.run(call.performed(spec["input"]))
    return call.ended()


def _trusted(terminal: Terminal, spec: Spec, *, runs: bool) -> tuple[Layers, Plan]:
    """The plan as it was; one that `runs` only once the user trusts whoever wrote it, and with a word on what has changed since."""
    try:
        layers, plan, warnings = _planned(terminal, spec, runs=runs)
    except ProblemError as error:
        if not (error.untrusted and terminal.can_ask):
            raise
        ask_for_trust(terminal, _file(spec), error.problems)
        layers, plan, warnings = _planned(terminal, spec, runs=runs)
    warn(terminal, warnings)
    return layers, plan


def plan_as_kept(terminal: Terminal, spec: Spec) -> Plan:
    """The plan that a run was begun with, not to be run; raises ProblemError."""
    return _planned(terminal, checked(spec), runs=False)[1]


def _planned(terminal: Terminal, spec: Spec, *, runs: bool) -> tuple[Layers, Plan, list[Problem]]:
    here = read_layers(terminal.where)
    cwd = Path(spec["cwd"])
    if runs and not cwd.is_dir():
        raise ProblemError(Problem(f"the folder that the run was begun in is gone: {cwd}", hint="make it again, or run the ensemble anew"))
    layers = here if cwd == terminal.where.cwd else read_layers(replace(terminal.where, cwd=cwd))
    plan = plan_of(spec, partial(_files, layers, spec), layers.profiles)
    if not runs:
        return layers, plan, []
    changed = [] if (file := _file(spec)) is None else _changed(layers, spec, plan, file)
    if not here.trusted and (file is None or any(change.kind != PROFILE for change in changed) or not _within(here, cwd)):
        # Whoever wrote the project may have written this run, too.
        what = "the run is kept in a project that is not trusted, and is not what an ensemble's file says"
        raise ProblemError(Problem(what, hint=UNTRUSTED, untrusted=True))
    if plan.untrusted:
        raise ProblemError(*plan.untrusted)
    return layers, plan, [*_held_keys(spec), *(_warning(layers, change) for change in changed)]


def _file(spec: Spec) -> str | None:
    """The ensemble's file, of a comparison that of what it compares; None where there is none."""
    compared = spec["ensembles"][""]["data"]["agents"][0]["ensemble"] if is_comparison(spec) else ""
    file: str = spec["ensembles"][compared]["file"]
    return None if file.startswith(NO_FILE) else file


def _files(layers: Layers, spec: Spec, name: str) -> Files:
    """Those that an ensemble names: "" is the first."""
    file = Path(spec["ensembles"][name]["file"])
    return NoFiles() if str(file).startswith(NO_FILE) else FolderFiles(folder_of(file, layers.folders, layers.where), file.parent)


def _within(here: Layers, cwd: Path) -> bool:
    return here.project is not None and real(cwd).is_relative_to(real(here.project))


def _changed(layers: Layers, spec: Spec, plan: Plan, file: str) -> list[Change]:
    """What is not as it was when the run began."""
    scripts = {name: each for kept in spec["ensembles"].values() for name, each in kept["programs"].items()}
    changed = [Change("script", name) for name, each in scripts.items() if digest(each["path"]) != each["sha256"]]
    try:
        today = _compared(layers, plan, file) if plan.ensemble.source.is_comparison else planned(layers, file, plan.basis.choices)
    except ProblemError:
        return [Change("ensemble", file), *changed]
    kept = spec_of(today, "", place=partial(placed, layers.where.cwd), digest=digest)
    profiles = {name: profile_as_kept(found) for name in spec["profiles"] if (found := _profile(layers, name))}
    return list(dict.fromkeys([*changes(spec, {**kept, "profiles": profiles}), *changed]))


def _compared(layers: Layers, plan: Plan, file: str) -> Plan:
    """The comparison of the same profiles that today's file makes."""
    from llm_orc.cli.compare import comparison  # few runs are one

    answers, *judges = plan.ensemble.agents
    names = [variant.name for variant in plan.agents[answers.name].variants]
    judge = next((each.model_profile for each in judges if isinstance(each, ModelAgent)), None)
    choices = replace(plan.basis.choices, variables=getattr(answers, "parameters", {}))
    return comparison(layers, file, names, judge or "", choices)[1]


def _profile(layers: Layers, name: str) -> Profile | None:
    try:
        return layers.profiles.get(name)
    except ProblemError:
        return None


def _held_keys(spec: Spec) -> Iterator[Problem]:
    """What is not sent as it was, for a key is kept nowhere."""
    if MARK in spec["input"]:
        yield Problem(f"{MARK} stands in the input: if a key stood there, it is not kept", warning=True)
    for kept in spec["ensembles"].values():
        if MARK in str(kept["data"]) or MARK in str(kept["texts"]):
            yield Problem(f"{MARK} stands in it: if a key stood there, it is not kept", Place(kept["file"]), warning=True)


def _warning(layers: Layers, change: Change) -> Problem:
    goes_on = "has changed since the run began, which goes on with what it was"
    match change.kind:
        case "ensemble":
            return Problem(goes_on, Place(layers.where.shown(Path(change.name))), warning=True)
        case "script":
            return Problem(
                f"the script '{change.name}' has changed since the run began: what is still to do is done by the new one", warning=True
            )
    return Problem(f"the {change.kind} '{change.name}' {goes_on}", warning=True)


def folded(events: tuple[Happening, ...]) -> Run:
    """The run that they are."""
    run = Run()
    for event in events:
        fold(run, event)
    return run
