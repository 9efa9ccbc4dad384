"""Measures the program against its budgets: `python -m bench`. Never part of the tests; nothing here is timed by an assertion."""
