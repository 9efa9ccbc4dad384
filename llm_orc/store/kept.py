"""The store as a session has it: whatever is wrong with it is a warning, and the run goes on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.run import Run
from llm_orc.store.journal import Journal
from llm_orc.store.runs import Store, TakenError

if TYPE_CHECKING:
    from llm_orc.store.replies import KeptReplies


class Kept:
    """Keeps runs in the store of a folder, as far as that can be used."""

    def __init__(self, folder: Path, keep: int | str | None = None) -> None:
        """What keeps the store from being opened is the first of the warnings. `keep` so many runs, or those of such an age."""
        self._keep = keep
        self.warnings: list[Problem] = []
        self.store: Store | None = None
        try:
            self.store = Store.open(folder)
        except ProblemError as error:
            self._warn_of(error, "is not kept")

    def journal(self, run_id: str, run: Run, spec: Mapping[str, Any] | None) -> Journal | None:
        """What a run is told to; None where it is not kept. Raises TakenError for one that cannot be gone on with."""
        if self.store is None:
            return None
        try:
            return self.store.begin(run_id, run, spec, self.warnings.append)
        except TakenError:
            raise
        except ProblemError as error:
            self._warn_of(error, "is kept only up to here" if run.last_seq else "is not kept")
            return None

    def replies(self, run_id: str, ensemble: str) -> "KeptReplies | None":
        """Those that the runs of this store were given, for one run; None where they cannot be had."""
        if self.store is None:
            return None
        from llm_orc.store.replies import KeptReplies

        return KeptReplies(self.store, run_id, ensemble, self.warnings.append)

    def close(self) -> None:
        """Close the store, and forget the runs that are too many."""
        if self.store is None:
            return
        try:
            if self._keep is not None:
                from llm_orc.store.pruned import Bounds, beyond, prune

                if runs := beyond(self.store, Bounds.of(self._keep)):
                    prune(self.store, runs, shrink=False)
        except ProblemError as error:
            self.warnings += (replace(each, warning=True) for each in error.problems)
        finally:
            self.store.close()

    def _warn_of(self, error: ProblemError, kept: str) -> None:
        self.warnings += (replace(each, what=f"{each.what}: this run {kept}", warning=True) for each in error.problems)
