"""The rows: what is run, what it is held against, and the number that comes of it."""

from collections.abc import Mapping
from dataclasses import replace

from bench.documents import sections
from bench.graphs import Graph, as_yaml, chain, critical_path, skewed, tangled, wide
from bench.long import long_input
from bench.providers import PROVIDER_ROWS
from bench.results import Result
from bench.samples import BrokenRunError, Command, Sample, median, printed_facts
from bench.taken import Row, Taken, all_well, held
from bench.workshop import Workshop

ONE_EMBEDDED = """\
name: one
agents:
  - name: only
    model_profile: embedded
    prompt: "{{ input }}"
"""

FAN_OUT = """\
name: {name}
agents:
  - name: each
    model_profile: bench
    fan_out: {{items: "{{{{ range({count}) | list }}}}", max_parallel: 200}}
    prompt: "<wait 0.1> {{{{ item }}}}"
"""

GOES_ON = """\
name: {name}
agents:
  - name: each
    model_profile: embedded
    fan_out: {{items: "{{{{ range({count}) | list }}}}", max_parallel: 200}}
    prompt: "{{{{ item }}}}"
  - {{name: left, provider: anthropic, model: far-away, prompt: "{{{{ input }}}}"}}
"""
"""Begun offline, where `left` is skipped, and decided again whenever the run is gone on with."""


def start(name: str, budget: float, floor_program: str, *arguments: str) -> Row:
    """How long a command takes that does next to nothing."""

    def row(at: Workshop) -> list[Result]:
        command, floor = at.program(*arguments), at.floor(floor_program)
        ours, beside = at.in_turn(command, floor, times=11)
        result = Result(name, f"llm-orc {' '.join(arguments)}", budget, "x", median(ours) / median(beside))
        return [held(result, at, Taken(command, ours, floor, beside))]

    return row


def embedded(at: Workshop) -> list[Result]:
    """The smallest run there is."""
    command, floor = at.ensemble("one", ONE_EMBEDDED), at.floor("start_to_run.py")
    ours, beside = at.in_turn(command, floor, times=11)
    all_well(ours)
    result = Result("embedded", "invoke of one embedded agent, kept in the store", 1.5, "x", median(ours) / median(beside))
    return [held(result, at, Taken(command, ours, floor, beside))]


def run_over_path(name: str, what: str, graph: Graph) -> Row:
    """Seconds of a run as it tells them, never less than the server saw, over the critical path."""

    def row(at: Workshop) -> list[Result]:
        command, floor = at.graph(name, graph)
        ours = at.wide(command, times=3)
        all_well(ours)
        beside = [at.run(floor)]
        path = critical_path(graph)
        note = f"critical path {path:.2f} s; the floor took {median(beside, 'seconds') / path:.3f} x"
        result = Result(name, f"seconds of a run / critical path: {what}", 1.05, "x", spent(ours) / path, tolerance=0.05, note=note)
        return [held(result, at, Taken(command, ours, floor, beside))]

    return row


def spent(samples: list[Sample]) -> float:
    """The median of the runs' seconds; a run cannot have been shorter than what the server saw of it."""
    return max(median(samples, "seconds"), median(samples, "served"))


def thousand(at: Workshop) -> list[Result]:
    """A thousand agents at once, and one alone, so that what a start costs is not counted as the agents'."""
    command, floor = at.graph("thousand", wide(1000, 1.0))
    alone, _ = at.graph("alone", wide(1, 1.0))
    ours, beside, single = at.in_turn(command, floor, alone, times=3)
    all_well([*ours, *beside, *single])
    wall = Result(
        "thousand", "1,000 agents at once over HTTP, seconds of the run", 1.25, "x", median(ours, "seconds") / median(beside, "seconds")
    )
    cpu = (median(ours, "cpu") - median(single, "cpu")) / 999 * 1000
    floor_cpu = median(beside, "cpu")
    note = f"CPU of 1,000 agents less that of one; the floor's whole process took {floor_cpu:.2f} ms per call"
    per_agent = Result("thousand-cpu", "CPU per agent of 1,000 at once", 2.0, "ms", cpu, note=note)
    return [held(each, at, Taken(command, ours, floor, beside)) for each in (wall, per_agent)]


def memory(at: Workshop) -> list[Result]:
    """What a thousand agents more add to the peak, all of them in flight at once."""
    fewer, fewer_floor = at.graph("memory1000", wide(1000, 2.0))
    more, more_floor = at.graph("memory2000", wide(2000, 2.0))
    small, large = at.in_turn(fewer, more, times=2)
    all_well([*small, *large])
    small_floor, large_floor = ([at.run(floor)] for floor in (fewer_floor, more_floor))
    bare = (median(large_floor, "peak_mb") - median(small_floor, "peak_mb")) / 1000
    note = f"peak of 2,000 agents in flight less that of 1,000 (their text is 0.0001 MB each); a bare call in flight takes {bare:.4f} MB"
    value = (median(large, "peak_mb") - median(small, "peak_mb")) / 1000
    result = Result("memory", "memory per agent", 0.05, "MB", value, tolerance=0.3, note=note)
    return [held(result, at, Taken(more, [*small, *large], more_floor, [*small_floor, *large_floor]))]


def speed_up(at: Workshop) -> list[Result]:
    """How much faster N independent agents are at once than one after the other, for each N, over N."""
    runs = {count: at.graph("wide" if count == 100 else f"wide{count}", wide(count, 3.0))[0] for count in (1, 10, 100)}
    samples = {count: at.wide(command, times=3) for count, command in runs.items()}
    for taken in samples.values():
        all_well(taken)
    gains = {count: count * spent(samples[1]) / spent(taken) for count, taken in samples.items()}
    note = ", ".join(f"{gain:.1f} x for {count}" for count, gain in gains.items())
    value = min(gain / count for count, gain in gains.items())
    result = Result(
        "speed-up",
        "speed-up over one after the other / N, worst of N = 1, 10, 100, 3 s each",
        0.95,
        "N",
        value,
        at_most=False,
        tolerance=0.05,
    )
    ours = [sample for taken in samples.values() for sample in taken]
    return [held(replace(result, note=note), at, Taken(runs[100], ours))]


def fan_out(at: Workshop) -> list[Result]:
    """Ten thousand items against one thousand, 200 in flight in both: time per item, and memory that each more item keeps."""
    few, many = (at.ensemble(f"items{count}", FAN_OUT.format(name=f"items{count}", count=count)) for count in (1_000, 10_000))
    small, large = [at.run(few) for _ in range(at.times(3))], [at.run(many)]
    all_well([*small, *large])
    each, each_of_many = median(small, "seconds") / 1_000, median(large, "seconds") / 10_000
    note = f"{each_of_many * 1000:.2f} ms per item against {each * 1000:.2f} ms; 200 in flight"
    time = Result("fan-out", "10,000 items: time per item / that of 1,000", 1.1, "x", each_of_many / each, note=note)
    kept = (median(large, "peak_mb") - median(small, "peak_mb")) / 9_000
    size = Result("fan-out-memory", "10,000 items: memory per item kept", 0.05, "MB", kept, tolerance=0.3)
    return [held(result, at, Taken(many, [*small, *large])) for result in (time, size)]


def loading(at: Workshop) -> list[Result]:
    """What 2,000 agents add to `validate`, against the parser alone."""
    place = {count: at.ensemble(f"load{count}", as_yaml(f"load{count}", chain(count, 0.1))).arguments[3] for count in (1, 2_000)}
    command, single = (at.program("validate", place[count]) for count in (2_000, 1))
    floor = at.floor("compose.py", place[2_000], read=True)
    ours, alone, beside = at.in_turn(command, single, floor, times=5)
    note = f"validate of 2,000 agents less validate of one; yaml.compose alone takes {median(beside, 'seconds'):.2f} s"
    result = Result("loading", "loading a YAML of 2,000 agents", 0.5, "s", median(ours) - median(alone), note=note)
    return [held(result, at, Taken(command, ours, floor, beside))]


def store(at: Workshop) -> list[Result]:
    """What keeping a run of 2,000 nodes costs, against rows of that length in a bare table."""
    command, floor = Command(("-m", "bench.kept", str(at.home)), at.project, printed_facts), at.floor("rows.py", str(at.home), read=True)
    ours, beside = at.in_turn(command, floor, times=5)
    note = f"5 events each, one per turn of the loop; a bare row in a transaction of its own takes {median(beside, 'ms'):.3f} ms"
    result = Result("store", "CPU for keeping a node", 0.3, "ms", median(ours, "ms"), note=note)
    return [held(result, at, Taken(command, ours, floor, beside))]


def cached(at: Workshop) -> list[Result]:
    """What 1,000 agents add to a run whose replies are all there already, against reading as many rows of a table."""
    commands = [at.ensemble(f"cached{count}", as_yaml(f"cached{count}", wide(count, 0.1)), *CACHED) for count in (1, 1_000)]
    for command in commands:
        all_well([at.run(command)])
    floor = at.floor("found.py", str(at.project / ".llm-orc/store"), read=True)
    single, ours, beside = at.in_turn(*commands, floor, times=5)
    last = at.run(commands[1])
    all_well([*ours, last])
    if last.facts["peak"]:
        raise BrokenRunError(f"{last.facts['peak']:g} calls were made at once for replies that are kept")
    note = f"no calls; {median(ours):.2f} s in all; finding {median(beside, 'rows'):.0f} replies by their keys takes {median(beside):.2f} s"
    value = (median(ours, "cpu") - median(single, "cpu")) / 999 * 1000
    result = Result("cache", "re-run of 1,000 agents from the cache: CPU per agent", 1.0, "ms", value, tolerance=0.3, note=note)
    return [held(result, at, Taken(commands[1], ours, floor, beside))]


def goes_on(at: Workshop) -> list[Result]:
    """What 10,000 nodes that stand add to going on with a run, against reading what was kept of them."""
    commands = {count: _begun(at, count) for count in (1, 10_000)}
    floor = at.floor("events.py", str(at.project / "kept10000/.llm-orc/store"), read=True)
    small, large, beside = at.in_turn(commands[1], commands[10_000], floor, times=3)
    bare = f"{median(beside, 'events'):.0f} events, which take {median(beside):.2f} s to be read and parsed"
    note = f"{median(large):.2f} s and {median(large, 'peak_mb'):.0f} MB in all; {bare}"
    value = (median(large) - median(small)) / 10_000 * 1000
    result = Result("resume", "runs resume: time per node that stands, of 10,000", 1.0, "ms", value, tolerance=0.3, note=note)
    return [held(result, at, Taken(commands[10_000], large, floor, beside))]


def _begun(at: Workshop, count: int) -> Command:
    """Begin a run in a folder of its own; the command that goes on with it."""
    begun = at.ensemble(f"kept{count}", GOES_ON.format(name=f"kept{count}", count=count), "--offline", "--output-format", "json")
    folder = at.project / f"kept{count}"
    folder.mkdir()
    (folder / ".llm-orc").mkdir()
    at.run(replace(begun, arguments=(*begun.arguments[:3], f"../{begun.arguments[3]}", *begun.arguments[4:]), cwd=folder))
    return Command(("-m", "llm_orc", "runs", "resume", "last", "-o", "/dev/null", "--force"), folder)


def listing(at: Workshop) -> list[Result]:
    """A page of 10,000 runs, and of those of one status."""
    folder = at.project / "listed"
    (folder / ".llm-orc").mkdir(parents=True)
    at.run(Command(("-m", "bench.listed", str(folder / ".llm-orc/store"), "10000"), at.project))
    every, failed = (Command(("-m", "llm_orc", "runs", "list", *flags), folder) for flags in ((), ("--status", "failed")))
    floor = at.floor("start_checked.py")
    ours, none, beside = at.in_turn(every, failed, floor, times=11)
    note = f"--status failed, which none of them is: {median(none):.2f} s; importing what any command needs takes {median(beside):.2f} s"
    result = Result("runs-list", "runs list with 10,000 runs", 0.3, "s", median(ours), tolerance=0.3, note=note)
    return [held(result, at, Taken(every, ours, floor, beside))]


def documents(at: Workshop) -> list[Result]:
    """A document of 1,000 sections, and a page of it, against the libraries going over as much text once."""
    (at.project / "sections.md").write_text(sections())
    command, floor = (
        Command(("-m", "bench.documents", "sections.md"), at.project, printed_facts),
        at.floor("markdown.py", "sections.md", read=True),
    )
    ours, beside = at.in_turn(command, floor, times=5)
    size = f"{median(ours, 'megabytes'):.1f} MB with {median(ours, 'headings'):,.0f} headings"
    parsed, cleaned = median(beside, "seconds"), median(beside, "html")
    results = (
        Result(
            "document",
            "1,000 sections as one document with contents",
            1.0,
            "s",
            median(ours, "markdown"),
            tolerance=0.3,
            note=f"{size}; parsing it once takes {parsed:.2f} s",
        ),
        Result(
            "document-html",
            "the same as a page",
            3.0,
            "s",
            median(ours, "html"),
            tolerance=0.3,
            note=f"{size}; making HTML of it and cleaning that once takes {cleaned:.2f} s",
        ),
    )
    return [held(result, at, Taken(command, ours, floor, beside)) for result in results]


CACHED = "--cache", "--output-format", "json"
ROWS: Mapping[str, Row] = {
    "version": start("version", 1.3, "start.py", "--version"),
    "help": start("help", 1.3, "start.py", "--help"),
    "invoke-help": start("invoke-help", 1.3, "start_checked.py", "invoke", "--help"),
    "embedded": embedded,
    "wide": run_over_path("wide", "100 at once, 3 s each", wide(100, 3.0)),
    "chain": run_over_path("chain", "100 in a chain, 0.1 s each", chain(100, 0.1)),
    "skewed": run_over_path("skewed", "10 lanes, each slow at another step", skewed(10, 0.1, 2.0)),
    "random": run_over_path("random", "50 at random", tangled(50, seed=7)),
    "speed-up": speed_up,
    "thousand": thousand,
    "memory": memory,
    "fan-out": fan_out,
    "long": long_input,
    "loading": loading,
    "store": store,
    "resume": goes_on,
    "runs-list": listing,
    "cache": cached,
    "document": documents,
    **PROVIDER_ROWS,
}
