"""Which words go together: what the embedded model knows of language, and all that it knows."""

import re
from functools import cache, lru_cache

WORD = re.compile(r"[=!<>]=|\d+|[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+")
"""A word, a number, a comparison; `getUserName` and `get_user_name` are three words."""


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """The word without its ending, roughly: one form for `queries`, `query` and `queried`."""
    word = word.lower()
    if len(word) > 3:
        for ending, instead in (("ies", "y"), ("ied", "y"), ("ing", ""), ("ed", ""), ("sses", "ss"), ("es", "e"), ("s", "")):
            if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) > 2:
                word = word.removesuffix(ending) + instead
                break
    return word.removesuffix("e") if len(word) > 3 else word


def words(text: str) -> list[str]:
    """The stems of a text, in order, with repetitions."""
    return [stem(word) for word in WORD.findall(text)]


def _stems(text: str) -> frozenset[str]:
    return frozenset(words(text))


COMMON = _stems("""
a an the and or nor of to in on at by for from with without into onto over under than then as is are was were be been being am do does
did done have has had having it its he she his her him they them their we us our you your yours i me my this that these those there here
what which who whom whose when where why how all any each every both few more most other some such no not only own same so too very can
could may might must shall should will would just also but if else while because about between through before after again once up down
out off please reply answer respond write give quote verbatim cite say tell show list name find look review reviewer read reader text
input code line sentence word file below above following use make one two three four five six seven eight nine ten json array object
string format exactly nothing first last never always keep put per task agent model prompt role careful expert senior concrete specific
""")
"""Words of instructions that say nothing about what is looked for."""

# Blank lines part the themes; the first line of each calls it up, the rest is what it is known by.
_THEMES = """
security secure insecure vulnerability vulnerable attack attacker injection exploit breach leak hostile malicious threat privacy
password passwd secret token key credential private sql injection execute eval exec shell pickle deserialize subprocess verify ssl tls
certificate query admin root permission auth login session cookie encrypt hash md sha random chmod sudo escape script html xss csrf cors
redirect upload debug environ system request load select insert delete update http url user path open where

correctness correct incorrect bug defect logic wrong mistake fault edge broken
none null nil except catch pass return index range len length default == != <= >= divide zero float round raise assert empty total sum
count break continue missing overflow negative mutable copy timezone

clarity clear unclear readability readable naming style maintainable maintain understand simple plain structure convention
todo fixme hack xxx def class function lambda tmp temp data foo bar flag magic comment docstring global nested helper stuff thing misc
util obj val process handle manager

performance speed fast slow efficient scale memory latency cost
loop while append sleep sort range query cache read join select copy fetch all wait lock thread request

summary summarise summarize summariser summarizer main gist overview essence key point brief
therefore overall important result conclusion finally found mean show decided main key need purpose goal cause

pro advantage benefit strength favour favor upside support opportunity
benefit gain faster cheaper easier better save improve simple safe reliable stable popular flexible win help allow mature

con drawback risk weakness against disadvantage downside object oppose critic critique sceptic skeptic danger
risk cost slow hard worse fail expensive lose problem but however complex lock danger late difficult bug break miss downtime migrate

verdict decide decision judge judgement best winner recommend recommendation conclude chair rank weigh prefer severe
best because better recommend must critical severe high risk important blocker fix serious winner option choose password secret sql
"""


@cache
def themes() -> tuple[tuple[frozenset[str], tuple[str, ...]], ...]:
    """The words that call each theme up, and the words it is known by, the most telling first."""
    parted = (theme.partition("\n") for theme in _THEMES.strip().split("\n\n"))
    return tuple((_stems(calls), tuple(dict.fromkeys(words(known)))) for calls, _, known in parted)
