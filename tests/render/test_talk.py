import re

import pytest

from llm_orc.domain.event import Answered, Cancelled, Failed, RunEnded, Skipped, Started, Warned
from llm_orc.domain.message import Failure, Kind, Reply, Usage
from llm_orc.domain.problem import Place, Problem
from llm_orc.domain.run import Run, fold
from llm_orc.render.problems import told
from llm_orc.render.rich import LONGEST, laid_out
from llm_orc.render.talk import Talk, summary
from llm_orc.render.words import dollars, seconds
from tests.render.runs import Sheet, answered, begun, numbered, run_of

REFUSED = Failure(Kind.NETWORK, "127.0.0.1:8000\x1b[2J does not answer", "start the server")
MANY = (
    *begun("facts", "a", "b", "c", "d", "e", "late", "judge"),
    *answered("facts", "{}", usage=Usage(1_200, 40), cost=0.0031),
    *(event for name in "abcde" for event in (Started(name), Failed(name, REFUSED))),
    Skipped("late", "when"),
    Skipped("judge", "offline"),
    Warned("facts", "cut\nby max_tokens"),
    RunEnded("{}"),
)


def test_talk_says_each_end_in_a_line() -> None:
    run, sheet = Run(), Sheet()
    talk = Talk(sheet, run)
    for event in numbered(MANY[:15]):
        fold(run, event)
        talk.tell(event)
    assert sheet.text == ("facts  succeeded  1.0 s  1,240 tokens\na      failed     network: 127.0.0.1:8000␛[2J does not answer  0.5 s\n")


def test_talk_says_warnings_at_once() -> None:
    sheet = Sheet()
    Talk(sheet, Run()).tell(Warned("", "nothing has come\nfrom stdin"))
    assert sheet.text == "warning  nothing has come from stdin\n"


def test_the_summary_says_what_ran_what_failed_what_was_skipped_and_what_it_took() -> None:
    assert summary(run_of(*MANY)) == [
        "warning  facts: cut by max_tokens",
        "failed 5 agents  a, b, c, d and 1 more: network: 127.0.0.1:8000␛[2J does not answer",
        "hint: start the server",
        "skipped  late: when",
        "skipped  judge: offline",
        "review failed  1 succeeded, 5 failed, 2 skipped  12.5 s  1,240 tokens  $0.0031",
    ]


BROKEN = Failure(Kind.SCRIPT, "'x.py': exit code 1\n" + "\n".join(f"  line {number}\x1b[2J" for number in range(1, 11)))


def test_what_a_script_said_at_last_stands_below_its_name_line_by_line() -> None:
    events = (*begun("a", "b"), *(event for name in "ab" for event in (Started(name), Failed(name, BROKEN))), RunEnded(""))
    assert summary(run_of(*events)) == [
        "failed 2 agents  a, b: script: 'x.py': exit code 1",
        *(f"    line {number}␛[2J" for number in range(3, 11)),
        "review failed  2 failed  3.5 s",
    ]


def test_while_it_runs_a_failure_is_one_line() -> None:
    run, sheet = Run(), Sheet()
    talk = Talk(sheet, run)
    for event in numbered((*begun("a"), Started("a"), Failed("a", BROKEN))):
        fold(run, event)
        talk.tell(event)
    assert sheet.text == "a  failed     script: 'x.py': exit code 1  0.5 s\n"


@pytest.mark.parametrize(("width", "color"), [(40, False), (40, True), (17, False)])
def test_on_a_narrow_terminal_lines_break_between_words(width: int, *, color: bool) -> None:
    problem = Problem("the command of 'echo' comes from a project that is not trusted", Place("far/away/review.yaml", 14, 25), "look at it")
    written = [*summary(run_of(*MANY), color=color, width=width), told([problem], color=color, width=width)]
    plain = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(written))
    assert max(len(line) for line in plain.splitlines() if len(line.split()) > 1) <= width
    assert plain.split() == "\n".join([*summary(run_of(*MANY)), told([problem])]).split()
    assert "\nfar/away/review.yaml:14:25:" in plain


def test_an_unknown_price_is_named_and_never_nothing() -> None:
    cheap, dear, local = (
        answered("a", "x", cost=0.02, model="m1"),
        answered("b", "x", cost=None, model="m2"),
        answered("b", "x", cost=0.0),
    )
    both = summary(run_of(*begun("a", "b"), *cheap, *dear, RunEnded("x")))
    assert both[-2] == "unpriced  m2: no known price"
    assert both[-1].endswith("  at least $0.02")
    unpriced = "\n".join(summary(run_of(*begun("b"), *dear, RunEnded("x"))))
    assert "unpriced  m2" in unpriced
    assert "$" not in unpriced
    assert summary(run_of(*begun("b"), *local, RunEnded("x")))[-1].endswith("  $0")
    assert "$" not in summary(run_of(*begun("b"), Started("b"), Answered("b", Reply("x")), RunEnded("x")))[-1]


def test_the_summary_says_what_cut_the_run_short_and_why_the_synthesis_broke() -> None:
    cut = summary(run_of(*begun("a", "b"), *answered("a", "x"), Started("b"), Cancelled("b"), RunEnded("", "interrupt")))
    assert cut[0].startswith("cancelled  b: ")
    assert "interrupted" in cut[-1]
    broken = run_of(*begun("a"), *answered("a", "x"), RunEnded("x", failure=Failure(Kind.MALFORMED, "no key 'b'", "look")))
    assert summary(broken)[:2] == ["failed  synthesis: malformed: no key 'b'; the agents' replies are printed instead", "hint: look"]


def test_colours_only_where_they_are_wanted() -> None:
    run = run_of(*MANY)
    assert "\x1b" not in "".join(summary(run))
    assert "\x1b[31mfailed\x1b[0m" in "".join(summary(run, color=True))


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, ""), (0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1m 00s"), (125, "2m 05s"), (3_725, "1h 02m"), (-1, "0.0 s")],
)
def test_seconds_in_words(value: float | None, words: str) -> None:
    assert seconds(value) == words


@pytest.mark.parametrize(("cost", "words"), [(0, "$0"), (0.00001, "under $0.0001"), (0.0031, "$0.0031"), (0.05, "$0.05"), (1.2, "$1.20")])
def test_dollars_in_words(cost: float, words: str) -> None:
    assert dollars(cost) == words


def test_problems_say_where_what_and_what_next() -> None:
    problems = (
        Problem("no profile 'fsat'", Place("review.yaml", 4, 5), "did you mean 'fast'?"),
        Problem("'raw_output' does nothing", Place("review.yaml", 9, 1), warning=True),
        Problem("no input\x1b[2J"),
    )
    assert told(problems) == (
        "review.yaml:4:5: no profile 'fsat'\nhint: did you mean 'fast'?\n"
        "review.yaml:9:1: warning: 'raw_output' does nothing\n"
        "error: no input␛[2J\n"
    )
    assert told(problems[:1], color=True) == (
        "\x1b[1mreview.yaml:4:5:\x1b[0m \x1b[31mno profile 'fsat'\x1b[0m\n\x1b[36mhint:\x1b[0m did you mean 'fast'?\n"
    )


def test_markdown_is_laid_out_and_nothing_is_lost() -> None:
    code = "x = '" + "long " * 40 + "'"
    page = laid_out(
        f"# Head\none\ntwo List<int> <b>bold</b>\n\n```python\n{code}\n```\n[words](http://a.example/b) ![alt](http://c.example)",
        60,
        color=False,
    )
    assert page.startswith("Head\n\none\ntwo List<int> <b>bold</b>\n")
    assert code.replace(" ", "") in page.replace("\n", "").replace(" ", "")
    assert "words (http://a.example/b) alt (http://c.example)" in page
    assert max(map(len, page.splitlines())) <= 60
    assert "\x1b" not in page
    coloured = laid_out("**bold** [x](javascript:alert)\x1b]8;;http://evil\x07", 60, color=True)
    assert "\x1b[1mbold" in coloured
    assert "\x1b]" not in coloured
    assert "␛]8;;" in coloured


def test_a_very_long_result_is_printed_as_it_is() -> None:
    assert laid_out("# " + "a" * LONGEST, 80, color=True) == "# " + "a" * LONGEST + "\n"
