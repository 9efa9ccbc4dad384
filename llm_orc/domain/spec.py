"""A plan as JSON, from which the same plan can be made again without a file being there: what was read, chosen and settled, never a key."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

from pydantic import BaseModel

from llm_orc.domain.ensemble import Ensemble, FunctionAgent
from llm_orc.domain.files import Files, NoFiles
from llm_orc.domain.message import Attachment
from llm_orc.domain.plan import Choices, Chosen, Plan, bare
from llm_orc.domain.problem import COMPARED, Problem, ProblemError, Source
from llm_orc.domain.profile import DefaultProfile, Profile
from llm_orc.domain.remembered import Remembered
from llm_orc.domain.resolve import resolve
from llm_orc.domain.secret import MARK, without_secrets

VERSION = 1
LIMITS = ("max_parallel", "max_cost", "timeout_seconds")
_PLAIN = ("name", "model", "provider")
"""The keys of a profile that hold no key of a provider, even where one is called `ollama`."""
Spec = Mapping[str, Any]


def spec_of(
    plan: Plan,
    text: str,
    *,
    cwd: str = "",
    offline: bool = False,
    place: Callable[[str], str] = str,
    digest: Callable[[str], str | None] = lambda _: None,
) -> Spec:
    """The plan and its input, begun in `cwd`; `place` gives the absolute path of an ensemble's file, `digest` the SHA-256 of a script."""
    ensembles = {"": plan.ensemble, **plan.basis.ensembles}
    return {
        "version": VERSION,
        "input": text,
        "cwd": cwd,
        "ensembles": {name: _kept(ensemble, place, digest) for name, ensemble in ensembles.items()},
        "profiles": {name: profile_as_kept(profile) for name, profile in plan.basis.profiles.items()},
        "tiers": [_plain(each._asdict()) for each in plan.basis.tiers],
        "default": plan.basis.default,
        "choices": _plain({each.name: getattr(plan.basis.choices, each.name) for each in fields(Choices)}),
        "limits": {key: getattr(plan, key) for key in LIMITS},
        "offline": offline,
        "bare": not plan.agents,
    }


def checked(spec: Spec) -> Spec:
    """The same; raises ProblemError where it is none that we can read."""
    with _read():
        if spec["version"] > VERSION:
            raise ProblemError(Problem("the run was begun by a newer llm-orc", hint="update this one"))
        ensembles = [spec["ensembles"][""], *spec["ensembles"].values()]
        programs = [program for kept in ensembles for program in kept["programs"].values()]
        hashes = [program["sha256"] or "" for program in programs]
        texts = [spec["input"], spec["cwd"], *hashes, *(kept["file"] for kept in ensembles), *(program["path"] for program in programs)]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError
        return {"offline": False, **spec}


def is_comparison(spec: Spec | None) -> bool:
    """Whether it is that of an ensemble that was made to compare profiles."""
    return spec is not None and spec["ensembles"][""]["file"] == COMPARED


def plan_of(spec: Spec, files: Callable[[str], Files] = lambda _: NoFiles(), profiles: Mapping[str, Profile] | None = None) -> Plan:
    """The same plan; raises ProblemError where it cannot be had.

    `files` gives those of an ensemble, "" for the first, for what was not read then. `profiles` are those of today: one that held a key is
    taken from there.
    """
    with _read():
        ensembles = {name: _ensemble(kept, files(name)) for name, kept in spec["ensembles"].items()}
        known = {name: _known(name, written, {} if profiles is None else profiles) for name, written in spec["profiles"].items()}
        attachments = tuple(map(_attachment, spec["choices"]["attachments"]))
        choices = Choices(**{**spec["choices"], "only": tuple(spec["choices"]["only"]), "attachments": attachments})
        tiers = [Chosen(each["tier"], frozenset(each["requires"]), each["provider"], each["model"]) for each in spec["tiers"]]
        limits = {key: spec["limits"][key] for key in LIMITS}
        ensemble, default = ensembles.pop(""), DefaultProfile(spec["default"])
    plan = resolve(ensemble, known, ensembles, choices, default)
    plan = bare(plan) if spec.get("bare") else plan
    return replace(plan.with_tiers(tiers) if tiers else plan, **limits)


@contextmanager
def _read() -> Iterator[None]:
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError):
        raise ProblemError(Problem("what the run was to do is not kept in a form that can be read", hint=_ANEW)) from None


_ANEW = "run the ensemble again: llm-orc invoke"


@dataclass(frozen=True, slots=True)
class Change:
    """A part of a spec that is not as it was."""

    kind: str
    """ensemble, file, script or profile."""
    name: str


def changes(old: Spec, new: Spec) -> Iterator[Change]:
    """What differs between two specs of one ensemble, but for what the caller chose."""
    for name, kept in old["ensembles"].items():
        now = new["ensembles"].get(name, {})
        if kept["data"] != now.get("data"):
            yield Change("ensemble", kept["file"])
            continue
        for kind, key in (("file", "texts"), ("file", "values"), ("script", "programs"), ("file", "attached")):
            there = now.get(key, {})
            yield from (Change(kind, file) for file, said in kept[key].items() if said != there.get(file))
    yield from (Change("profile", name) for name, said in old["profiles"].items() if said != new["profiles"].get(name))


def _kept(ensemble: Ensemble, place: Callable[[str], str], digest: Callable[[str], str | None]) -> dict[str, Any]:
    files = ensemble.files if isinstance(ensemble.files, Remembered) else Remembered(ensemble.files)
    return {
        "data": _plain(ensemble),
        "file": place(ensemble.source.file),
        "texts": dict(files.texts),
        "values": dict(files.values),
        "programs": {name: {"path": path, "sha256": digest(path)} for name, path in files.programs.items()},
        "attached": _plain(files.attached),
    }


def profile_as_kept(profile: Profile) -> dict[str, Any]:
    """As it is written; what `${VAR}` filled in may be a key, which is marked."""
    return {key: value if key in _PLAIN else _without_keys(value) for key, value in _plain(profile).items()}


def _without_keys(value: Any) -> Any:
    match value:
        case str():
            return without_secrets(value)
        case dict():
            return {key: _without_keys(each) for key, each in value.items()}
        case list():
            return [_without_keys(each) for each in value]
        case _:
            return value


def _known(name: str, written: Mapping[str, Any], today: Mapping[str, Profile]) -> Profile:
    if MARK not in str(written):
        return Profile.model_validate(written)
    if name not in today:
        raise ProblemError(Problem(f"the profile '{name}' held a key, which is not kept, and there is no such profile now", hint=_ANEW))
    return today[name]


def _ensemble(kept: Mapping[str, Any], files: Files) -> Ensemble:
    if functions := [agent["name"] for agent in kept["data"]["agents"] if "function" in agent]:
        hint = "run it again from the program that it came from"
        raise ProblemError(Problem(f"'{functions[0]}' is a Python function, which is not kept", hint=hint))
    programs = {name: program["path"] for name, program in kept["programs"].items()}
    attached = {name: _attachment(each) for name, each in kept["attached"].items()}
    remembered = Remembered(files, dict(kept["texts"]), dict(kept["values"]), programs, attached)
    return Ensemble.model_validate(kept["data"]).found(Source(kept["file"]), remembered)


def _attachment(kept: Mapping[str, Any]) -> Attachment:
    from base64 import b64decode  # few runs have files that go along

    return Attachment(kept["name"], kept["media_type"], b64decode(kept["data"]), kept["path"])


def _plain(value: Any) -> Any:
    """What JSON knows; of what is read from files only what was written there."""
    match value:
        case FunctionAgent():
            return {"name": value.name, "function": getattr(value.function, "__qualname__", "")}
        case BaseModel():
            return {key: _plain(getattr(value, key)) for key in type(value).model_fields if key in value.model_fields_set}
        case str():
            return str(value)
        case Attachment():
            from base64 import b64encode

            data = b64encode(value.data).decode()
            return {"name": value.name, "media_type": value.media_type, "data": data, "path": value.path}
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case set() | frozenset():
            return sorted(map(_plain, value))
        case _:
            return value
