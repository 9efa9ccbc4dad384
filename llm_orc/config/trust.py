"""Whether what a project says may run commands and read files: asked once per folder, and remembered in the user's own folder."""

import json
import os
from pathlib import Path

from llm_orc.config.reading import reason
from llm_orc.config.surroundings import Surroundings
from llm_orc.domain.problem import Place, Problem, ProblemError

WORLD_WRITABLE = 0o002


def is_trusted(folder: Path, where: Surroundings) -> bool:
    """Whether the user trusts what lies in this folder; raises ProblemError where the list of such folders is broken."""
    return where.env.get("LLM_ORC_TRUST") == "1" or os.path.realpath(folder) in trusted_folders(where)


def trust(folder: Path, where: Surroundings) -> None:
    """Remember that the user trusts this folder; raises ProblemError where that cannot be written."""
    _remember({*trusted_folders(where), os.path.realpath(folder)}, where)


def untrust(folder: Path, where: Surroundings) -> None:
    """Forget it again."""
    _remember({*trusted_folders(where)} - {os.path.realpath(folder)}, where)


def trusted_folders(where: Surroundings) -> tuple[str, ...]:
    """The folders that the user trusts, as real paths."""
    file = _file(where)
    try:
        folders = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise ProblemError(Problem(f"cannot be read: {reason(error)}", Place(where.shown(file)))) from None
    except ValueError:
        folders = None
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
        raise ProblemError(Problem("cannot be read as a list of folders", Place(where.shown(file)), "remove it, then: llm-orc trust"))
    return tuple(folders)


def refuse_foreign(folder: Path, where: Surroundings) -> None:
    """Raise ProblemError where somebody else could have written what a project says."""
    found = folder.stat()
    if found.st_mode & WORLD_WRITABLE:
        hint = f"close it: chmod o-w {where.shown(folder)}"
        raise ProblemError(Problem("everybody may write into this folder", Place(where.shown(folder)), hint))
    if found.st_uid != os.getuid() and where.env.get("LLM_ORC_TRUST") != "1":
        hint = "make it yours (chown), or set LLM_ORC_TRUST=1 if you know what is in it"
        raise ProblemError(Problem("belongs to another user", Place(where.shown(folder)), hint))


def _file(where: Surroundings) -> Path:
    return where.settings / "trusted.json"


def _remember(folders: set[str], where: Surroundings) -> None:
    import tempfile  # costs 5 ms, needed only here

    file = _file(where)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=".trusted-")  # made readable by the user only
        with os.fdopen(handle, "w", encoding="utf-8") as written:
            json.dump(sorted(folders), written, indent=2)
            written.write("\n")
        Path(name).replace(file)
    except OSError as error:
        raise ProblemError(Problem(f"cannot be written: {reason(error)}", Place(where.shown(file)))) from None
