"""`llm-orc show`: what an ensemble is."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from llm_orc.cli.commands import app as new_app
from llm_orc.cli.commands import examples
from llm_orc.cli.options import Ensemble as Name
from llm_orc.cli.options import Json, Var

if TYPE_CHECKING:
    from llm_orc.cli.terminal import Terminal
    from llm_orc.domain.ensemble import Agent, Ensemble, Variable
    from llm_orc.domain.plan import Plan, PlannedAgent

app = new_app()


@app.command(epilog=examples("llm-orc show code-review", "llm-orc show code-review --graph mermaid > graph.mmd"))
def show(
    ctx: typer.Context,
    ensemble: Name,
    graph: Annotated[
        str | None,
        typer.Option(
            "--graph",
            metavar="FORM",
            help="Draw its graph instead: mermaid, dot or ascii.",
            autocompletion=lambda: ["mermaid", "dot", "ascii"],
        ),
    ] = None,
    var: Var = [],  # noqa: B006 - typer reads it and copies it
    json: Json = False,
) -> int:
    """Show what an ensemble is for, its variables and agents, and where it comes from."""
    from llm_orc.app import planned
    from llm_orc.cli.planning import choices_of, warn
    from llm_orc.config.layers import read_layers
    from llm_orc.domain.plan import Choices
    from llm_orc.domain.variable import stand_ins

    terminal: Terminal = ctx.obj
    layers = read_layers(terminal.where)
    around = layers.around(ensemble)
    found = around.ensemble(ensemble)
    if json and graph is None:
        _print_json(terminal, found)
    else:
        chosen = choices_of(var, "", (), no_deps=False, max_parallel="").variables
        plan = planned(around, found, Choices({**stand_ins(found), **chosen}))
        if graph is None:
            _print(terminal, found, plan)
        else:
            from llm_orc.render.graph import graph as drawn

            terminal.answer(drawn(plan, graph))
    warn(terminal, layers.warnings)
    return 0


def _print_json(terminal: "Terminal", ensemble: "Ensemble") -> None:
    from llm_orc.render.json import plain, to_json

    written = ensemble.model_dump(mode="json", exclude_unset=True)
    terminal.answer(to_json(plain({**written, "name": ensemble.name, "file": ensemble.source.file}), indent=2) + "\n")


def _print(terminal: "Terminal", ensemble: "Ensemble", plan: "Plan") -> None:
    from llm_orc.cli.table import table
    from llm_orc.render.safe import one_line

    width = terminal.stdout.width
    terminal.answer(f"{one_line(ensemble.name)}  {one_line(ensemble.description)}".rstrip() + f"\n{one_line(ensemble.source.file)}\n")
    if ensemble.default_task:
        terminal.answer(f"\nwithout input  {one_line(ensemble.default_task)}\n")
    if ensemble.variables:
        terminal.answer("\nvariables\n" + table((_variable(name, each) for name, each in ensemble.variables.items()), width, "  "))
    terminal.answer("\nagents\n" + table((_agent(agent, plan.agents[agent.name]) for agent in ensemble.agents), width, "  "))
    if ensemble.synthesis is not None:
        terminal.answer(f"\nsynthesis\n  {one_line(_synthesis(ensemble.synthesis.model_dump(exclude_unset=True)))}\n")


def _variable(name: str, variable: "Variable") -> tuple[str, str, str]:
    from llm_orc.domain.said import text_of

    value = "required" if variable.required else "" if variable.default is None else f"= {text_of(variable.default)}"
    choices = f"one of {', '.join(map(str, variable.choices))}" if variable.choices else variable.type or ""
    return name, value, "; ".join(filter(None, (choices, variable.description)))


def _agent(agent: "Agent", planned: "PlannedAgent") -> tuple[str, str, str, str]:
    from llm_orc.render.plan import after

    return agent.name, agent.body, _body(agent), f"after {after(planned)}" if planned.depends_on else ""


def _body(agent: "Agent") -> str:
    match agent.body:
        case "script" | "ensemble":
            return str(getattr(agent, agent.body))
        case "command":
            return " ".join(getattr(agent, "command", ()))
        case _:
            model = getattr(agent, "model", None)
            return f"{getattr(agent, 'provider', '')}/{model}" if model else getattr(agent, "model_profile", None) or ""


def _synthesis(written: dict[str, Any]) -> str:
    return "; ".join(f"{key}: {value}" for key, value in written.items())
