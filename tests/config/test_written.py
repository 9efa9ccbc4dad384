import pytest

from llm_orc.domain.problem import Place, ProblemError
from tests.config.said import ensemble, of_ensemble, of_profile, profile

ONE_SOURCE = "fan_out takes exactly one of 'items', 'chunks', 'files', 'errors' and 'profiles'"
EVERYTHING = """
name: code-review
description: Three reviewers, one verdict
version: 1
variables: {language: {default: python, choices: [python, go]}, strict: {type: boolean, required: true}, free: }
default_task: Review the code.
defaults: {model_profile: fast, timeout_seconds: 120, require: all, env: [LANG]}
execution: phased
limits: {max_parallel: 16, timeout_seconds: 900}
output_format: json
agents:
  - {name: facts, script: scripts/facts.py, parameters: {max_lines: 40, none: null}, env: [LANG]}
  - {name: lint, command: [ruff, check, "-"], success_codes: [0, 1]}
  - name: security
    model_profile: careful
    system_prompt: You look for ways in.
    prompt: "{{ input }}"
    depends_on: [facts, {agent_name: lint}]
    require: 1
    when: "{{ agents.facts.ok }}"
    temperature: 0.2
    top_p: 1
    max_tokens: 100
    seed: 7
    stop: [END]
    options: {num_ctx: 8192}
  - {name: per_item, fan_out: true, depends_on: [facts], gather: text}
  - {name: each, fan_out: {items: [1, 2], max_parallel: 8}}
  - {name: compare, fan_out: {profiles: [careful, cheap]}}
  - {name: deep_dive, ensemble: topic-analysis, parameters: {depth: 2}, depends_on: [security], input_key: topics}
synthesis: {model_profile: careful, prompt: Merge the findings.}
"""


def test_every_key_is_read() -> None:
    read = ensemble(EVERYTHING)
    assert [agent.body for agent in read.agents] == ["script", "command", "model", "model", "model", "model", "ensemble"]
    assert read.agents[2].depends_on == ("facts", "lint")
    assert read.agents[0].model_dump()["parameters"] == {"max_lines": 40, "none": None}
    assert read.variables["free"].default is None
    assert read.source.at("agents", 2, "prompt") == Place("review.yaml", 16, 13)


def test_the_file_gives_the_name_and_what_is_left_empty_is_left_out() -> None:
    read = ensemble("defaults:\nlimits:\nsynthesis:\nagents:\n  - name: a\n    prompt:\n    depends_on:\n")
    assert (read.name, read.agents[0].depends_on, read.synthesis) == ("review", (), None)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["review.yaml: is empty\nhint: an ensemble begins with its agents: agents: [{name: first, prompt: ...}]"]),
        ("? [a]\n: b", ["review.yaml:1:3: a key has to be a plain text\nhint: quote a text that begins with a bracket"]),
        ("# nothing", ["review.yaml: is empty\nhint: an ensemble begins with its agents: agents: [{name: first, prompt: ...}]"]),
        (
            "- a",
            [
                (
                    "review.yaml:1:1: holds a list, not keys and values\n"
                    "hint: an ensemble begins with its agents: agents: [{name: first, prompt: ...}]"
                )
            ],
        ),
        ("name: x", ["review.yaml:1:1: no agents\nhint: an ensemble lists them: agents: [{name: first, prompt: ...}]"]),
        ("agents: []", ["review.yaml:1:9: 'agents' must not be empty"]),
        ("agents: {a: b}", ["review.yaml:1:9: 'agents' must be a list, not keys and values"]),
        ("agents: [a]", ["review.yaml:1:10: an entry of 'agents' must be keys and values, not 'a'"]),
        ("agents: [{name: a}]\nagnets: 1", ["review.yaml:2:1: no key 'agnets' in an ensemble\nhint: did you mean 'agents'?"]),
        ("agnets: [{name: a}]", ["review.yaml:1:1: no key 'agnets' in an ensemble\nhint: did you mean 'agents'?"]),
        ("agents: [{prompt: x}]", ["review.yaml:1:10: 'name' is missing"]),
        ("agents: [{name: 1st}]", ["review.yaml:1:17: '1st' is no name\nhint: a name has letters, digits, - and _, a letter first"]),
        ("agents: [{name: 12}]", ["review.yaml:1:17: 'name' must be a text, not 12\nhint: quote it: \"12\""]),
        (
            "agents: [{name: a, script: x, temperature: 1}]",
            ["review.yaml:1:31: 'temperature' belongs to model agents, and this is a script agent\nhint: leave it out"],
        ),
        (
            "agents: [{name: a, model_profile: fast, script: x}]",
            ["review.yaml:1:41: 'script' beside 'model_profile'\nhint: keep one: they say what answers here"],
        ),
        (
            "agents: [{name: a, script: x, model_profile: fast}]",
            ["review.yaml:1:31: 'model_profile' beside 'script'\nhint: keep one: they say what answers here"],
        ),
        (
            "agents: [{name: a, model: x, provider: y, model_profile: fast}]",
            ["review.yaml:1:43: 'model_profile' beside 'model'\nhint: keep one: they say what answers here"],
        ),
        (
            "agents: [{name: a}]\nsynthesis: {model_profile: x, model: y, provider: z}",
            ["review.yaml:2:31: 'model' beside 'model_profile'\nhint: keep one: they say what answers here"],
        ),
        ("agents: [{name: a, model: x}]", ["review.yaml:1:10: 'model' and 'provider' go together"]),
        ("agents: [{name: a, max_tokens: true}]", ["review.yaml:1:32: 'max_tokens' must be a number, not true"]),
        ("limits: {max_cost: true}\nagents: [{name: a}]", ["review.yaml:1:20: 'max_cost' must be a number, not true"]),
        ("agents: [{name: a, temperature: 3}]", ["review.yaml:1:33: 'temperature' must be at most 2, not 3"]),
        ("agents: [{name: a, timeout_seconds: 0}]", ["review.yaml:1:37: 'timeout_seconds' must be above 0, not 0"]),
        ("agents: [{name: a, temperature: .nan}]", ["review.yaml:1:33: 'temperature' must be a finite number, not nan"]),
        ("agents: [{name: a, stop: END}]", ["review.yaml:1:26: 'stop' must be a list, not 'END'\nhint: write stop: [END]"]),
        ("agents: [{name: a, stop: ['']}]", ["review.yaml:1:26: an empty string stops before the first word"]),
        (
            "agents: [{name: a, command: ls -l}]",
            ["review.yaml:1:29: 'command' must be a list, not 'ls -l'\nhint: write command: [ls, -l]"],
        ),
        (
            "agents: [{name: a, require: al}]",
            ["review.yaml:1:29: 'require' must be any or all or a whole number, not 'al'\nhint: did you mean 'all'?"],
        ),
        (
            "agents: [{name: a, fan_out: {itms: 3}}]",
            ["review.yaml:1:30: no key 'itms' in fan_out\nhint: did you mean 'items'?"],
        ),
        ("agents: [{name: a, fan_out: {}}]", [f"review.yaml:1:29: {ONE_SOURCE}"]),
        ("agents: [{name: a, fan_out: 3}]", ["review.yaml:1:29: 'fan_out' must be true or false or keys and values, not 3"]),
        (
            "agents: [{name: a}]\nvariables: {1x: {}, y: {typ: string}}",
            [
                "review.yaml:2:13: '1x' is no name\nhint: a name has letters, digits, - and _, a letter first",
                "review.yaml:2:25: no key 'typ' in a variable\nhint: did you mean 'type'?",
            ],
        ),
        (
            "agents: [{name: a}]\nsynthesis: {concat: false}",
            ["review.yaml:2:21: 'concat' must be true, not false"],
        ),
        (
            "agents: [{name: a, command: ['', x]}, {name: b, command: [cat, \"a\\0b\"]}, {name: c, command: []}]",
            [
                "review.yaml:1:29: 'command' begins with the name of a program, not with an empty text",
                "review.yaml:1:58: 'command' holds a NUL character, which no program can be given",
                "review.yaml:1:93: 'command' must not be empty",
            ],
        ),
        (
            "agents: [{name: a, script: x, env: [A=1, PATH]}]",
            ["review.yaml:1:37: 'A=1' is no name of an environment variable; values come from where llm-orc is called"],
        ),
        (
            "agents: [{name: a}]\nsynthesis: {concat: true, prompt: x}",
            [
                (
                    "review.yaml:2:27: 'prompt' belongs to another form of synthesis\n"
                    "hint: keep one: model_profile and prompt, concat, template, agent or document"
                )
            ],
        ),
        (
            "agents: [{name: a}]\nlimits: {max_parallel:5}",
            ["review.yaml:2:10: no key 'max_parallel:5' in limits\nhint: did you mean 'max_parallel'?"],
        ),
        (
            "agents: [{name: a, promt: }]\nsynthesi:",
            [
                "review.yaml:1:20: no key 'promt' in a model agent\nhint: did you mean 'prompt'?",
                "review.yaml:2:1: no key 'synthesi' in an ensemble\nhint: did you mean 'synthesis'?",
            ],
        ),
        ("agents: [{name: a}]\nsynthesis: true", ["review.yaml:2:12: 'synthesis' must be keys and values, not true"]),
        ("agents: [{name: a}]\nversion: 2", ["review.yaml:2:10: 'version' must be 1, not 2"]),
        (
            "agents: [{name: a}]\nexecution: phasd",
            ["review.yaml:2:12: 'execution' must be overlapping or phased, not 'phasd'\nhint: did you mean 'phased'?"],
        ),
        (
            "agents: [{name: a, function: x}]",
            [
                (
                    "review.yaml:1:20: no key 'function' in a model agent\n"
                    "hint: there are: name, system_prompt, temperature, max_tokens, top_p, seed, stop, timeout_seconds, options, cache, "
                    "attachments, retry, fallback, context, requires, output_schema, template, on_mismatch, depends_on, require, when, "
                    "fan_out, gather, "
                    "input_key, prompt, prompt_file, model_profile, model, provider, system_prompt_file"
                )
            ],
        ),
        (
            "agents: [{name: a, options: {api_key: abc}}]",
            [
                (
                    "review.yaml:1:30: a key does not belong in a file\n"
                    "hint: leave it out, and keep it: llm-orc auth add PROVIDER; or export OPENAI_COMPATIBLE_API_KEY=..."
                )
            ],
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, problems: list[str]) -> None:
    assert of_ensemble(text) == problems


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    said = of_ensemble("""
        agents:
          - {name: a, max_tokens: 0, tempreture: 1}
          - {name: a b}
          - {script: x}
        limits: {max_paralel: 3}
        limits: {}
        """)
    assert [line.split(" ", 1)[0] for line in said] == [f"review.yaml:{place}:" for place in ("2:27", "2:30", "3:12", "4:5", "5:10", "6:1")]


def test_a_profile() -> None:
    read = profile("model: qwen\nprovider: lmstudio\nbase_url: http://localhost:1234/v1\nmax_parallel: 2\nname: other\n")
    assert (read.name, read.model, read.max_parallel) == ("fast", "qwen", 2)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["review.yaml: is empty\nhint: a profile names a model and a provider"]),
        ("temperature: 1", ["review.yaml:1:1: 'model' is missing", "review.yaml:1:1: 'provider' is missing"]),
        ("modl: x\nprovider: y", ["review.yaml:1:1: no key 'modl' in a profile\nhint: did you mean 'model'?"]),
        (
            "model: x\nprovider: anthropic\napi_key: sk-ant-1234567890abcdef",
            [
                (
                    "review.yaml:3:1: a key does not belong in a file\n"
                    "hint: leave it out, and keep it: llm-orc auth add anthropic; or export ANTHROPIC_API_KEY=..."
                )
            ],
        ),
        (
            "model: x\nprovider: openai\noptions: {headers: {Authorization: Bearer sk-1234567890abcdef}}",
            [
                (
                    "review.yaml:3:21: a key does not belong in a file\n"
                    "hint: leave it out, and keep it: llm-orc auth add openai; or export OPENAI_API_KEY=..."
                )
            ],
        ),
    ],
)
def test_what_is_wrong_with_a_profile(text: str, problems: list[str]) -> None:
    assert of_profile(text) == problems


def test_not_everything_that_begins_with_sk_is_a_key() -> None:
    assert of_ensemble("agents: [{name: a, prompt: sk-learn-or-pytorch}]") == []


def test_no_key_is_ever_shown() -> None:
    secret = "sk-" + "a1b2" * 8
    for text in (f"model: {secret}\nprovider: {secret}", f"model: x\nprovider: y\ntemperature: {secret}", f"{secret}"):
        assert secret not in "".join(of_profile(text))


def test_a_chain_of_1200_agents_declared_backwards_is_read() -> None:
    agents = "\n".join(f"  - {{name: a{i}, depends_on: [a{i - 1}]}}" for i in range(1200, 0, -1))
    assert len(ensemble(f"agents:\n{agents}\n  - name: a0\n").agents) == 1201


def test_problems_are_never_raised_without_any() -> None:
    with pytest.raises(ProblemError) as caught:
        ensemble("agents: 3")
    assert caught.value.problems


@pytest.mark.parametrize("url", ["https://u:{}@x.org/v1", "https://x.org/v1?key={}", "https://x.org/{}/v1"])
def test_a_key_in_an_address_is_one_too(url: str) -> None:
    key = "sk-proj-abcdefgh12345678"
    said = of_profile(f"model: m\nprovider: vllm\nbase_url: {url.format(key)}")
    assert said[0].startswith("review.yaml:3:1: a key does not belong in a file")
    assert key not in "".join(said)
    assert profile("model: m\nprovider: vllm\nbase_url: http://x/task-sk-abcdefgh1234567890").base_url
