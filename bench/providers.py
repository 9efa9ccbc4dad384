"""The rows about providers: what importing, calling and streaming by each costs, against its SDK alone."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

from bench.floors.sdk_calls import SDKS
from bench.graphs import mark
from bench.results import Result
from bench.samples import ROOT, Command, Facts, Sample, median, printed_facts
from bench.taken import Row, Taken, all_well, held
from bench.workshop import Workshop

CALLS, STREAMS = 1000, 1000
WORDS = 20
"""Of a streamed reply."""
FIRST_TOKEN_AFTER = 1.0
"""Seconds that the server takes before the first token."""
PIPE_SECONDS = 3.0
"""For which a pipe is silent while a program may import."""
SDK_OF = {"openai-compatible": "httpx_aiohttp", "anthropic": "anthropic", "google": "google.genai", "ollama": "ollama"}
BESIDE = ("genai_prices", "keyring", "jsonschema", "tenacity")
"""What else a call may import."""


def calls(name: str, *, stream: bool) -> Row:
    """CPU that a call by the provider takes, without the engine, over one by the SDK alone; 50 at once."""
    what = f"a stream of {WORDS} words" if stream else "a call"
    prompt = f"<words {WORDS} 0> go" if stream else "go"

    def row(at: Workshop) -> list[Result]:
        arguments = (name, at.origin, str(CALLS // 4 if stream else CALLS), prompt, *(["--stream"] if stream else []))
        command = Command(("-m", "bench.provider_calls", *arguments), ROOT, printed_facts)
        floor = at.floor("sdk_calls.py", *arguments, read=True)
        ours, beside = at.in_turn(command, floor, times=5)
        all_well([*ours, *beside])
        each, bare = (median(samples, "cpu_seconds") / (samples[0].facts["agents"] - 1) * 1000 for samples in (ours, beside))
        note = f"{each:.2f} ms against {bare:.2f} ms"
        row_name = f"cpu-{name}{'-stream' if stream else ''}"
        result = Result(row_name, f"CPU of {what} by {name} / by {sdk(name)} alone", 1.25, "x", each / bare, note=note)
        return [held(result, at, Taken(command, ours, floor, beside))]

    return row


def streams(name: str) -> Row:
    """A thousand streams at once, through the whole program."""

    def row(at: Workshop) -> list[Result]:
        prompt = f"{mark(1.0)} <words {WORDS} 0.05>"
        page = at.project / "run.j2"  # the format json does not stream
        page.write_text("{{ run }}")
        command = at.ensemble(f"streams-{name}", wide_streams(name, prompt), "--stream", "--output-format", page.name)
        floor = at.floor("sdk_calls.py", name, at.origin, str(STREAMS), prompt, "--stream", "--at-once", str(STREAMS), "--cold", read=True)
        ours, beside = ([at.run(each) for _ in range(at.times(3))] for each in (command, floor))
        all_well([*ours, *beside])
        peak = min(sample.facts["peak"] for sample in ours)
        seconds, bare = median(ours, "seconds"), median(beside, "seconds")
        cpu = f"CPU {median(ours, 'cpu'):.2f} s against {median(beside, 'cpu'):.2f} s"
        note = f"{seconds:.2f} s against {bare:.2f} s; {peak:.0f} at once at the peak; {cpu}"
        result = Result(f"streams-{name}", f"1,000 concurrent streams by {name}, seconds", 1.25, "x", seconds / bare, note=note)
        return [held(result, at, Taken(command, ours, floor, beside))]

    return row


def wide_streams(name: str, prompt: str) -> str:
    """The ensemble: as many agents as streams, which know nothing of one another."""
    agents = (
        f'  - name: a{number}\n    model_profile: {name}\n    prompt: "{prompt} You are a{number}. {{{{ input }}}}"\n'
        for number in range(STREAMS)
    )
    return "".join(chain((f"name: streams-{name}\nagents:\n",), agents))


def first_token(name: str) -> Row:
    """From the start of a run to its first token, over the same from the SDK's call."""

    def row(at: Workshop) -> list[Result]:
        prompt = mark(FIRST_TOKEN_AFTER)
        text = f'name: first-{name}\nagents:\n  - name: only\n    model_profile: {name}\n    prompt: "{prompt} {{{{ input }}}}"\n'
        command = replace(at.ensemble(f"first-{name}", text, "--stream", "--output-format", "jsonl"), read=first_delta)
        floor = at.floor("sdk_calls.py", name, at.origin, "0", prompt, "--stream", read=True)
        ours, beside = at.in_turn(command, floor, times=3)
        all_well([*ours, *beside])
        note = f"the server takes {FIRST_TOKEN_AFTER:g} s; the whole process {median(ours):.2f} s against {median(beside):.2f} s"
        value = median(ours, "first") / median(beside, "first")
        result = Result(f"first-token-{name}", f"time to the first token by {name} / by {sdk(name)} alone", 1.1, "x", value, note=note)
        return [held(result, at, Taken(command, ours, floor, beside))]

    return row


def first_delta(out: bytes) -> Facts:
    """What the events of a run say: how long it went on before the first token, and what became of its agents."""
    events: Sequence[Mapping[str, str | float]] = [json.loads(line) for line in out.splitlines()]
    at = {str(event["event"]): float(event["at"]) for event in reversed(events)}
    kinds = [event["event"] for event in events]
    return {"first": at["delta"] - at["run_started"], "succeeded": kinds.count("answered"), "agents": kinds.count("submitted")}


def imports(at: Workshop) -> list[Result]:
    """What share of an invoke with one call the import of each library is."""
    invokes = {name: at.ensemble(f"one-{name}", one(name)) for name in SDK_OF}
    floors = {module: at.floor("imported.py", module, read=True) for module in (*SDK_OF.values(), *BESIDE)}
    samples = at.in_turn(*invokes.values(), *floors.values(), times=5)
    ours: dict[str, list[Sample]] = dict(zip(invokes, samples, strict=False))
    beside: dict[str, list[Sample]] = dict(zip(floors, samples[len(ours) :], strict=True))
    all_well([sample for taken in ours.values() for sample in taken])
    by_module = {module: name for name, module in SDK_OF.items()}
    results = []
    for module, taken in beside.items():
        name = by_module.get(module, "openai-compatible")
        seconds = median(taken, "seconds")
        note = f"{seconds:.2f} s of {median(ours[name]):.2f} s by {name}" + ("" if module in by_module else ", where it is needed at all")
        result = Result(f"import-{module}", f"share of importing {module} in an invoke of one call", None, "", seconds / median(ours[name]))
        results.append(held(replace(result, note=note, tolerance=0.3), at, Taken(invokes[name], ours[name], floors[module], taken)))
    return results


def overlap(at: Workshop) -> list[Result]:
    """What is left to do once a pipe that was silent for a while has spoken, over a whole invoke whose input is there at once."""
    at_once = at.ensemble("one-anthropic", one("anthropic"))
    piped = replace(at_once, arguments=at_once.arguments[:4] + at_once.arguments[5:], silent=PIPE_SECONDS)
    whole, after = at.in_turn(at_once, piped, times=3)
    all_well([*whole, *after])
    left = median(after) - PIPE_SECONDS
    note = f"{left:.2f} s after {PIPE_SECONDS:g} s of silence, against {median(whole):.2f} s with the input there at once"
    what = "what is left of an invoke by anthropic after its pipe has spoken / all of it"
    return [
        held(Result("overlap", what, 0.5, "x", left / median(whole), tolerance=0.3, note=note), at, Taken(piped, after, at_once, whole))
    ]


def one(name: str) -> str:
    """An ensemble of one agent."""
    return f'name: one-{name}\nagents:\n  - name: only\n    model_profile: {name}\n    prompt: "{{{{ input }}}}"\n'


def sdk(name: str) -> str:
    """Who is called alone."""
    return "httpx" if name == "openai-compatible" else f"{name}'s SDK"


PROVIDER_ROWS: Mapping[str, Row] = {
    "imports": imports,
    "overlap": overlap,
    **{f"cpu-{name}": calls(name, stream=False) for name in SDKS},
    **{f"cpu-{name}-stream": calls(name, stream=True) for name in SDKS},
    **{f"streams-{name}": streams(name) for name in SDKS},
    **{f"first-token-{name}": first_token(name) for name in SDKS},
}
