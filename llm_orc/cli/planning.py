"""From the words on the command line to a plan, asking for trust where that is needed."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llm_orc.cli.terminal import Terminal
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.render.safe import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_orc.config.layers import Layers
    from llm_orc.domain.plan import Choices, Plan


def planned_from(terminal: Terminal, name: str, choices: "Choices", *, later: bool = False) -> "tuple[Layers, Plan]":
    """The layers, and the plan of an ensemble as far as it may be looked at; raises ProblemError.

    With `later`, the input may still give variables, and those that are required stand for something until then.
    """
    from llm_orc.app import planned
    from llm_orc.config.layers import read_layers

    layers = read_layers(terminal.where)
    if not later:
        return layers, planned(layers, name, choices)
    from dataclasses import replace

    from llm_orc.domain.variable import stand_ins

    around = layers.around(name)
    ensemble = around.ensemble(name)
    return layers, planned(around, ensemble, replace(choices, variables={**stand_ins(ensemble), **choices.variables}))


def trusted_plan(terminal: Terminal, name: str, choices: "Choices", *, later: bool = False) -> "tuple[Layers, Plan]":
    """The layers, and a plan that may run; asks whether the project is trusted if need be. `later` as above. Raises ProblemError."""
    return trusted(terminal, name, lambda: planned_from(terminal, name, choices, later=later))


def trusted(terminal: Terminal, name: str, planned: "Callable[[], tuple[Layers, Plan]]") -> "tuple[Layers, Plan]":
    """Likewise of any plan that is made with the ensemble of this name."""
    try:
        layers, plan = planned()
        asked: tuple[Problem, ...] = plan.untrusted
    except ProblemError as error:
        if not error.untrusted or not terminal.can_ask:
            raise
        asked = error.problems
    else:
        if not asked:
            return layers, plan
    if not terminal.can_ask:
        raise ProblemError(*asked)
    ask_for_trust(terminal, name, asked)
    return planned()


def ask_for_trust(terminal: Terminal, name: str | None, asked: Sequence[Problem]) -> None:
    """Ask a person whether to trust what an ensemble comes from; raises what was `asked` about where it is not."""
    from llm_orc.config.trust import trust

    folders = untrusted_folders(terminal, name)
    terminal.tell(Problem(problem.what, problem.place, warning=True) for problem in asked)
    if not terminal.agrees(f"Trust everything in {one_line(', '.join(map(str, folders)))}, now and later?"):
        raise ProblemError(*asked)
    for folder in folders:
        trust(folder, terminal.where)


def untrusted_folders(terminal: Terminal, name: str | None = None) -> list[Path]:
    """The folders that would have to be trusted, for the ensemble of that name or path too."""
    from llm_orc.config.folders import folder_of, layers_of
    from llm_orc.config.layers import Layers
    from llm_orc.config.settings import Settings

    folders = list(layers_of(terminal.where))
    if name is not None and Layers(terminal.where, Settings(), tuple(folders)).is_path(name):
        folders.append(folder_of(terminal.where.cwd / name, folders, terminal.where))
    return list(dict.fromkeys(folder.root for folder in folders if not folder.trusted))


def warn(terminal: Terminal, *groups: Iterable[Problem]) -> None:
    """Say the warnings on stderr."""
    terminal.tell(problem for group in groups for problem in group)


def is_offline(terminal: Terminal, *, given: bool) -> bool:
    """Whether nothing may be sent to other machines."""
    return given or terminal.where.env.get("LLM_ORC_OFFLINE", "") not in ("", "0", "false", "no")


def choices_of(
    var: Sequence[str],
    only: str,
    profile: Sequence[str],
    *,
    no_deps: bool,
    max_parallel: str,
    max_cost: str = "",
    cache: bool | None = None,
) -> "Choices":
    """What the flags choose; raises ProblemError."""
    from llm_orc.domain.plan import Choices

    problems: list[Problem] = []
    if no_deps and not only:
        problems.append(Problem("--no-deps goes with --only", hint="--only AGENT --no-deps runs that agent alone"))
    variables = dict(_pair("--var", each, problems) for each in var)
    of_all = [each for each in profile if "=" not in each]
    of_one = dict(_pair("--profile", each, problems) for each in profile if "=" in each)
    if len(of_all) > 1:
        problems.append(Problem(f"--profile: both '{of_all[0]}' and '{of_all[1]}'", hint="for single agents: --profile AGENT=NAME"))
    if max_parallel and not (max_parallel.isascii() and max_parallel.isdigit() and int(max_parallel)):
        problems.append(Problem(f"--max-parallel: '{max_parallel}' is no number of calls", hint="a whole number, 1 or more"))
    dollars = _dollars(max_cost) if max_cost else None
    if max_cost and dollars is None:
        problems.append(Problem(f"--max-cost: '{max_cost}' is no amount of money", hint="US dollars, above 0: --max-cost 0.50"))
    agents = tuple(name.strip() for name in only.split(",") if name.strip())
    if only and not agents:
        problems.append(Problem("--only names no agent", hint="--only a,b"))
    if problems:
        raise ProblemError(*problems)
    most = int(max_parallel) if max_parallel else None
    return Choices(variables, agents, no_deps, of_all[0] if of_all else None, of_one, most, dollars, cache=cache)


def with_attachments(terminal: Terminal, choices: "Choices", names: Sequence[str]) -> "Choices":
    """The choices with the files of these names; raises ProblemError."""
    if not names:
        return choices
    from dataclasses import replace

    from llm_orc.cli.attach import attached

    return replace(choices, attachments=attached(terminal, names))


def _dollars(text: str) -> float | None:
    try:
        amount = float(text.removeprefix("$"))
    except ValueError:
        return None
    return amount if 0 < amount < float("inf") else None


def _pair(flag: str, text: str, problems: list[Problem]) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        problems.append(Problem(f"{flag}: '{text}' has no name and value", hint=f"{flag} NAME=VALUE"))
    return name.strip(), value
