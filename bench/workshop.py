"""Where the bench works: a server in another process, a home with nothing in it, a project with the ensembles under test."""

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

from bench.floors.sdk_calls import MODEL, SDKS
from bench.graphs import Graph, as_yaml
from bench.samples import ROOT, Command, Facts, Sample, in_turn, measured, printed_facts, run_facts

FLOORS = ROOT / "bench" / "floors"


@dataclass(frozen=True, slots=True)
class Workshop:
    """The project that commands run in, and how many samples a quick or a full bench takes."""

    project: Path
    home: Path
    origin: str
    quick: bool
    runs: dict[str, list[Sample]] = field(default_factory=dict)
    """Samples by name of the ensemble: two rows may read the same runs."""

    def times(self, full: int) -> int:
        """How many samples are taken where a full bench takes `full`."""
        return 1 if self.quick else full

    def graph(self, name: str, graph: Graph) -> tuple[Command, Command]:
        """Write a graph down as an ensemble and for the floor; give the command and the floor's."""
        floor_file = self.project / f"{name}.json"
        floor_file.write_text(json.dumps({agent: [call.prompt, call.depends_on] for agent, call in graph.items()}))
        return self.ensemble(name, as_yaml(name, graph)), self.floor("calls.py", f"{self.origin}/v1", floor_file.name, read=True)

    def ensemble(self, name: str, text: str, *flags: str) -> Command:
        """Write an ensemble down; give the command that invokes it, which prints its run as JSON unless the flags say otherwise."""
        place = Path(".llm-orc", "ensembles", f"{name}.yaml")
        (self.project / place).write_text(text)
        arguments = ("-m", "llm_orc", "invoke", str(place), "go", *(flags or ("--output-format", "json")))
        return Command(arguments, self.project, run_facts)

    def program(self, *arguments: str) -> Command:
        """Any other command of the program."""
        return Command(("-m", "llm_orc", *arguments), self.project)

    def floor(self, program: str, *arguments: str, read: bool = False) -> Command:
        """A floor; with `read` it prints facts."""
        return Command((str(FLOORS / program), *arguments), self.project, printed_facts if read else lambda _: {})

    def in_turn(self, *commands: Command, times: int) -> list[list[Sample]]:
        """Samples of several commands by turns; a full bench throws the first round away."""
        return in_turn(commands, self.times(times), self.home, warm=0 if self.quick else 1)

    def run(self, command: Command) -> Sample:
        """One sample of a run, with what the server saw of it: `served` seconds from first request to last reply, and the peak."""
        self.seen()
        sample = measured(command, self.home)
        sample.facts.update(self.seen())
        return sample

    def wide(self, command: Command, times: int) -> list[Sample]:
        """Samples of a run, taken once for all rows that read them."""
        key = str(command)
        if key not in self.runs:
            self.runs[key] = [self.run(command) for _ in range(self.times(times))]
        return self.runs[key]

    def seen(self) -> Facts:
        """What the server saw since it was last asked."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.origin}/stats", timeout=10) as response:
            stats = json.load(response)
        return {"served": round(stats["seconds"], 4), "peak": stats["peak"]}


@contextmanager
def workshop(*, quick: bool) -> Iterator[Workshop]:
    """Open a workshop in a temporary folder, with its server running; all of it is gone at the end."""
    command = [sys.executable, "-m", "bench.server"]
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            origin = f"http://127.0.0.1:{int(next(server.stdout or iter(())))}"
            yield Workshop(*_project(Path(folder).resolve(), origin), origin, quick)
        finally:
            server.terminate()


def _project(folder: Path, origin: str) -> tuple[Path, Path]:
    project, home = folder / "project", folder / "home"
    for part in ("ensembles", "profiles"):
        (project / ".llm-orc" / part).mkdir(parents=True)
    home.mkdir()
    profile = f"""\
        provider: openai-compatible
        model: bench
        base_url: {origin}/v1
        max_parallel: 4000
        """
    (project / ".llm-orc" / "profiles" / "bench.yaml").write_text(dedent(profile))
    for name in SDKS:
        base_url = f"{origin}/v1" if name == "openai-compatible" else origin
        lines = [f"provider: {name}", f"model: {MODEL}", f"base_url: {base_url}", "max_parallel: 4000"]
        (project / ".llm-orc" / "profiles" / f"{name}.yaml").write_text("\n".join(lines) + "\n")
    return project, home
