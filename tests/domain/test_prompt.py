import pytest

from llm_orc.domain.files import NoFiles
from llm_orc.domain.message import FailedError, Outcome
from llm_orc.domain.prompt import ALWAYS, Templates, check
from llm_orc.domain.said import Scope

SCOPE = Scope("the input", {}, {})


def faults(text: str) -> list[str]:
    return [problem.what for problem in check(Templates(NoFiles()).read(text, "prompt"), ALWAYS, {}, ())]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{{ input|upppper }}", "line 1: No filter named 'upppper'."),
        ("{{ 1 }}\n{{ input is strin }}", "line 2: No test named 'strin'."),
        ("{{ input", "line 1: unexpected end of template, expected 'end of print statement'."),
        ("{{ " * 20_000, "an expression is nested too deeply, or a number too large"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "an expression is nested too deeply, or a number too large"),
        ("{{ " + "1+" * 20_000 + "1 }}", "an expression is nested too deeply, or a number too large"),
        ("{{ " + "9" * 5000 + " }}", "an expression is nested too deeply, or a number too large"),
    ],
)
def test_what_is_wrong_with_a_template_is_told_before_the_run(text: str, what: str) -> None:
    assert faults(text) == [f"the template in 'prompt' is broken: {what}"]


@pytest.mark.parametrize("text", ["{{ not " + "not " * 5000 + "1 }}", "{{ 1 }}{{ 2 }}", "no tag"])
def test_what_is_no_expression_is_told(text: str) -> None:
    assert len(Templates(NoFiles()).expression(text, "when").names.faults) == 1


@pytest.mark.parametrize(
    "text",
    [
        "{{ 1 / 0 }}",
        "{{ 9 ** (9 ** 9) }}",
        "{{ 1e400|int }}",
        "{{ 'a' * 10 ** 13 }}",
        "{{ '%10000000000000d'|format(1) }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    ],
)
def test_what_cannot_be_worked_out_fails_its_reader(text: str) -> None:
    assert not faults(text)
    with pytest.raises(FailedError) as caught:
        Templates(NoFiles()).read(text, "prompt").render(SCOPE)
    assert caught.value.failure.what == "'prompt': it does not work on these values"


def test_powers_of_numbers_work() -> None:
    assert Templates(NoFiles()).read("{{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2.5 ** 2 }}", "prompt").render(SCOPE) == "1024 0.5 6.25"


def test_a_fan_out_that_did_not_run_has_nothing_to_go_through() -> None:
    scope = Scope("the input", {}, {"each": Outcome("skipped", cause="when")})
    text = "{% for reply in agents.each %}[{{ reply }}]{% else %}nobody{% endfor %}: {{ agents.each }}"
    assert Templates(NoFiles()).read(text, "prompt").render(scope) == "nobody: [no reply from each: when]"
