"""Scripts and commands: one process each, in a group of its own, that never outlives its agent."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from llm_orc.domain.message import FailedError, Failure, Kind, Reply

OUTPUT_CAP = 16 * 1024 * 1024
"""The longest output kept, in bytes."""
_TAIL = 4096
_GRACE_SECONDS = 0.3
_STDIN, _STDOUT, _STDERR = 0, 1, 2
PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "VIRTUAL_ENV")
"""The environment that every script and command sees, besides what its `env:` names."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to start, where, and with which surroundings."""

    name: str
    """For people."""
    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str] = field(repr=False)
    success_codes: Sequence[int] = (0,)


async def run_program(program: Program, stdin: bytes) -> Reply:
    """Its standard output; raises FailedError `script` with the tail of its standard error."""
    try:
        transport, process = await _started(program)
    except OSError as error:
        raise FailedError(_not_started(program, error)) from None
    try:
        _feed(transport, stdin)
        await asyncio.wait({process.exited})  # awaited itself, it would be cancelled with us
        code = process.exited.result()
    finally:
        await _end(transport, process)
    return _reply(program, process, code)


async def _started(program: Program) -> tuple[asyncio.SubprocessTransport, "_Process"]:
    """The running program. Cancelled halfway, asyncio may wait for it for ever: so it is started to the end, and ended then."""
    loop = asyncio.get_running_loop()
    starting = asyncio.ensure_future(
        loop.subprocess_exec(_Process, *program.argv, cwd=program.cwd, env=dict(program.env), start_new_session=True)
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait({starting})
        if starting.exception() is None:
            await _end(*starting.result())
        raise


def surroundings(env: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """The few variables that a program may see."""
    return {name: env[name] for name in (*PASSED_ON, *names) if name in env}


@dataclass(slots=True)
class _Process(asyncio.SubprocessProtocol):
    """Collects what a process writes, up to the cap, and hears of its end."""

    output: bytearray = field(default_factory=bytearray)
    errors: bytearray = field(default_factory=bytearray)
    flooded: bool = False
    exited: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    closed: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    transport: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == _STDERR:
            self.errors += data
            del self.errors[:-_TAIL]
        elif len(self.output) + len(data) <= OUTPUT_CAP:
            self.output += data
        elif not self.flooded and self.transport is not None:
            self.flooded = True
            _signal(self.transport, signal.SIGKILL)

    def process_exited(self) -> None:
        if self.transport is not None and not self.exited.done():
            self.exited.set_result(self.transport.get_returncode() or 0)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.closed.done():
            self.closed.set_result(None)


def _feed(transport: asyncio.SubprocessTransport, stdin: bytes) -> None:
    pipe = cast("asyncio.WriteTransport", transport.get_pipe_transport(_STDIN))
    pipe.write(stdin)
    pipe.close()


async def _end(transport: asyncio.SubprocessTransport, process: _Process) -> None:
    """Nothing of the group is left: first asked to go (unless it is gone), then made to."""
    try:
        if not process.exited.done():
            _signal(transport, signal.SIGTERM)
            await asyncio.wait({process.exited}, timeout=_GRACE_SECONDS)
    finally:  # where we are cut off a second time, too
        _signal(transport, signal.SIGKILL)
    await asyncio.wait({process.exited}, timeout=10 * _GRACE_SECONDS)  # else asyncio complains of a process it cannot tell us of
    # With every writer dead the pipes run dry, so that what was written last is still read.
    await asyncio.wait({process.closed}, timeout=_GRACE_SECONDS)
    transport.close()


def _signal(transport: asyncio.SubprocessTransport, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(transport.get_pid(), number)


def _not_started(program: Program, error: OSError) -> Failure:
    if isinstance(error, FileNotFoundError) and Path(program.argv[0]).exists():
        return Failure(Kind.SCRIPT, f"'{program.name}' names an interpreter that is not there", "mend its #! line")
    if isinstance(error, FileNotFoundError):
        return Failure(Kind.SCRIPT, f"no program '{program.name}'", "install it, or give its full path")
    hint = "is it executable, and does it begin with a #! line that names its interpreter?"
    return Failure(Kind.SCRIPT, f"'{program.name}' cannot be started: {error.strerror}", hint)


def _reply(program: Program, process: _Process, code: int) -> Reply:
    name = program.name
    if process.flooded:
        raise FailedError(Failure(Kind.SCRIPT, f"'{name}' wrote more than {OUTPUT_CAP // 1024 // 1024} MiB", "let it write less"))
    if code not in program.success_codes:
        tail = process.errors.decode(errors="replace").strip().splitlines()[-8:]
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        raise FailedError(Failure(Kind.SCRIPT, "\n".join([f"'{name}': {how}", *tail])))
    try:
        return Reply(process.output.decode())
    except UnicodeDecodeError:
        raise FailedError(Failure(Kind.SCRIPT, f"'{name}' wrote bytes that are no UTF-8 text")) from None
