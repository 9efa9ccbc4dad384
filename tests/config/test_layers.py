import os
from dataclasses import replace
from pathlib import Path

import pytest

from llm_orc.config.layers import Layers, read_layers
from llm_orc.config.trust import trust
from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.problem import ProblemError
from tests.config.conftest import Machine


def ensemble(description: str = "", name: str = "") -> str:
    return "".join([f"name: {name}\n" if name else "", f"description: {description}\n", "agents: [{name: a, prompt: Hi}]\n"])


def said(layers: Layers, called: str) -> str:
    with pytest.raises(ProblemError) as caught:
        layers.around(called).ensemble(called)
    return str(caught.value)


def test_the_highest_layer_wins_and_a_project_says_so(machine: Machine) -> None:
    files = {
        "~/.config/llm-orc/ensembles/hello.yaml": ensemble("the user's"),
        "~/.config/llm-orc/ensembles/mine.yml": ensemble("mine"),
        ".llm-orc/ensembles/hello.yaml": ensemble("the project's"),
        ".llm-orc/ensembles/mine.yaml": ensemble("the project's mine"),
    }
    layers = read_layers(machine(files))
    assert layers.ensemble("hello").description == "the project's"
    assert [str(warning) for warning in layers.warnings] == ["ensemble 'hello' is the project's, not your own (hello.yaml)"]
    del files[".llm-orc/ensembles/hello.yaml"]


def test_a_user_hides_what_is_shipped_without_a_word(machine: Machine) -> None:
    layers = read_layers(machine({"~/.config/llm-orc/ensembles/hello.yaml": ensemble("the user's")}))
    assert layers.ensemble("hello").description == "the user's"
    assert layers.warnings == ()


def test_what_is_shipped_is_there_without_any_file(machine: Machine) -> None:
    layers = read_layers(machine())
    assert layers.ensemble("hello").agents
    assert layers.ensemble("examples/script").name
    assert layers.profiles["default"].provider == "auto"
    assert layers.trusted
    assert layers.project is None


def test_a_shipped_ensemble_finds_its_own_files(machine: Machine) -> None:
    layers = read_layers(machine())
    files = layers.ensemble("hello").files
    shipped = Path(__file__).parents[2] / "ensembles"
    script = next((shipped / "scripts").glob("*.py")).name
    assert files.program(f"scripts/{script}") == str(shipped / "scripts" / script)
    assert files.program(script) == str(shipped / "scripts" / script)


def test_xdg_moves_the_users_layer(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "elsewhere/llm-orc/ensembles").mkdir(parents=True)
    (tmp_path / "elsewhere/llm-orc/ensembles/there.yaml").write_text(ensemble("there"))
    assert read_layers(machine(XDG_CONFIG_HOME=str(tmp_path / "elsewhere"))).ensemble("there").description == "there"


def test_the_project_is_looked_for_upward_as_far_as_the_repository(machine: Machine) -> None:
    files = {".llm-orc/ensembles/up.yaml": ensemble("up"), "repo/.git/HEAD": "", "repo/deep/x": "", "free/deep/x": ""}
    assert read_layers(machine(files, cwd="free/deep")).ensemble("up").description == "up"
    assert "no ensemble 'up'" in said(read_layers(machine(files, cwd="repo/deep")), "up")


def test_the_project_is_looked_for_no_further_than_home(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / ".llm-orc/ensembles").mkdir(parents=True)
    assert read_layers(machine()).project is None


def test_home_may_be_a_link(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / ".llm-orc/ensembles").mkdir(parents=True)
    where = machine()
    (tmp_path / "link").symlink_to(where.home)
    assert read_layers(replace(where, home=tmp_path / "link")).project is None


def test_a_name_is_a_file_first_and_only_then_a_key(machine: Machine) -> None:
    layers = read_layers(
        machine(
            {
                ".llm-orc/ensembles/review.yaml": ensemble("the file"),
                ".llm-orc/ensembles/other.yaml": ensemble("the key", name="review"),
                ".llm-orc/ensembles/third.yaml": ensemble("only the key", name="inside"),
                ".llm-orc/ensembles/broken.yaml": "agents: [",
            }
        )
    )
    assert layers.ensemble("review").description == "the file"
    assert layers.ensemble("inside").description == "only the key"


def test_a_broken_neighbour_breaks_nothing(machine: Machine) -> None:
    layers = read_layers(
        machine(
            {
                ".llm-orc/ensembles/good.yaml": ensemble("good"),
                ".llm-orc/ensembles/broken.yaml": "agents: [",
                ".llm-orc/ensembles/binary.yaml": b"\xff\xfe\x00",
                ".llm-orc/ensembles/a folder.yaml/x": "",
                ".llm-orc/profiles/broken.yaml": "- x",
                ".llm-orc/config.yaml": "model_profiles: {bad: {modl: x}, good: {model: x, provider: y}}",
            }
        )
    )
    assert layers.ensemble("good").description == "good"
    assert layers.profiles["good"].model == "x"
    assert {"good", "broken", "binary"} <= set(layers.ensembles)
    with pytest.raises(ProblemError, match="no key 'modl' in a profile"):
        layers.profiles["bad"]


@pytest.mark.parametrize(
    ("called", "what"),
    [
        ("revew", "no ensemble 'revew'\nhint: did you mean 'review'? see: llm-orc list ensembles"),
        ("zzz", "no ensemble 'zzz'\nhint: see: llm-orc list ensembles"),
        ("../review", "../review: there is no such file"),
        ("nothing.yaml", "nothing.yaml: there is no such file"),
        (".llm-orc/ensembles", ".llm-orc/ensembles: is a folder, not a file"),
        (".", ".: is a folder, not a file"),
        ("README", "no ensemble 'README'\nhint: a file is called by its path: ./README see: llm-orc list ensembles"),
        ("", "no ensemble ''\nhint: see: llm-orc list ensembles"),
        ("a\0b", "no ensemble 'a\0b'\nhint: see: llm-orc list ensembles"),
        ("a\0b/c", "no ensemble 'a\0b/c'\nhint: see: llm-orc list ensembles"),
    ],
)
def test_what_is_not_there(machine: Machine, called: str, what: str) -> None:
    assert said(read_layers(machine({".llm-orc/ensembles/review.yaml": ensemble(), "README": ""})), called) == what


def test_everything_wrong_is_told_at_once(machine: Machine) -> None:
    text = """\
        agents:
          - {name: typo, model_profil: fast, depends_on: [nobody]}
          - {name: sound, model_profile: fsat, depends_on: [typo, nobdy]}
          - {name: child, ensemble: helo, prompt: "{{ agents.typo }} {{ agents.other }} {{ variables.x }}"}
          - {name: both, tempreture: 1, model_profile: fsat, max_tokens: 0, prompt: "{{ inptu }}"}
          - {name: misled, depend_on: [sound], fan_out: true, prompt: "{{ item }} {{ agents.nobody }}"}
          - {name: later, retry: 3, prompt: "{{ item }}", fan_out: {fils: x}}
        variables: {x: {typ: string}}
        limits: {max_paralel: 1}
        """
    problems = said(read_layers(machine({".llm-orc/ensembles/many.yaml": text})), "many")
    assert [line.partition(": ")[::2] for line in problems.splitlines() if not line.startswith("hint: ")] == [
        (f".llm-orc/ensembles/many.yaml:{place}", what)
        for place, what in (
            ("2:18", "no key 'model_profil' in a model agent"),
            ("3:34", "no profile 'fsat'"),
            ("3:59", "no agent 'nobdy'"),
            ("4:29", "no ensemble 'helo'"),
            ("4:43", "no agent 'other'"),
            ("5:18", "no key 'tempreture' in a model agent"),
            ("5:48", "no profile 'fsat'"),
            ("5:66", "'max_tokens' must be at least 1, not 0"),
            ("5:77", "no name 'inptu' in the template of 'prompt'"),
            ("6:20", "no key 'depend_on' in a model agent"),
            ("7:26", "'retry' must be keys and values, not 3"),
            ("7:61", "no key 'fils' in fan_out"),
            ("8:17", "no key 'typ' in a variable"),
            ("9:10", "no key 'max_paralel' in limits"),
        )
    ]


def test_nothing_is_told_of_the_rest_where_a_name_is_lost(machine: Machine) -> None:
    text = "agents: [{nmae: a}, {name: b, depends_on: [a], model_profile: fsat}]"
    assert said(read_layers(machine({"x.yaml": text})), "x.yaml").count("x.yaml:") == 1


def test_an_ensemble_called_by_path_has_its_folder_as_highest_layer(machine: Machine) -> None:
    layers = read_layers(
        machine(
            {
                "work/main.yaml": ensemble("by path"),
                "work/child.yaml": ensemble("beside it"),
                "work/ensembles/deep.yaml": ensemble("below it"),
                "work/profiles/fast.yaml": "model: own\nprovider: lmstudio",
                "work/prompts/p.md": "Prompt.",
                "work/scripts/s.py": "",
                ".llm-orc/ensembles/child.yaml": ensemble("the project's"),
            }
        )
    )
    around = layers.around("work/main.yaml")
    read = around.ensemble("work/main.yaml")
    assert (read.name, read.description) == ("main", "by path")
    assert around.ensembles["child"].description == "beside it"
    assert around.ensembles["deep"].description == "below it"
    assert around.profiles["fast"].model == "own"
    assert read.files.text("prompts/p.md") == "Prompt."
    assert read.files.program("s.py").endswith("work/scripts/s.py")
    assert layers.ensembles["child"].description == "the project's"


def test_a_path_into_a_layer_is_that_layer(machine: Machine) -> None:
    layers = read_layers(machine({".llm-orc/ensembles/a.yaml": ensemble("a"), ".llm-orc/templates/t.j2": "T"}))
    assert layers.around(".llm-orc/ensembles/a.yaml") is layers
    assert layers.ensemble(".llm-orc/ensembles/a.yaml").files.text("t.j2") == "T"


def test_a_file_name_that_is_no_name_gives_one(machine: Machine) -> None:
    layers = read_layers(machine({"2nd review (new).yaml": ensemble(), "1.yaml": ensemble()}))
    assert layers.ensemble("2nd review (new).yaml").name == "nd-review-new-"
    assert layers.ensemble("1.yaml").name == "ensemble"


def test_a_profile_comes_from_files_and_from_config(machine: Machine) -> None:
    def model(**profile: str) -> str:
        return read_layers(machine(files, **profile)).profiles["fast"].model

    files = {
        "~/.config/llm-orc/config.yaml": "model_profiles: {fast: {model: user-config, provider: x}}",
        "~/.config/llm-orc/profiles/fast.yaml": "model: user-file\nprovider: x",
    }
    assert model() == "user-file"
    files[".llm-orc/config.yaml"] = "model_profiles: {fast: {model: project-config, provider: x}}"
    assert model() == "project-config"
    files[".llm-orc/profiles/fast.yaml"] = "model: project-file\nprovider: x"
    assert model() == "project-file"
    assert model(LLM_ORC_MODEL_PROFILES="{fast: {model: environment, provider: x}}") == "environment"


def test_a_profile_knows_where_it_is_wrong(machine: Machine) -> None:
    layers = read_layers(machine({".llm-orc/config.yaml": "model_profiles:\n  fast:\n    model: x\n    providr: y\n"}))
    with pytest.raises(ProblemError) as caught:
        layers.profiles["fast"]
    assert str(caught.value) == ".llm-orc/config.yaml:4:5: no key 'providr' in a profile\nhint: did you mean 'provider'?"


class TestFiles:
    def files(self, machine: Machine, more: dict[str, str | bytes] | None = None) -> Ensemble:
        files = {".llm-orc/ensembles/a.yaml": ensemble(), ".llm-orc/prompts/p.md": "Grüße", "root.md": "from the root"}
        return read_layers(machine(files | (more or {}))).ensemble("a")

    def said(self, read: Ensemble, name: str, kind: str = "text") -> str:
        with pytest.raises(ProblemError) as caught:
            getattr(read.files, kind)(name)
        assert caught.value.problems[0].place is None
        return str(caught.value)

    def test_texts_and_scripts(self, machine: Machine) -> None:
        read = self.files(machine, {".llm-orc/scripts/s.sh": "#!/bin/sh\n", ".llm-orc/templates/t.j2": "T"})
        assert read.files.text("prompts/p.md") == "Grüße"
        assert read.files.text("root.md") == "from the root"
        assert read.files.text("t.j2") == read.files.text("templates/t.j2") == "T"
        assert "'s.sh' is not executable" in self.said(read, "s.sh", "program")
        (machine().cwd / ".llm-orc/scripts/s.sh").chmod(0o755)
        assert read.files.program("s.sh") == read.files.program("scripts/s.sh")

    def test_what_cannot_be_read(self, machine: Machine) -> None:
        read = self.files(machine, {".llm-orc/latin.md": b"a\n\xe9", ".llm-orc/scripts/x": ""})
        home = ".llm-orc"
        assert self.said(read, "no.md").startswith(f"no file 'no.md'\nhint: looked in {home}/, {home}/templates/, {home}/ensembles/")
        assert self.said(read, "latin.md") == "'latin.md' is no UTF-8 text in line 2\nhint: save the file as UTF-8"
        assert self.said(read, "prompts") == "'prompts' is a folder, not a file"
        assert self.said(read, "scripts", "program") == "'scripts' is a folder, not a script"
        os.mkfifo(read_layers(machine()).folders[-1].path / "pipe.py")
        assert self.said(read, "pipe.py") == "'pipe.py' is a pipe or a device, not a file\nhint: save what it holds as a file"
        assert self.said(read, "pipe.py", "program") == "'pipe.py' is a pipe or a device, not a script"
        assert self.said(read, "x" * 500).startswith("no file 'xxx")
        assert self.said(read, "a\0b").startswith("no file 'a")

    @pytest.mark.parametrize("kind", ["text", "program"])
    def test_what_lies_outside_needs_trust_links_too(self, machine: Machine, kind: str) -> None:
        where = machine({"~/secret.py": "secret", ".llm-orc/ensembles/a.yaml": ensemble()})
        (where.cwd / ".llm-orc/link.py").symlink_to(where.home / "secret.py")
        (where.cwd / "folder").symlink_to(where.home)
        outside = ("link.py", "../secret.py", "../../secret.py", str(where.home / "secret.py"), "folder/secret.py")
        read = read_layers(where).ensemble("a")
        for name in outside:
            with pytest.raises(ProblemError) as caught:
                getattr(read.files, kind)(name)
            assert caught.value.untrusted, name
            assert str(caught.value) == f"'{name}' lies outside of the project\nhint: if you know what is in this project: llm-orc trust"
        trust(where.cwd, where)
        read = read_layers(where).ensemble("a")
        assert getattr(read.files, kind)("link.py")
        assert getattr(read.files, kind)("folder/secret.py")


def test_linked_ensembles_and_settings_need_trust_too(machine: Machine) -> None:
    where = machine({"~/out.yaml": ensemble("out"), "~/conf.yaml": "default_profile: x", ".llm-orc/ensembles/a.yaml": ensemble()})
    (where.cwd / ".llm-orc/ensembles/link.yaml").symlink_to(where.home / "out.yaml")
    assert "'.llm-orc/ensembles/link.yaml' lies outside of the project" in said(read_layers(where), "link")
    (where.cwd / ".llm-orc/config.yaml").symlink_to(where.home / "conf.yaml")
    with pytest.raises(ProblemError, match="lies outside of the project"):
        read_layers(where)
    trust(where.cwd, where)
    assert read_layers(where).ensemble("link").description == "out"


@pytest.mark.parametrize("called", ["link.yaml", "ensembles/good.yaml"])
def test_a_link_into_a_trusted_folder_lends_no_trust_to_what_lies_beside_it(machine: Machine, called: str) -> None:
    where = machine({"~/.config/llm-orc/ensembles/good.yaml": ensemble("good"), "~/trusted/good.yaml": ensemble("good")})
    trust(where.home / "trusted", where)
    for target in (where.settings / "ensembles", where.home / "trusted"):
        (where.cwd / "link.yaml").unlink(missing_ok=True)
        (where.cwd / "ensembles").unlink(missing_ok=True)
        (where.cwd / "link.yaml").symlink_to(target / "good.yaml")
        (where.cwd / "ensembles").symlink_to(target)
        layers = read_layers(where).around(called)
        assert not layers.trusted
        with pytest.raises(ProblemError, match="lies outside of the project") as caught:
            layers.ensemble(called)
        assert caught.value.untrusted


def test_an_example_called_by_its_path_belongs_to_the_layer_it_lies_in(machine: Machine) -> None:
    files = {".llm-orc/ensembles/examples/a.yaml": ensemble("a"), ".llm-orc/templates/t.j2": "T"}
    layers = read_layers(machine(files))
    assert layers.around(".llm-orc/ensembles/examples/a.yaml") is layers
    assert layers.ensemble(".llm-orc/ensembles/examples/a.yaml").files.text("t.j2") == "T"


@pytest.mark.parametrize("called", ["circle.yaml", "folder/x.yaml"])
def test_links_in_a_circle_are_told(machine: Machine, called: str) -> None:
    where = machine()
    for name in ("circle.yaml", "folder"):
        (where.cwd / name).symlink_to(name)
    assert f"{called}: cannot be read: too many levels of symbolic links" in said(read_layers(where), called)
