"""The budgets of the house that no linter knows. `python checks/budgets.py FOLDER...` prints each place beyond one, and then exits 1.

Code lines are lines with something on them that is no comment; docstrings count.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MODULE_LINES = 300
FUNCTION_LINES = 40
USUAL_FUNCTION_LINES = 30
USUAL_SHARE = 0.95
BANNED_IN_NAMES = {"Manager", "Handler", "Processor", "Helper", "Helpers", "Util", "Utils", "Impl", "Service", "Info"}
BANNED_PLACES = {"common", "core", "helper", "helpers", "util", "utils"}
PROMISED_NAMES = {"TaskManager"}  # the seeds give these to outsiders
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


@dataclass(frozen=True, slots=True)
class Function:
    """A function, where it stands, and how many code lines it has."""

    place: str
    name: str
    lines: int


@dataclass(frozen=True, slots=True)
class Module:
    """A file of Python with what the budgets ask of it."""

    file: Path
    lines: int
    functions: tuple[Function, ...]
    classes: tuple[tuple[str, str], ...]


def code_lines(source: str) -> set[int]:
    """The numbers of the lines that hold code or a docstring."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {line for token in tokens if token.type not in SILENT for line in range(token.start[0], token.end[0] + 1)}


def read(file: Path) -> Module:
    """Measure one file."""
    source = file.read_text(encoding="utf-8")
    lines = code_lines(source)
    nodes = list(ast.walk(ast.parse(source, str(file))))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return Module(
        file,
        len(lines),
        tuple(Function(f"{file}:{f.lineno}", f.name, len(lines & set(range(f.lineno, (f.end_lineno or 0) + 1)))) for f in functions),
        tuple((f"{file}:{node.lineno}", node.name) for node in nodes if isinstance(node, ast.ClassDef)),
    )


def faults_of(module: Module) -> Iterator[str]:
    """What in this module is beyond its budget, each with its place."""
    if module.lines > MODULE_LINES:
        yield f"{module.file}:1: module has {module.lines} code lines, budget {MODULE_LINES}"
    for part in BANNED_PLACES & {*module.file.parent.parts, module.file.stem}:
        yield f"{module.file}:1: '{part}' says nothing of what is inside"
    for place, name in module.classes:
        for word in BANNED_IN_NAMES & set(re.findall("[A-Z][a-z0-9]*", name)):
            if name not in PROMISED_NAMES:
                yield f"{place}: class {name}: '{word}' says nothing of what it is"
    for function in module.functions:
        if function.lines > FUNCTION_LINES:
            yield f"{function.place}: {function.name}() has {function.lines} code lines, budget {FUNCTION_LINES}"


def long_functions(modules: list[Module]) -> list[str]:
    """The functions above the usual length, if they are more than the few that may be."""
    functions = [function for module in modules for function in module.functions]
    long = [function for function in functions if function.lines > USUAL_FUNCTION_LINES]
    allowed = int(len(functions) * (1 - USUAL_SHARE) + 1e-9)
    if len(long) <= allowed:
        return []
    what = f"of {len(functions)} functions {allowed} may have more than {USUAL_FUNCTION_LINES} code lines, {len(long)} have:"
    return [what, *(f"{function.place}: {function.name}() has {function.lines}" for function in long)]


def main(folders: list[str]) -> int:
    """Check every Python file below the folders."""
    missing = [folder for folder in folders if not Path(folder).is_dir()]
    if missing or not folders:
        sys.stderr.write(f"no such folder: {', '.join(missing)}\n" if missing else "usage: python checks/budgets.py FOLDER...\n")
        return 2
    modules = [read(file) for folder in folders for file in sorted(Path(folder).rglob("*.py"))]
    faults = [fault for module in modules for fault in faults_of(module)] + long_functions(modules)
    for fault in faults:
        print(fault)
    print(f"{len(modules)} modules: {len(faults) or 'nothing'} beyond the budgets")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
