"""`${VAR}` in profiles and config.yaml."""

import re
from collections.abc import Mapping
from typing import Any

from llm_orc.config.folders import CALLED, PROJECT, UNTRUSTED, Folder
from llm_orc.config.reading import Document
from llm_orc.domain.problem import KeyPath, Problem
from llm_orc.domain.secret import names_key, names_secret, remember

_REFERENCE = re.compile(r"\$(?:\$|\{([^}]*)\}?)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def expand(document: Document, path: KeyPath, env: Mapping[str, str], folder: Folder) -> None:
    """Fill in every `${VAR}` at or below `path`, `$$` being `$`; note what is unset, and what a project may not ask for."""
    owner, value = None, document.data
    for step in path:
        owner, value = value, value[step]
    filled = _filled(document, path, value, env, folder)
    if owner is None:
        document.data = filled
    else:
        owner[path[-1]] = filled


def _filled(document: Document, path: KeyPath, value: Any, env: Mapping[str, str], folder: Folder) -> Any:
    if isinstance(value, dict):
        return {key: _filled(document, (*path, key), inner, env, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(document, (*path, index), inner, env, folder) for index, inner in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value

    document.filled[path] = value
    return _REFERENCE.sub(lambda found: _replaced(document, path, found, env, folder), value)


def _replaced(document: Document, path: KeyPath, found: re.Match[str], env: Mapping[str, str], folder: Folder) -> str:
    """What stands in the place of one reference: itself, where it may not be filled in."""
    if found[0] == "$$":
        return "$"
    name = found[1]
    if not found[0].endswith("}") or not _VARIABLE.fullmatch(name):
        document.fault(path, f"'{found[0]}' names no environment variable", "write ${NAME}, or $$ for a single $")
    elif names_key(name) and folder.layer in (PROJECT, CALLED):
        hint = "a provider's key goes to its own server by itself; what else needs one belongs into your own profiles"
        document.fault(path, f"the key in {name} is never filled into a project's files", hint)
    elif not folder.trusted:
        what = f"'{found[0]}' asks for an environment variable"
        document.problems.append(Problem(what, document.source.at(*path), UNTRUSTED, untrusted=True))
    elif name not in env:
        document.fault(path, f"the environment variable {name} is not set", f"export {name}=...")
    else:
        if names_secret(name):
            remember(env[name])
        return env[name]
    return found[0]
