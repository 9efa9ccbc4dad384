"""Ranks the lines of a text by a question, with word statistics alone."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, log, sqrt

from llm_orc.models.vocabulary import COMMON, themes, words

HEADER = "Extracted by the embedded model (it quotes, it does not reason):"
"""How every reply in text begins."""
LONG = 240
"""Characters from which of a line its best sentence is quoted, not all of it."""
_HEADING = re.compile(r"(#{1,6} [\w -]{1,60}|</?[a-z]+( [a-z]+=\"[^\"]*\")*>)$")  # what divides a prompt is not what it says
_QUOTED = re.compile(r"(\d{1,9}): (.*)")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\s])")


@dataclass(frozen=True, slots=True)
class Quote:
    """A line of the material, or a sentence of it, word for word."""

    number: int
    """The line it stands in, counted from 1."""
    text: str

    def __str__(self) -> str:
        """As `12: text`."""
        return f"{self.number}: {self.text}"


def weigh(task: str, role: str) -> dict[str, float]:
    """What is looked for: the words of the task, those of the role, and those that go with them."""
    wanted: dict[str, float] = {}
    asked = Counter(word for word in words(task) if word not in COMMON)
    told = Counter(word for word in words(role) if word not in COMMON)
    for calls, known in themes():
        called = sum(told[word] + 2 * asked[word] for word in calls)
        for place, word in enumerate(known) if called else ():
            wanted[word] = wanted.get(word, 0.0) + sqrt(called) * (1 - 0.7 * place / len(known))
    for counted, weight in ((told, 1.0), (asked, 2.0)):
        for word, times in counted.items():
            wanted[word] = wanted.get(word, 0.0) + weight * sqrt(times)
    return wanted


def rank(texts: Sequence[str], wanted: Mapping[str, float], most: int, *, fill: bool) -> list[Quote]:
    """The `most` lines that fit best, best first, each only once, the earlier of equals; without `fill` none that has no wanted word."""
    candidates = [quote for text in texts for quote in _candidates(text)]
    bags = [words(quote.text) for quote in candidates]
    if not fill and (fitting := [at for at, bag in enumerate(bags) if not wanted.keys().isdisjoint(bag)]):
        shown = fitting
    else:
        shown = list(range(len(bags)))
    scores = _scores(bags, wanted)
    chosen: dict[str, Quote] = {}
    for at in sorted(shown, key=lambda at: (-scores[at], at)):
        chosen.setdefault(candidates[at].text.strip(), candidates[at])
        if len(chosen) == most:
            break
    return [_sharpened(quote, wanted) for quote in chosen.values()]


def _candidates(text: str) -> Iterator[Quote]:
    """Every line with a word; what an earlier extraction quoted keeps the number it had."""
    extracted = False
    for number, line in enumerate(text.split("\n"), 1):
        if line == HEADER:
            extracted = True
            continue
        quoted = _QUOTED.match(line) if extracted else None
        extracted = quoted is not None
        if quoted:
            yield Quote(int(quoted[1]), quoted[2])
        elif any(map(str.isalnum, line)) and not _HEADING.match(line):
            yield Quote(number, line)


def _scores(bags: Sequence[Sequence[str]], wanted: Mapping[str, float]) -> list[float]:
    """Relevance to what is wanted; next to it, a little for saying what the text often says."""
    seen = Counter(word for bag in bags for word in set(bag))
    rarity = {word: log(1 + len(bags) / count) for word, count in seen.items()}
    weight = {word: wanted[word] * rarity[word] for word in wanted.keys() & seen.keys()}
    central = {word: 0.05 * log(count) * rarity[word] for word, count in seen.items() if word not in COMMON}
    typical = sum(map(len, bags)) / max(1, len(bags))

    def score(bag: Sequence[str]) -> float:
        # fsum, because sets have another order in each process and sum would round differently.
        distinct, damping = set(bag), 0.5 + len(bag) / typical
        relevance = fsum(weight[word] * (times := bag.count(word)) / (times + damping) for word in distinct & weight.keys())
        return relevance + fsum(map(central.__getitem__, distinct & central.keys())) / (damping + len(distinct))

    return [score(bag) for bag in bags]


def _sharpened(quote: Quote, wanted: Mapping[str, float]) -> Quote:
    """Of a very long line only its best sentence."""
    if len(quote.text) <= LONG:
        return quote
    sentences = _SENTENCE_END.split(quote.text)
    best = max(sentences, key=lambda sentence: _density(words(sentence), wanted))
    return Quote(quote.number, best)


def _density(bag: Iterable[str], wanted: Mapping[str, float]) -> float:
    distinct = set(bag)
    return fsum(wanted.get(word, 0.0) for word in distinct) / (5 + len(distinct))
