"""What outlives a run: its events as they happen, in SQLite, and its long texts as files.

`Store.open(folder)` opens it, `store.begin(run_id, run, spec)` gives the `Journal` of a run, which listens to its events. A run id that is
there already is continued: the journal takes it over, unless the process that writes it lives. `store.events(run_id)` gives back what was
told, `Delta` left out: folded, they are the run. `spec` is whatever JSON it takes to make the plan again.
"""
