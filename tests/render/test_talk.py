import re

import pytest

from llm_orc.domain.event import (
    Answered,
    Cancelled,
    Delta,
    Failed,
    FellBack,
    Happening,
    Loading,
    Queued,
    Received,
    Repairing,
    Retrying,
    RunEnded,
    Sent,
    Skipped,
    Started,
    Warned,
)
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
    for event in numbered(MANY[:16]):
        fold(run, event)
        talk.tell(event)
    assert sheet.text == ("facts  succeeded  1.0 s  1,240 tokens\na      failed     network: 127.0.0.1:8000␛[2J does not answer  0.5 s\n")


def test_talk_says_warnings_at_once_and_each_once() -> None:
    sheet = Sheet()
    talk = Talk(sheet, Run())
    for node in ("", "a", "a"):
        talk.tell(Warned(node, "nothing has come\nfrom stdin"))
    assert sheet.text == "warning  nothing has come from stdin\nwarning  a: nothing has come from stdin\n"


LIMITED = Failure(Kind.RATE_LIMIT, "too many requests\x1b[2J", "wait")
DELAYED: tuple[Happening, ...] = (
    *begun("a", "other"),
    Queued("a", "max_parallel"),
    Queued("a", "api.openai.com", "api.openai.com"),
    Queued("a", "tokens_per_minute", "api.openai.com"),
    Started("a", "p", "careful", "openai", "large"),
    Sent("a", "api.openai.com", "careful", "openai", "large"),
    Received("a", "api.openai.com", "large", Usage(100, estimated=True), 0.25, LIMITED),
    Retrying("a", LIMITED, 2.0),
    Retrying("a", LIMITED, 61.0),
    FellBack("a", LIMITED, "cheap"),
    Loading("a", "small"),
    Sent("a", "127.0.0.1:8000", "cheap", "openai", "small"),
    Delta("a", "no JSON"),
    Received("a", "127.0.0.1:8000", "small", Usage(50, 5), 0.0),
    Repairing("a", "it is no JSON:\nno"),
    Sent("a", "127.0.0.1:8000", "cheap", "openai", "small"),
    Received("a", "127.0.0.1:8000", "small", Usage(70, 5), 0.0),
    Answered("a", Reply("{}", usage=Usage(220, 10), profile="cheap", finish="length")),
    *(Warned(name, "temperature is not taken") for name in ("a", "a", "other")),
    *answered("other", "x", cost=0.125, model="small", usage=Usage(10, 2)),
    RunEnded("{}"),
)


def said_of(*events: Happening, verbose: bool) -> list[str]:
    run, sheet = Run(), Sheet()
    talk = Talk(sheet, run, verbose=verbose)
    for event in numbered(events):
        fold(run, event)
        talk.tell(event)
    return sheet.text.splitlines()


def test_with_v_every_wait_and_attempt_is_a_line() -> None:
    assert said_of(*DELAYED[:-1], verbose=True) == [
        "a      waits for max_parallel",
        "a      waits for a place at api.openai.com",
        "a      waits for tokens_per_minute at api.openai.com",
        "a      retries in 2.0 s  rate_limit: too many requests␛[2J",
        "a      retries in 1m 01s  rate_limit: too many requests␛[2J",
        "a      falls back to cheap  rate_limit: too many requests␛[2J",
        "a      waits until small is loaded",
        "a      is asked to mend its reply  it is no JSON:",
        "a      succeeded  3.5 s  ~230 tokens",
        "warning  a: temperature is not taken",
        "warning  other: temperature is not taken",
        "other  succeeded  1.0 s  12 tokens",
    ]


def test_without_v_only_what_takes_long_or_changes_who_answers() -> None:
    assert said_of(*DELAYED[:-1], verbose=False)[:3] == [
        "a      retries in 1m 01s  rate_limit: too many requests␛[2J",
        "a      falls back to cheap  rate_limit: too many requests␛[2J",
        "a      waits until small is loaded",
    ]


def test_the_summary_tells_every_fallback_and_with_v_what_servers_and_models_took() -> None:
    run = run_of(*DELAYED)
    fell_back = "fell back  a: cheap answered instead of careful (careful: rate_limit: too many requests␛[2J)"
    quiet, verbose = summary(run), summary(run, verbose=True)
    cut = "cut  a: the reply is as long as it may be: raise max_tokens"
    assert quiet[:-1] == ["warning  a, other: temperature is not taken", fell_back, cut]
    assert verbose[:-1] == [
        "warning  a, other: temperature is not taken",
        fell_back,
        cut,
        "api.openai.com  1 request, at most 1 at once, 1.0 s waited for a place",
        "127.0.0.1:8000  3 requests, at most 1 at once",
        "large  ~100 tokens  ~$0.25",
        "small  142 tokens  $0.12",
    ]
    assert quiet[-1] == verbose[-1]
    assert quiet[-1].endswith("  ~242 tokens  ~$0.38")


def test_a_fallback_that_came_to_nothing_is_told_by_its_failure() -> None:
    events = (*begun("a"), Started("a", "p", "careful"), FellBack("a", REFUSED, "cheap"), Failed("a", LIMITED), RunEnded(""))
    assert not [line for line in summary(run_of(*events)) if "fell back" in line]


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
