"""What a README can be written from: the files of the repository that llm-orc is called in, and the beginnings of those that say most."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

TELLING = (
    *("readme*", "pyproject.toml", "setup.cfg", "setup.py", "requirements*.txt", "package.json", "cargo.toml", "go.mod", "composer.json"),
    *("gemfile", "pom.xml", "build.gradle*", "cmakelists.txt", "makefile", "justfile", "dockerfile", "compose.y*ml", "docker-compose.y*ml"),
    *("license*", "copying*", "contributing*", "changelog*", "__main__.py", "main.*", "cli.*", "index.*", "app.*", "*.md"),
)
"""Names of files, those first that say most."""
DEEPEST = 4
MOST_FILES, MOST_LISTED = 25, 300
HEAD, WHOLE = 3_000, 40_000
"""Characters of one file, and of all together."""
PACKAGES = ("node_modules", "__pycache__", "target", "dist", "build")
UNREAD = (".min.js", ".lock", ".map", ".svg")


def main() -> None:
    """Print it."""
    root = Path.cwd()
    files = sorted(files_of(root), key=lambda path: (path.count("/"), path))
    if not files:
        sys.exit("there are no files here: call it in the repository that the README is for")
    print(f"# Files of {root.name} ({len(files):,})\n")
    print("\n".join(files[:MOST_LISTED]) + (f"\n... and {len(files) - MOST_LISTED:,} more" if len(files) > MOST_LISTED else ""))
    if log := said(root, "log", "-n", "15", "--format=%ad %s", "--date=short"):
        print(f"\n# Latest commits\n\n{log}")
    if tag := said(root, "describe", "--tags", "--abbrev=0"):
        print(f"\n# Latest tag\n\n{tag}")
    left = WHOLE
    for path in telling(files):
        text = head_of(root, path)[: min(HEAD, left)]
        if text.strip():
            left -= len(text)
            print(f"\n# {path}\n\n{text}" + ("\n[...]" if len(text) == HEAD else ""))


def files_of(root: Path) -> Iterator[str]:
    """What git would keep; without git, all but hidden files and folders of packages."""
    if listed := said(root, "ls-files", "--cached", "--others", "--exclude-standard"):
        yield from listed.splitlines()
        return
    for path in root.rglob("*"):
        parts = path.relative_to(root).parts
        if not any(part.startswith(".") or part in PACKAGES for part in parts) and path.is_file():
            yield "/".join(parts)


def telling(files: Iterable[str]) -> list[str]:
    """The files whose beginnings are shown."""
    ranked = [(rank, path) for path in files if (rank := rank_of(path)) is not None]
    return [path for _, path in sorted(ranked, key=lambda each: (each[0], each[1].count("/"), each[1]))][:MOST_FILES]


def rank_of(path: str) -> int | None:
    """How little it says; None where it is not shown."""
    name = path.rpartition("/")[2].lower()
    if path.count("/") >= DEEPEST or name.endswith(UNREAD) or "test" in path.lower():
        return None
    return next((rank for rank, pattern in enumerate(TELLING) if fnmatch(name, pattern)), None)


def head_of(root: Path, path: str) -> str:
    """The beginning of a file; nothing of what is no text, or lies outside of the repository."""
    file = (root / path).resolve()
    if not (file.is_relative_to(root.resolve()) and file.is_file()):
        return ""
    try:
        with file.open(encoding="utf-8") as text:
            return text.read(HEAD)
    except (OSError, UnicodeDecodeError):
        return ""


def said(root: Path, *arguments: str) -> str:
    """What git says; nothing where there is no git, or no repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False, errors="replace")
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    main()
