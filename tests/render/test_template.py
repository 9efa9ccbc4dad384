from tests.project import NewProject

AGENTS = "agents: [{name: a, model_profile: embedded, prompt: Hi}]\n"


def test_the_format_of_an_ensemble_is_found_where_its_files_are(project: NewProject) -> None:
    here = project({".llm-orc/ensembles/x.yaml": f"output_format: page.j2\n{AGENTS}", ".llm-orc/templates/page.j2": "page", "below/a": ""})
    assert here.run("invoke", "x", "hi", cwd="below").out == "page\n"
    here.write("below/page.j2", "one that lies about")
    assert here.run("invoke", "x", "hi", cwd="below").out == "page\n"


def test_the_format_of_an_untrusted_ensemble_reads_nothing_outside_of_the_project(project: NewProject) -> None:
    here = project({"~/secret.j2": "secret", ".llm-orc/ensembles/x.yaml": f"{AGENTS}output_format: link.j2\n"})
    (here.path / "link.j2").symlink_to(here.home / "secret.j2")
    said = (
        ".llm-orc/ensembles/x.yaml:2:16: 'link.j2' lies outside of the project\nhint: if you know what is in this project: llm-orc trust\n"
    )
    assert here.run("invoke", "x", "hi") == ("", said, 2)
    assert here.run("invoke", "x", "hi", env={"LLM_ORC_TRUST": "1"}).out == "secret\n"
