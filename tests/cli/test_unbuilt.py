"""Every key and flag that is designed and not built yet is refused by the true command line. Whoever builds one deletes its row."""

from collections.abc import Iterator

import pytest

from llm_orc.cli.usage import UNBUILT as FLAGS
from llm_orc.config.unbuilt import UNBUILT as KEYS
from tests.project import NewProject

USES = "\nagents: [{name: a, model_profile: mine}]\n"
WRITTEN = {
    "agent": "agents:\n  - name: a\n    {key}: 1\n",
    "ensemble": "agents: [{{name: a}}]\n\n{key}: 1\n",
    "limits": "agents: [{{name: a}}]\nlimits:\n  {key}: 1\n",
    "fan_out": "agents:\n  - name: a\n    fan_out: {{{key}: 1}}\n",
    "synthesis": "agents: [{{name: a}}]\nsynthesis:\n  {key}: 1\n",
    "profile": "model: x\nprovider: y\n{key}: 1\n",
    "config": "# settings\n\n{key}: 1\n",
}
FILES = {"profile": ".llm-orc/profiles/mine.yaml", "config": ".llm-orc/config.yaml"}
OWN = ".llm-orc/ensembles/own.yaml"


def rows() -> Iterator[tuple[str, str]]:
    yield from (("flag", flag) for flag in FLAGS)
    yield from ((where, key) for where, keys in KEYS.items() for key in keys)


@pytest.mark.parametrize(("where", "name"), list(rows()))
def test_what_is_not_built_is_refused_at_its_place(project: NewProject, where: str, name: str) -> None:
    file = FILES.get(where, OWN)
    here = project({OWN: USES} | ({} if where == "flag" else {file: WRITTEN[where].format(key=name)}))
    outcome = here.run("invoke", "own", "x", *([name] if where == "flag" else []))
    place = "error" if where == "flag" else f"{file}:3:"
    assert outcome[::2] == ("", 2)
    assert outcome.err.startswith(place)
    assert f"'{name}' is not supported yet\nhint: leave it out\n" in outcome.err
