"""What `llm-orc runs prune` forgets."""

import time
from typing import NamedTuple

from llm_orc.cli.runs_opened import moment, number, opened, size
from llm_orc.cli.table import table
from llm_orc.cli.terminal import Terminal
from llm_orc.config.keeping import how_many
from llm_orc.config.layers import read_layers
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.render.json import to_json
from llm_orc.render.kept import run_document, run_row
from llm_orc.render.words import counted
from llm_orc.store.pruned import Bounds, beyond, pin, prune


class Asked(NamedTuple):
    """What the flags say."""

    older_than: str
    keep: str
    max_size: str
    pin: str
    unpin: str
    dry_run: bool
    json: bool


def pruned(terminal: Terminal, asked: Asked) -> int:
    """Pin what is to be pinned, and forget what is beyond the bounds; the exit code. Raises ProblemError."""
    now = time.time()
    bounds = _bounds(terminal, asked, now)
    with opened(terminal) as store:
        for word, pinned in ((asked.pin, True), (asked.unpin, False)):
            if word:
                run_id = store.find(word)
                pin(store, run_id, pinned=pinned)
                terminal.say(f"{'pinned' if pinned else 'no longer pinned'}: {run_id}\n")
        if bounds is None:
            return 0
        runs = beyond(store, bounds)
        if not asked.dry_run:
            prune(store, runs)
    if asked.json:
        terminal.answer(to_json([run_document(run) for run in runs], indent=2) + "\n")
    else:
        terminal.answer(table((run_row(run, now) for run in runs), terminal.stdout.width, folds=True))
    terminal.say(f"{counted(len(runs), 'run')} {'would be forgotten' if asked.dry_run else 'forgotten'}\n")
    return 0


def _bounds(terminal: Terminal, asked: Asked, now: float) -> Bounds | None:
    """What may stay; None where nothing is to be forgotten. Raises ProblemError where nothing says what."""
    given = Bounds(
        number(asked.keep, "--keep", 0) if asked.keep else None,
        moment(asked.older_than, "--older-than", now) if asked.older_than else None,
        size(asked.max_size, "--max-size") if asked.max_size else None,
    )
    if given != Bounds():
        return given
    if asked.pin or asked.unpin:
        return None
    keep = how_many(read_layers(terminal.where))
    if keep is None:
        hint = "llm-orc runs prune --older-than 30d, --keep 100 or --max-size 500MB; or store: {keep: 100} in config.yaml"
        raise ProblemError(Problem("nothing says which runs to forget", hint=hint))
    return Bounds.of(keep, now)
