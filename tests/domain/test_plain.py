"""What is filled in without Jinja is what Jinja would have made of it, in names, in text and in failure."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_orc.domain.files import NoFiles
from llm_orc.domain.message import FailedError, Outcome, Reply
from llm_orc.domain.plain import split_plain
from llm_orc.domain.prompt import Template, Templates
from llm_orc.domain.said import Scope

PARTS = [
    *("{{ input }}", "{{input}}", "{{  input  }}", "{{- input }}", "{{ input -}}", "{{{ input }}", "{{ input }}}", "{{\ninput }}"),
    *(
        "{{ agents.a }}",
        "{{ agents.a_b }}",
        "{{ agents.a.json.items }}",
        "{{ agents.a.json.none }}",
        "{{ agents.a.ok }}",
        "{{ agents.a.missing }}",
    ),
    *("{{ agents.a.__class__ }}", "{{ agents.gone }}", "{{ agents }}", "{{ agents.a.json.list }}", "{{ agents.a.json.none.more }}"),
    *("{{ variables.v }}", "{{ variables.v.items }}", "{{ variables.w }}", "{{ variables.nothing }}"),
    *("{{ item }}", "{{ item.path }}", "{{ item.keys }}", "{{ index }}", "{{ index.more }}", "{{ true }}", "{{ none }}", "{{ self }}"),
    *(
        "{{ 1 }}",
        "{{ input|upper }}",
        "{{ input.x",
        "{% if index %}",
        "{% endif %}",
        "{# #}",
        "{",
        "}",
        "}}",
        "{{",
        "\n",
        "\r\n",
        "\\",
        "é",
        "text",
    ),
]


SCOPE = Scope(
    "the input\n",
    {"v": {"items": [1, "two", None], "x": True}, "w": False},
    {"a": Outcome("succeeded", Reply('{"items": [1], "none": null, "list": ["é"]}')), "a-b": Outcome("failed", cause="timeout")},
    {"path": "x.py", "keys": 3},
    2,
)


def rendered(template: Template) -> str:
    try:
        return template.render(SCOPE)
    except FailedError as error:
        return f"failed: {error.failure}  {error.failure.what}"


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=6).map("".join))
def test_the_same_as_jinja_makes_of_it(text: str) -> None:
    plain = Templates(NoFiles()).read(text, "prompt")
    names = Templates(NoFiles())._names(text, ())
    assert plain.names == names
    if not names.faults:
        assert rendered(plain) == rendered(Template(text, names, "prompt", plain.environment))


@pytest.mark.parametrize(
    "text", ["{{ input }}", "a {{ agents.a.json.x }}\n\n{{variables.v}} }}", "{ {{ item }} {", "{{ index }}{{ item.path }}"]
)
def test_names_alone_need_no_jinja(text: str) -> None:
    assert split_plain(text) is not None


@pytest.mark.parametrize(
    "text", ["{{ input | upper }}", "{{ agents }}", "{{{ input }}", "{{ input }}\r\n", "{% if x %}{{ input }}{% endif %}", "{{ other }}"]
)
def test_all_else_does(text: str) -> None:
    assert split_plain(text) is None
