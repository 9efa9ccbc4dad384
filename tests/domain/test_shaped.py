"""Templates held against the schema of what they render."""

from typing import Any

import jinja2
import pytest

from llm_orc.domain.shaped import faults_of_shape

PERSON = {
    "type": "object",
    "required": ["name", "goals", "home"],
    "properties": {
        "name": {"type": "string"},
        "goals": {"type": "array", "items": {"type": "string"}},
        "home": {"$ref": "#/$defs/home"},
        "quote": {"type": ["string"]},
        "more": {"type": "object"},
        "items": {"type": "string"},
    },
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["people", "any"],
    "properties": {
        "people": {"type": "array", "items": PERSON},
        "any": {},
        "one": {"anyOf": [PERSON, {"type": "null"}]},
        "open": {"type": "object", "properties": {"x": {"type": "string"}}, "additionalProperties": True},
        "tree": {"$ref": "#"},
    },
    "$defs": {"home": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}},
}
OTHERS = {"card.md.j2": "{{ person.name }} {{ person.adress }}", "loop.md.j2": "{% include 'loop.md.j2' %}"}


def faults(text: str, schema: dict[str, Any] = SCHEMA) -> list[tuple[str, str]]:
    return faults_of_shape(text, schema, jinja2.Environment(autoescape=False).parse, OTHERS.__getitem__)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{{ output }}",
        "{% for p in output.people %}{{ loop.index }}{{ p.name | upper }}{{ p.home.city }}{{ p['goals'] | join }}{% endfor %}",
        "{% for person in output.people if person.quote is defined %}{{ person.quote }}{% endfor %}",
        "{% for person in output.people %}{% if person.quote is defined %}{{ person.quote }}{% endif %}{% endfor %}",
        "{% for person in output.people %}{{ person.quote | default('silent') }}{{ person.quote if person.quote is defined }}{% endfor %}",
        "{% for person in output.people %}{% for goal in person.goals %}{{ goal.upper() }}{{ goal.anything }}{% endfor %}{% endfor %}",
        "{{ output.any.thing[3].whatever }}",
        "{% if output.open is defined %}{{ output.open.y }}{% endif %}",
        "{% if output.one is defined and output.one %}{{ output.one.name }}{% endif %}",
        "{% for key, value in output.items() %}{{ key }}{{ value.x }}{% endfor %}{{ output.get('people') }}",
        "{{ output.people[0].name }}{{ output.people[:2][0].name }}{{ (output.people | first).name }}",
        "{{ output.people | map(attribute='home.city') | join(', ') }}{{ output.people | sort(attribute='name') | length }}",
        "{% set all = output.people %}{% for person in all | sort(attribute='name') %}{{ person.name }}{% endfor %}",
        "{% if output.tree is defined %}{% set x = output %}{% else %}{% set x = output.people %}{% endif %}{{ x.people }}",
        "{% macro show(p) %}{{ p.x }}{% endmacro %}{% for person in output.people %}{{ show(person) }}{% endfor %}",
        "{{ input }}{{ variables.x }}{{ agents.y.json.z }}",
        "{% include 'loop.md.j2' %}",
    ],
)
def test_what_the_schema_has_may_be_named(text: str) -> None:
    assert faults(text) == []


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("a\n{{ output.poeple }}", "line 2: output has no 'poeple'", "did you mean 'people'?"),
        ("{% for p in output.people %}{{ p.gaols }}{% endfor %}", "line 1: output.people[] has no 'gaols'", "did you mean 'goals'?"),
        ("{% for p in output.people %}{{ p['zip'] }}{% endfor %}", "output.people[] has no 'zip'", "it has: name, goals, home, quote"),
        ("{{ output.people.name }}", "output.people has no 'name'", "it is a list: {% for each in output.people %}"),
        ("{{ (output.people | last).home.town }}", "output.people[].home has no 'town'", "it has: city"),
        ("{{ output.people | map(attribute='home.town') | list }}", "output.people[].home has no 'town'", "it has: city"),
        ("{{ output.people | selectattr('nme') | list }}", "output.people[] has no 'nme'", "did you mean 'name'?"),
        ("{% for p in output.people %}{% if p.citty is defined %}{% endif %}{% endfor %}", "has no 'citty'", "it has"),
        ("{{ output.poeple | default([]) }}", "output has no 'poeple'", "people"),
        ("{% if output.tree is defined %}{{ output.tree.tree.nobody }}{% endif %}", "output.tree.tree has no 'nobody'", "it has"),
        (
            "{% for person in output.people %}{% include 'card.md.j2' %}{% endfor %}",
            "line 1 of 'card.md.j2': output.people[] has no 'adress'",
            "",
        ),
        ("{% set p = output.people[0] %}{{ p.nme }}", "has no 'nme'", "did you mean 'name'?"),
        ("{{ output.one }}", "output may have no 'one', which the output_schema does not require", "list it under 'required'"),
        ("{% for p in output.people %}{{ p.quote }}{% endfor %}", "output.people[] may have no 'quote'", "is defined"),
    ],
)
def test_what_it_does_not_have_is_told_with_its_line(text: str, what: str, hint: str) -> None:
    ((said, advice),) = faults(text)
    assert what in said
    assert hint in advice


@pytest.mark.parametrize("schema", [{"$ref": "elsewhere.json"}, {"allOf": [SCHEMA]}, {"anyOf": [SCHEMA, {}]}, {}, {"type": "object"}])
def test_of_what_is_not_known_nothing_is_said(schema: dict[str, Any]) -> None:
    assert faults("{{ output.poeple.name }}", schema) == []
