"""Where runs are kept, and how many of them."""

from pathlib import Path

from llm_orc.config.layers import Layers
from llm_orc.domain.problem import Problem, ProblemError


def how_many(layers: Layers) -> int | str | None:
    """How many runs are kept, or how old they may be; None is all of them."""
    store = layers.settings.store
    return None if isinstance(store, str) else store.keep


def store_folder(layers: Layers) -> Path:
    """The folder of the store; raises ProblemError without a home, and where that of a project that is not trusted leads out of it."""
    store = layers.settings.store
    if not isinstance(store, str) and store.path:
        return layers.where.cwd / store.path
    if layers.project is None:
        state = layers.where.env.get("XDG_STATE_HOME", "")
        if not state.startswith("/") and not layers.where.home.is_dir():
            hint = "set HOME or XDG_STATE_HOME, or say in config.yaml: store: {path: FOLDER}"
            raise ProblemError(Problem("there is no home folder, where runs are kept", hint=hint))
        return (Path(state) if state.startswith("/") else layers.where.home / ".local/state") / "llm-orc"
    folder = layers.project / ".llm-orc/store"
    for each in layers.folders:
        if each.path == folder.parent and (problem := each.out_of_bounds(folder, layers.where.shown(folder))):
            raise ProblemError(problem)
    return folder
