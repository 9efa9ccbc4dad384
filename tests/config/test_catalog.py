"""`catalog:` in any layer: merged down to the fields of a model, and what is wrong with it told at its place."""

import json

import pytest

from llm_orc.config.layers import read_layers
from llm_orc.domain.model import ModelCard
from llm_orc.domain.problem import ProblemError
from tests.config.conftest import Machine
from tests.project import NewProject

USER = "~/.config/llm-orc/config.yaml"
PROJECT = ".llm-orc/config.yaml"


def said(machine: Machine, text: str, file: str = PROJECT) -> list[str]:
    where = machine({file: text})
    with pytest.raises(ProblemError) as caught:
        read_layers(where)
    return [str(problem).replace(str(where.home), "HOME") for problem in caught.value.problems]


def test_layers_merge_by_provider_model_and_field(machine: Machine) -> None:
    settings = read_layers(
        machine(
            {
                USER: """\
                    catalog:
                      openai:
                        base_url: https://mine.example/v1
                        tiers: {fast: a, careful: b}
                        models: {a: {context_window: 1000, capabilities: [vision, tools]}}
                    """,
                PROJECT: """\
                    catalog:
                      openai:
                        tiers: {fast: c}
                        models: {a: {max_output: 10}, c: {price: {input: 1, output: 2}}}
                    """,
            },
            LLM_ORC_CATALOG="{openai: {models: {a: {context_window: 2000}}}, groq: {tiers: {fast: x}}}",
        )
    ).settings

    openai = settings.catalog["openai"]
    assert (openai.base_url, openai.tiers) == ("https://mine.example/v1", {"fast": "c", "careful": "b"})
    assert openai.models["a"] == ModelCard(context_window=2000, max_output=10, capabilities=frozenset({"vision", "tools"}))
    assert list(settings.catalog) == ["groq", "openai"]
    told = {key: origin for key, origin in settings.origins().items() if key.startswith("catalog.")}
    home = str(machine().home)
    assert [f"{key} = {value} ({layer} {place})".replace(home, "~") for key, (value, layer, place) in told.items()] == [
        "catalog.groq.tiers.fast = x (environment LLM_ORC_CATALOG)",
        "catalog.openai.base_url = https://mine.example/v1 (user ~/.config/llm-orc/config.yaml:3:15)",
        "catalog.openai.tiers.fast = c (project .llm-orc/config.yaml:3:19)",
        "catalog.openai.tiers.careful = b (user ~/.config/llm-orc/config.yaml:4:31)",
        "catalog.openai.models.a.context_window = 2000 (environment LLM_ORC_CATALOG)",
        "catalog.openai.models.a.max_output = 10 (project .llm-orc/config.yaml:4:30)",
        "catalog.openai.models.a.capabilities = ['tools', 'vision'] (user ~/.config/llm-orc/config.yaml:5:54)",
        "catalog.openai.models.c.price = {'input': 1.0, 'output': 2.0} (project .llm-orc/config.yaml:4:46)",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("catalog: 3", "1:10: 'catalog' must be keys and values, not 3"),
        ("catalog: {openai: x}", "1:19: 'openai' must be keys and values, not 'x'"),
        (
            "catalog: {openai: {modls: {}}}",
            "1:20: no key 'modls' in a provider of the catalogue\nhint: did you mean 'models'?",
        ),
        (
            "catalog: {openai: {models: {a: {contextwindow: 1}}}}",
            "1:33: no key 'contextwindow' in a model of the catalogue\nhint: did you mean 'context_window'?",
        ),
        ("catalog: {openai: {models: {a: {context_window: 0}}}}", "1:49: 'context_window' must be at least 1, not 0"),
        ("catalog: {openai: {models: {a: {context_window: true}}}}", "1:49: 'context_window' must not be true"),
        ("catalog: {openai: {models: {a: {price: {input: 1}}}}}", "1:40: 'output' is missing"),
        (
            "catalog: {openai: {models: {a: {price: {input: true, output: 1}}}}}",
            "1:48: a price is a number of dollars, not true",
        ),
        (
            "catalog: {openai: {models: {a: {price: {input: 1, outptu: 2}}}}}",
            "1:51: no key 'outptu' in a price\nhint: did you mean 'output'?",
        ),
        ("catalog: {open ai: {}}", "1:11: 'open ai' is no name\nhint: a name has letters, digits, - and _, a letter first"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(machine: Machine, text: str, problem: str) -> None:
    assert said(machine, text) == [f"{PROJECT}:{problem}"]


def test_an_unknown_capability_names_the_nearest(machine: Machine) -> None:
    [problem] = said(machine, "catalog: {openai: {models: {a: {capabilities: [visoin]}}}}")
    assert problem.startswith(f"{PROJECT}:1:48: ")
    assert problem.endswith("hint: did you mean 'vision'?")


def test_a_project_does_not_say_where_keys_go(machine: Machine) -> None:
    text = "catalog:\n  openai:\n    base_url: https://evil.example/v1\n"
    [problem] = said(machine, text)
    assert problem.splitlines() == [
        f"{PROJECT}:3:5: 'base_url' in the catalogue of a project's config.yaml",
        "hint: a project cannot move a provider; write it in HOME/.config/llm-orc/config.yaml",
    ]
    layers = read_layers(machine({PROJECT: "", USER: text}))
    assert layers.settings.catalog["openai"].base_url == "https://evil.example/v1"
    assert layers.trusted_hosts == {"https://evil.example:443"}


def test_a_wrong_variable_is_told_by_its_name(machine: Machine) -> None:
    with pytest.raises(ProblemError) as caught:
        read_layers(machine(LLM_ORC_CATALOG="{openai: {tiers: 3}}"))
    assert str(caught.value) == "LLM_ORC_CATALOG: 'tiers' must be keys and values, not 3"


def test_it_is_shown_with_its_origin(project: NewProject) -> None:
    here = project({PROJECT: "catalog: {openai: {models: {a: {refuses: [top_p]}}}}\n"})
    outcome = here.run("config", "show", "--origin")
    assert (outcome.err, outcome.code) == ("", 0)
    [row] = [line.split() for line in outcome.out.splitlines() if line.startswith("catalog.")]
    assert row == ["catalog.openai.models.a.refuses", '["top_p"]', "project", f"{PROJECT}:1:42"]
    shown = json.loads(here.run("config", "show", "--json").out)
    assert shown["catalog.openai.models.a.refuses"] == ["top_p"]
