"""Which language a text is written in, and where its comments and strings are."""

import ast
import json
import re
from typing import NamedTuple

SUFFIXES = {
    "Python": ("py", "pyi", "pyw"),
    "JavaScript": ("js", "mjs", "cjs", "jsx"),
    "TypeScript": ("ts", "tsx", "mts", "cts"),
    "Go": ("go",),
    "Rust": ("rs",),
    "Java": ("java",),
    "Kotlin": ("kt", "kts"),
    "Swift": ("swift",),
    "Scala": ("scala",),
    "C": ("c", "h"),
    "C++": ("cpp", "cc", "cxx", "hpp", "hh"),
    "C#": ("cs",),
    "PHP": ("php",),
    "Perl": ("pl", "pm"),
    "Ruby": ("rb", "rake"),
    "shell": ("sh", "bash", "zsh"),
    "SQL": ("sql",),
    "HTML": ("html", "htm", "vue", "svelte"),
    "XML": ("xml", "svg"),
    "CSS": ("css", "scss", "less"),
    "YAML": ("yaml", "yml"),
    "TOML": ("toml",),
    "JSON": ("json", "jsonl", "ipynb"),
    "Markdown": ("md", "markdown", "rst"),
    "text": ("txt", "log", "csv", "lock", "diff", "patch"),
}
BY_SUFFIX = {suffix: language for language, suffixes in SUFFIXES.items() for suffix in suffixes}
BY_NAME = {"Dockerfile": "Dockerfile", "Makefile": "Makefile", "Gemfile": "Ruby", "Rakefile": "Ruby"}
NOT_CODE = {"", "text", "Markdown", "JSON", "YAML", "TOML", "XML", "HTML", "CSS"}

TABLE = r"^\[\[?[\w.\"-]+\]\]?$"
# What a first glance finds, with its weight; five hits of one pattern are as good as fifty.
SIGNS = {
    "Python": (
        (3, r"^\s*from [\w.]+ import "),
        (2, r"^import [\w.]+(?: as \w+)?(?:, [\w.]+)*\s*(?:#.*)?$"),
        (2, r"^\s*(?:async )?def \w+\(.*"),
        (2, r"^\s*class \w+(?:\([^)]*\))?:\s*(?:#.*)?$"),
        (1, r"^\s*(?:if|elif|else|for|while|try|except|with)\b.*:\s*$"),
        (1, r"\bself\."),
    ),
    "JavaScript": (
        (2, r"^\s*(?:export )?(?:const|let|var) [\w{\[][^=\n]*= "),
        (2, r"\bfunction\s*\w*\s*\("),
        (2, r"=>\s*[{(\w]"),
        (2, r"\brequire\(['\"]"),
        (3, r"^import .*from ['\"]"),
        (2, r"^export (?:default|class|function|async)\b"),
        (1, r"\bconsole\.\w+\("),
    ),
    "TypeScript": (
        (4, r"^(?:export )?interface \w+[^;{}]*\{"),
        (3, r"^(?:export )?type \w+(?:<[^>]*>)? = "),
        (2, r"^(?!\s*(?://|\*)).*[(,]\s*\w+\??: (?:string|number|boolean|unknown)\b"),
        (2, r"^\s*(?:readonly |private |public )?\w+\??: (?:string|number|boolean|unknown)(?:\[\])?;$"),
        (2, r"\): (?:Promise<\w+>|string|number|boolean|void)(?:\[\])? (?:=>|\{)"),
        (3, r"^import type "),
    ),
    "Go": ((5, r"^package \w+$"), (2, r"^func [\w(]"), (1, r"\w := "), (2, r"^import \($")),
    "Rust": (
        (2, r"^\s*(?:pub(?:\(\w+\))? )?(?:async )?fn \w+"),
        (3, r"\blet mut \w"),
        (3, r"^impl\b"),
        (2, r"^\s*(?:pub )?(?:struct|enum|trait|mod) \w+"),
        (3, r"^use \w+::"),
    ),
    "Java": (
        (3, r"^import (?:static )?[\w.*]+;$"),
        (3, r"^package [\w.]+;$"),
        (3, r"\b(?:public|private|protected) (?:static |final )*[\w<>\[\]]+ \w+\s*[({]"),
    ),
    "C": (
        (4, r"^#\s*include [<\"]"),
        (2, r"^(?:static |const )*(?:int|void|char|struct \w+|unsigned|size_t) \**\w+\([^;]*$"),
        (1, r"->\w"),
    ),
    "C++": ((5, r"\bstd::"), (3, r"^#\s*include <\w+>"), (4, r"^(?:template\s*<|using namespace |namespace \w+)")),
    "C#": ((4, r"^using [\w.]+;$"), (4, r"^namespace [\w.]+"), (1, r"\b(?:public|private|internal) ")),
    "Ruby": ((3, r"^\s*end$"), (2, r"^\s*def [\w.?!]+(?:\([^)]*\))?$"), (3, r"^require(?:_relative)? ['\"]"), (2, r"\bdo \|\w")),
    "shell": ((3, r"^\s*(?:fi|done|esac)\b"), (2, r";\s*(?:then|do)$"), (1, r"\"\$\{?\w+"), (2, r"^set -[euxo]")),
    "SQL": ((5, r"(?i)^\s*(?:select\b.*|insert into|create (?:table|index|view)|alter table|update \w+ set|delete from)\b"),),
    "Perl": ((3, r"^use (?:strict|warnings|[A-Z]\w+(?:::\w+)*)\b.*;$"), (3, r"\bmy [$@%(]"), (2, r"^sub \w+")),
    "CSS": ((1, r"^[.#]?[\w-]+(?:[ >,:.][^{;]*)?\{$"), (2, r"^\s+[a-z-]+: [^;{]+;$")),
    "TOML": ((5, TABLE), (2, r"^[\w.-]+ = [\"'\[\d{tf]")),
    "YAML": ((2, r"^(?:- )?[\w.-]+:(?: \S.*)?$"), (2, r"\A---$"), (1, r"^\s+- \S")),
    "Markdown": ((3, r"^#{1,6} \S"), (2, r"^```"), (1, r"^\s*[-*] \S")),
    "Dockerfile": ((5, r"^FROM \S+"), (2, r"^(?:RUN|COPY|ENTRYPOINT|CMD|ENV|WORKDIR) ")),
}
OPENINGS = {"PHP": r"<\?php", "HTML": r"(?i:<!doctype html|<html\b)", "XML": r"<\?xml"}
SHEBANG = re.compile(r"\A#!.*\b(python|node|deno|bash|sh|zsh|ruby|php)")
SHEBANGS = {"python": "Python", "node": "JavaScript", "deno": "TypeScript", "ruby": "Ruby", "php": "PHP"}
SURE = 4  # the weight from which signs are enough
GLANCE = 40_000  # characters


def language_of_path(path: str) -> str:
    """The language that a file's name tells, or the empty string."""
    name = path.rsplit("/", 1)[-1]
    return BY_NAME.get(name) or BY_SUFFIX.get(name.rsplit(".", 1)[-1].lower() if "." in name else "", "")


def language_of_text(text: str) -> str:
    """The language that a text looks most like, or the empty string."""
    head = text[:GLANCE]
    if shebang := SHEBANG.match(head):
        return SHEBANGS.get(shebang[1], "shell")
    for language, opening in OPENINGS.items():
        if re.match(rf"\s*{opening}", head):
            return language
    if text.lstrip()[:1] in ("{", "[") and _is_json(text):
        return "JSON"
    scores = {language: _score(head, signs) for language, signs in SIGNS.items()}
    scores["TypeScript"] += scores["JavaScript"] if scores["TypeScript"] >= 3 else 0
    best = max(scores, key=lambda language: scores[language])
    is_clear = scores[best] >= SURE and (best == "Python" or (best == "TOML" and bool(re.search(TABLE, head, re.MULTILINE))))
    if not is_clear and _is_python(text):
        return "Python"
    return best if scores[best] >= SURE else ""


def _score(head: str, signs: tuple[tuple[int, str], ...]) -> int:
    return sum(weight * min(5, sum(1 for _ in re.finditer(sign, head, re.MULTILINE))) for weight, sign in signs)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _is_python(text: str) -> bool:
    """Whether a text of bearable size is Python: it parses, and does something."""
    tree = parsed_python(text) if len(text) <= 10 * GLANCE else None
    doing = (ast.Assign, ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Call)
    return tree is not None and any(isinstance(node, doing) for node in ast.walk(tree))


def parsed_python(text: str) -> ast.Module | None:
    """The syntax tree, or None for what this interpreter cannot parse."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


SLASHES = r"//[^\n]*|/\*.*?(?:\*/|\Z)"
QUOTES = r'"(?:\\.|[^"\\\n])*"?' + r"|'(?:\\.|[^'\\\n])*'?"
HASH = r"(?:(?<=\s)|(?<![^\n]))#[^\n]*"  # `$#` and `${x#y}` are no comments
C_LIKE = (SLASHES, QUOTES + r"|`(?:\\.|[^`\\])*`?")
SYNTAX = {
    "Python": (r"#[^\n]*", r'""".*?(?:"""|\Z)' + r"|'''.*?(?:'''|\Z)|" + QUOTES),
    "Rust": (SLASHES, r'"(?:\\.|[^"\\])*"?' + r"|'(?:\\[^\n']+|[^'\\\n])'"),  # a lifetime is no string
    "PHP": (SLASHES + "|" + HASH, QUOTES),
    "SQL": (r"--[^\n]*|/\*.*?(?:\*/|\Z)", QUOTES),
    "CSS": (r"/\*.*?(?:\*/|\Z)", QUOTES),
    "HTML": (r"<!--.*?(?:-->|\Z)", r"(?!)"),
    "XML": (r"<!--.*?(?:-->|\Z)", r"(?!)"),
    "Markdown": (r"<!--.*?(?:-->|\Z)", r"(?!)"),
    "text": (r"(?!)", r"(?!)"),
    "JSON": (r"(?!)", QUOTES),
} | dict.fromkeys(("Ruby", "Perl", "shell", "YAML", "TOML", "Dockerfile", "Makefile"), (HASH, QUOTES))
UNKNOWN = (HASH + r"|(?<![:\w])//[^\n]*|/\*.*?(?:\*/|\Z)|--[ ][^\n]*", QUOTES)
KNOWN_C_LIKE = {"JavaScript", "TypeScript", "Go", "Java", "Kotlin", "Swift", "Scala", "C", "C++", "C#"}


class Masked(NamedTuple):
    """A text with its comments and strings blanked, and the comments: (offset, text)."""

    code: str
    comments: list[tuple[int, str]]


def masked(text: str, language: str) -> Masked:
    """Blank comments and strings, keeping every line and column where it was."""
    comment, string = C_LIKE if language in KNOWN_C_LIKE else SYNTAX.get(language, UNKNOWN)
    pieces: list[str] = []
    comments: list[tuple[int, str]] = []
    end = 0
    for token in re.finditer(f"(?P<comment>{comment})|(?:{string})", text, re.DOTALL):
        pieces += [text[end : token.start()], re.sub(r"[^\n]", " ", token[0])]
        end = token.end()
        if token.lastgroup == "comment":
            comments.append((token.start(), token[0]))
    return Masked("".join([*pieces, text[end:]]), comments)
