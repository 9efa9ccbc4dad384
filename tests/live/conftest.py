"""What the calls of `make test-live` cost, told at the end."""

import pytest

SPENT = "spent"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each provider that was asked, and the sum."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    told = {report.nodeid: value for report in reports for key, value in report.user_properties if key == SPENT}
    if told:
        terminalreporter.section("spent")
        for provider, model, tokens, cost in told.values():
            terminalreporter.write_line(f"{provider:<12} {model:<32} {tokens:>7} tokens  ${cost:.6f}")
        terminalreporter.write_line(f"all together ${sum(cost for *_, cost in told.values()):.6f}")
