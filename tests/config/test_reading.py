import math
import stat
import sys
from pathlib import Path

import pytest

from llm_orc.config.reading import MAX_BYTES, MAX_DEPTH, Document, parse, read_text
from llm_orc.domain.problem import Place, ProblemError
from tests.config.said import of_ensemble
from tests.project import run


def said(text: str) -> list[str]:
    try:
        return [str(problem) for problem in parse(text, "f.yaml").problems]
    except ProblemError as error:
        return [str(problem) for problem in error.problems]


def read(text: str) -> Document:
    document = parse(text, "f.yaml")
    assert not document.problems
    return document


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2024-01-31", "2024-01-31"),
        ("1_000", "1_000"),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("-12", -12),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("True", True),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        ("~", None),
        ("NULL", None),
        ("", None),
        ("''", ""),
        ('"12"', "12"),
        ("!!str 12", "12"),
        ("=", "="),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_scalars_are_those_of_the_core_schema_of_yaml_1_2(written: str, value: object) -> None:
    found = read(f"a: {written}").data["a"]
    assert (found, type(found)) == (value, type(value))


def test_nan_is_a_number() -> None:
    assert math.isnan(read("a: .nan").data["a"])


def test_keys_are_texts() -> None:
    assert read("on: 1\n12: 2\ntrue: 3\n~: 4").data == {"on": 1, "12": 2, "true": 3, "~": 4}


def test_each_value_knows_its_place() -> None:
    document = read("agents:\n  - name: a\n    stop: [x, y]\n")
    assert document.source.at("agents", 0, "stop", 1) == Place("f.yaml", 3, 15)
    assert document.source.at("agents", 0) == Place("f.yaml", 2, 5)
    assert document.source.at("agents", 0, "not", "there") == Place("f.yaml", 2, 5)
    assert document.keys["agents", 0, "stop"] == (3, 5)


def test_anchors_and_merge_keys_are_filled_in_and_the_own_key_wins() -> None:
    document = read("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: {<<: [*a, {y: 4, z: 5}]}\nd: *a\n")
    assert document.data["b"] == {"x": 1, "y": 3}
    assert document.data["c"] == {"x": 1, "y": 2, "z": 5}
    assert document.data["d"] == {"x": 1, "y": 2}
    assert document.source.at("b", "x") == Place("f.yaml", 1, 11)


def test_every_place_is_told_in_characters_not_bytes() -> None:
    assert read("é: {ü: 𝄞, x: 1}").source.at("é", "x") == Place("f.yaml", 1, 14)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3:1: the key 'a' stands twice\nhint: the first is in line 1; keep one"),
        ("a:\n\tb: 1", "f.yaml:2:1: a tab, where YAML wants spaces\nhint: indent with spaces"),
        ("a:\n  b: 1\n \tc: 2", "f.yaml:3:2: a tab, where YAML wants spaces\nhint: indent with spaces"),
        (
            "prompt: {{ input }}",
            'f.yaml:1:9: a template without quotes is read as brackets by YAML\nhint: quote it: prompt: "{{ input }}"',
        ),
        (
            "- prompt: {{ input }}, please",
            'f.yaml:1:11: a text that begins with a bracket needs quotes\nhint: quote it: prompt: "{{ input }}, please"',
        ),
        (
            'when: {% if input == "x" %}',
            "f.yaml:1:7: a text that begins with a bracket needs quotes\nhint: quote it: when: '{% if input == \"x\" %}'",
        ),
        (
            "a: b: c",
            "f.yaml:1:5: a colon that does not fit here\nhint: quote a text that holds ': ', and indent keys of one level alike",
        ),
        ("a: 'x\nb: 1", "f.yaml:1:4: a quote that is never closed\nhint: close it, or double a quote that is part of the text"),
        ("a: [1, 2\nb: 1", "f.yaml:1:4: a bracket that is never closed\nhint: close it, or quote a text that begins with a bracket"),
        ("a: [", "f.yaml:1:5: a bracket that is never closed\nhint: close it, or quote a text that begins with a bracket"),
        ("a: @x", "f.yaml:1:4: a text cannot begin with '@' here\nhint: quote it"),
        ("a: *b", "f.yaml:1:4: no anchor of this name above\nhint: an alias (*name) repeats what was marked with &name"),
        ("a: 1\n---\na: 2", "f.yaml:2:1: a second document begins here\nhint: one file holds one; remove the line '---'"),
        ('a: "\\q"', "f.yaml:1:5: a backslash begins an escape in double quotes\nhint: double it, or take single quotes"),
        ("[a]: b", "f.yaml:1:1: a key has to be a plain text\nhint: quote a text that begins with a bracket"),
        ("a: !!python/name:os.system x", "f.yaml:1:4: the tag '!!python/name:os.system' is not known here\nhint: leave it out"),
        ("a: !env [x]", "f.yaml:1:4: the tag '!env' is not known here\nhint: leave it out"),
        ("a: &a [*a]", "f.yaml:1:4: an anchor that contains itself"),
        ("a: &a {<<: *a}", "f.yaml:1:4: an anchor that contains itself"),
        ("a: {<<: x}", "f.yaml:1:9: '<<' takes keys and values, by an alias such as *base"),
        ("a: \x00b", "f.yaml:1:4: an invisible character (U+0000)\nhint: is it a text file? remove the character"),
        ("a: !!int x", "f.yaml:1:4: 'x' is no int that can be read"),
    ],
)
def test_what_is_broken_is_told_with_its_place_and_what_to_do(text: str, problem: str) -> None:
    assert said(text) == [problem]


def test_a_number_longer_than_python_reads_is_told() -> None:
    assert said("a: " + "9" * 5000)[0].startswith("f.yaml:1:4: '9999")


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 50_000, "{a: " * 5_000, "? " * 50_000])
def test_depth_is_bounded_before_the_parser_runs_out_of_stack(text: str) -> None:
    assert "more than 100 levels" in said(text)[0]


def test_what_is_less_deep_is_read() -> None:
    depth = MAX_DEPTH - 2
    assert read("[" * depth + "]" * depth).data


@pytest.mark.parametrize("link", ["[{}]", "{{<<: [{}]}}"])
def test_a_billion_laughs_end_early(link: str) -> None:
    lines = ["a0: &a0 {x: lol}"]
    lines += [f"a{level}: &a{level} " + link.format(",".join([f"*a{level - 1}"] * 10)) for level in range(1, 12)]
    assert "holds more than 100,000 values once its anchors are filled in" in said("\n".join(lines))[0]


@pytest.mark.parametrize("link", ["[*a{}]", "{{<<: *a{}}}"])
def test_aliases_cannot_nest_deeper_than_brackets(link: str) -> None:
    lines = ["a0: &a0 {x: y}", *(f"a{level}: &a{level} {link.format(level - 1)}" for level in range(1, 2000))]
    assert "more than 100 levels" in said("\n".join(lines))[0]


def test_several_duplicates_are_told_at_once() -> None:
    assert len(said("a: {x: 1, x: 2}\na: 1\nb: {y: 1, y: 2}")) == 3  # the inner of the second 'a' is not reached


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def problem(name: str) -> str:
        with pytest.raises(ProblemError) as caught:
            read_text(tmp_path / name, name)
        return str(caught.value)

    (tmp_path / "latin").write_bytes(b"a: 1\nb: \xe9\n")
    (tmp_path / "utf16").write_bytes("a: 1".encode("utf-16"))
    (tmp_path / "huge").write_bytes(b"#" * (MAX_BYTES + 1))
    assert problem("latin") == "latin:2:4: is no UTF-8 text\nhint: save the file as UTF-8"
    assert problem("utf16") == "utf16:1:1: is no UTF-8 text\nhint: save the file as UTF-8"
    assert problem("huge") == "huge: is larger than 8 MB\nhint: is it the right file?"
    assert problem("none") == "none: there is no such file"
    assert problem(".") == ".: is a folder, not a file"
    assert problem("latin/x") == "latin/x: cannot be read: not a directory"
    assert problem("n" * 300).endswith("cannot be read: file name too long")
    assert problem("a\0b").endswith("is no name of a file")


def test_without_the_c_parser_the_same_is_read() -> None:
    code = "import yaml; del yaml.CSafeLoader; from llm_orc.config.reading import parse; print(parse(input(), 'f.yaml').data)"
    text = "a: &a {x: 12:30, y: [on, 0o17, 1e3, ~]}\\nb: {<<: *a, y: !!str 1}"
    done = run(sys.executable, "-c", code.replace("input()", f'"{text}"'))
    assert (done.err, done.out.strip()) == ("", str(read(text.replace("\\n", "\n")).data))


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "bom").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read(read_text(tmp_path / "bom", "bom")).data == {"a": 1}


def test_an_unreadable_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("a: 1")
    file.chmod(stat.S_IWUSR)
    try:
        file.read_bytes()
    except PermissionError:
        with pytest.raises(ProblemError, match="secret: cannot be read: permission denied"):
            read_text(file, "secret")
    else:
        pytest.skip("root reads everything")


@pytest.mark.parametrize(
    "text",
    ["x: [\n" + "- " * 50_000 + "x", "x: [\n{{" + " " * 100_000 + "\x85x", ("- " * 900 + "x\n") * 4000],
    ids=["dashes", "blanks", "ladders"],
)
def test_a_long_line_is_told_as_soon_as_a_short_one(text: str) -> None:
    assert len(said(text)) == 1  # in quadratic time it would take minutes


def test_a_long_script_is_told_as_soon_as_a_short_one() -> None:
    text = f"agents: [{{name: a, script: 'a{' ' * 500_000}a/'}}]"
    assert of_ensemble(text) == []
