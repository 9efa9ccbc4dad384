"""A true project folder and the true command line: nearly every test stands on these."""

import os
import pty
import selectors
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from textwrap import dedent
from typing import IO, NamedTuple, Protocol

PASTE = b"\x1b[?2004h"
"""What readline asks of a terminal before each prompt, where the terminal knows it."""
INHERITED = ("PATH", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "COVERAGE_PROCESS_CONFIG")


class Outcome(NamedTuple):
    """What a command left behind: its two streams and its exit code (minus the signal that ended it)."""

    out: str
    err: str
    code: int


def run(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, stdin: str = "") -> Outcome:
    """Run any command to its end."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, input=stdin.encode(), capture_output=True, check=False, timeout=300)
    return Outcome(text(done.stdout), text(done.stderr), done.returncode)


class Project:
    """A folder with files, below a home of its own. Nothing of the machine's settings reaches what runs in it."""

    def __init__(self, home: Path, name: str, files: Mapping[str, str | bytes], *, trusted: bool) -> None:
        self.home = home
        self.path = home / name
        self.path.mkdir(parents=True)
        self._settings = {"LLM_ORC_TRUST": "1"} if trusted else {}
        self._started: list[subprocess.Popen[bytes]] = []
        for place, content in files.items():
            self.write(place, content)

    def write(self, place: str, content: str | bytes) -> Path:
        """Write a file of the project, or of its home (`~/...`). Text that begins with a newline is dedented; `#!` makes it executable."""
        file = self.home / place[2:] if place.startswith("~/") else self.path / place
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = (dedent(content[1:]) if content.startswith("\n") else content).encode()
        file.write_bytes(content)
        if content.startswith(b"#!"):
            file.chmod(0o755)
        return file

    def run(
        self,
        *args: str | Path,
        stdin: str | bytes | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        timeout: float = 60,
    ) -> Outcome:
        """Run `llm-orc ARGS` to its end. `stdin` comes through a pipe; None is an empty stdin that is no terminal."""
        process = self.start(*args, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE, env=env, cwd=cwd)
        try:
            out, err = process.communicate(stdin.encode() if isinstance(stdin, str) else stdin, timeout=timeout)
        finally:
            end(process)
        return Outcome(text(out), text(err), process.returncode)

    def start(
        self,
        *args: str | Path,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start `llm-orc ARGS` as leader of a process group of its own; whatever is left of it is killed after the test."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "llm_orc", *map(str, args)],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=self.path / (cwd or ""),
            env=self.env(env),
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def run_pty(
        self,
        *args: str | Path,
        tty: Iterable[str] = ("stdout", "stderr"),
        cols: int = 100,
        rows: int = 30,
        stdin: str | bytes | None = None,
        keys: Sequence[tuple[str, str]] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        timeout: float = 60,
    ) -> Outcome:
        """Run with a terminal of its own behind each stream in `tty`; lines end in `\\r\\n` there.

        `keys` makes stdin a terminal too: each pair is what to wait for on stdout or stderr, and what to type then.
        """
        with ExitStack() as stack:
            ours: dict[int, str] = {}
            theirs: dict[str, int] = {}
            for stream in ("stdout", "stderr", *(["stdin"] if keys else [])):
                our_end, their_end = pty.openpty() if stream in (*tty, "stdin") else os.pipe()
                stack.callback(os.close, our_end)
                if os.isatty(their_end):
                    termios.tcsetwinsize(their_end, (rows, cols))
                ours[our_end], theirs[stream] = stream, their_end
            source: IO[bytes] | int = theirs.get("stdin", subprocess.DEVNULL)
            if stdin is not None:
                source = stack.enter_context(TemporaryFile())
                source.write(stdin.encode() if isinstance(stdin, str) else stdin)
                source.seek(0)
            terminal = {"TERM": "xterm-256color", **(env or {})}
            process = self.start(*args, stdin=source, stdout=theirs["stdout"], stderr=theirs["stderr"], env=terminal, cwd=cwd)
            for their_end in theirs.values():
                os.close(their_end)
            try:
                seen = converse(ours, keys, time.monotonic() + timeout)
                process.wait(timeout)
            finally:
                end(process)
        return Outcome(text(seen["stdout"]), text(seen["stderr"]), process.returncode)

    def env(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of what runs here: no keys, no proxies, no settings but `more`."""
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return inherited | {"HOME": str(self.home)} | self._settings | dict(more or {})

    def close(self) -> None:
        """End all that was started and still runs, with its children."""
        for process in self._started:
            end(process)


class NewProject(Protocol):
    """The fixture `project`: makes a project of files given by their places; each call makes another one in the same home."""

    def __call__(self, files: Mapping[str, str | bytes] | None = None, *, trusted: bool = False) -> Project: ...


def converse(ours: Mapping[int, str], keys: Sequence[tuple[str, str]], deadline: float) -> dict[str, bytes]:
    """Read every stream to its end, typing each answer once its question is seen."""
    seen = dict.fromkeys(("stdout", "stderr", "stdin"), b"")
    waiting = list(keys)
    with selectors.DefaultSelector() as selector:
        for our_end, stream in ours.items():
            selector.register(our_end, selectors.EVENT_READ, stream)
        while {key.data for key in selector.get_map().values()} - {"stdin"}:
            ready = selector.select(deadline - time.monotonic())
            if time.monotonic() > deadline:
                raise TimeoutError(f"still running; waiting for {waiting}; seen so far: {seen}")
            for key, _ in ready:
                chunk = read(key.fd)
                seen[key.data] += chunk
                if not chunk:
                    selector.unregister(key.fd)
            said = (seen["stdout"] + seen["stderr"]).replace(PASTE, b"")
            if waiting and waiting[0][0].encode() in said:
                terminal = next(our_end for our_end, stream in ours.items() if stream == "stdin")
                os.write(terminal, waiting.pop(0)[1].encode())
    return seen


def read(our_end: int) -> bytes:
    """What came next; nothing at the end, which Linux tells of a terminal by an error."""
    try:
        return os.read(our_end, 65536)
    except OSError:
        return b""


def text(raw: bytes) -> str:
    """Bytes as text, newlines untouched; what is no UTF-8 is visible as `\\xNN`."""
    return raw.decode(errors="backslashreplace")


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of its process group and close its pipes."""
    with process:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
