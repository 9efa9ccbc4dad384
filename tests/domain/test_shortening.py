"""What stays of a request that is too long, and what goes."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_orc.domain.context import room_of
from llm_orc.domain.message import Attachment, Message, Outcome, Reply
from llm_orc.domain.said import Scope
from llm_orc.domain.shortening import (
    MARK,
    SHORT,
    Bounds,
    Draft,
    Material,
    Old,
    Part,
    cut,
    material_of,
    olds_of,
    parts_of,
    reminded,
    shortened,
    size_of,
    size_of_all,
    task_of,
    written,
)
from llm_orc.domain.split import beginning

WORDS = st.sampled_from(["", "ab ", "A sentence. ", "é漢", "\n", "\n\n", "a line\n", "x" * 30])
Kind = Callable[[int, int], Bounds]
KINDS: list[Kind] = [Bounds, partial(Bounds, summarised=True)]
TEXTS = st.builds(lambda one, other, times: (one + other) * times, WORDS, WORDS, st.integers(0, 200))


@st.composite
def chats(draw: st.DrawFn) -> list[Message]:
    said = draw(st.lists(TEXTS, min_size=1, max_size=12))
    system = [Message("system", draw(WORDS))] if draw(st.booleans()) else []
    return [*system, *(Message("assistant" if index % 2 else "user", text) for index, text in enumerate(said))]


def told(message: Message) -> str:
    return f"{message.role}:\n{message.text}\n\n"


def spoken(messages: list[Message]) -> list[Message]:
    return [each for each in messages if each.role != "system"]


@given(chats(), st.builds(Bounds, st.integers(200, 20_000), st.integers(1, 6), st.booleans()))
def test_the_result_fits_and_every_letter_is_kept_or_summarised_once(chat: list[Message], bounds: Bounds) -> None:
    drafts = shortened(chat, (), bounds)
    if drafts is None:
        return
    fullest = ["x" * old.room for old in olds_of(drafts)]
    assert size_of_all(written(drafts, fullest)) <= bounds.room
    # The system prompt stays, and roles still take turns.
    assert [each for each in written(drafts, fullest) if each.role == "system"] == [
        Message("system", each.text.rstrip("\n")) for each in chat if each.role == "system"
    ]
    roles = [draft.role for draft in drafts if draft.role != "system"]
    assert all(one != other for one, other in pairwise(roles))
    # In place of the old its own words: nothing is lost, nothing doubled, nothing out of order.
    said = spoken(chat)
    gone = sum(old.messages for old in olds_of(drafts))
    assert gone <= max(len(said) - 1 - bounds.keep_last, 0)
    whole = "".join(
        part if isinstance(part, str) else "".join(part.pieces) for draft in drafts if draft.role != "system" for part in draft.parts
    )
    expected = [said[0].text, "\n\n" if gone else "", *map(told, said[1 : 1 + gone]), *(each.text for each in said[1 + gone :])]
    assert whole.replace("\n\n", "") == "".join(expected).replace("\n\n", "")
    if bounds.summarised:
        assert all(size_of(piece) <= bounds.piece.bytes for old in olds_of(drafts) for piece in old.pieces)


@given(chats(), st.sampled_from(KINDS), st.integers(1, 4))
def test_what_fits_stays_as_it_is(chat: list[Message], kind: Kind, keep_last: int) -> None:
    drafts = shortened(chat, (), kind(size_of_all(chat), keep_last))
    assert drafts is not None
    assert [Message(draft.role, "".join(map(str, draft.parts))) for draft in drafts] == chat


@given(st.lists(st.integers(1, 400), min_size=6, max_size=30), st.sampled_from(KINDS), st.integers(1, 5))
def test_the_last_messages_stay_word_for_word_where_they_have_room(lengths: list[int], kind: Kind, keep_last: int) -> None:
    chat = [Message("assistant" if index % 2 else "user", f"<{index}>" + "x" * length) for index, length in enumerate(lengths)]
    kept = [chat[0], *chat[max(len(chat) - keep_last, 1) :]]
    drafts = shortened(chat, (), kind(2 * size_of_all(kept) + 4 * MARK, keep_last))
    assert drafts is not None
    text = "|".join(each.text for each in written(drafts, (old.mark for old in olds_of(drafts))))
    assert all(each.text in text for each in kept)


def test_a_growing_conversation_makes_each_summary_once() -> None:
    seen: dict[str, None] = {}
    chat = [Message("user", "The task.")]
    turns = 60
    for turn in range(turns):
        chat += [Message("assistant", f"Reply {turn}. " + "word " * 100), Message("user", f"Turn {turn}. " + "more " * 100)]
        drafts = shortened(chat, (), Bounds(16_000, 4, summarised=True))
        assert drafts is not None
        seen |= dict.fromkeys(piece for old in olds_of(drafts) for piece in old.pieces)
    assert 4 <= len(seen) < turns / 4
    assert len("".join(seen)) < size_of_all(chat), "nothing was summarised twice"


def test_a_long_first_message_leaves_room_for_what_was_said_since_and_is_cut_at_few_places() -> None:
    bounds = Bounds(16_000, 2, summarised=True)
    places: set[int] = set()
    groups: dict[str, None] = {}
    chat = [Message("user", "Read this.\n\n" + "A sentence. " * 20_000)]
    for turn in range(20):
        chat += [Message("assistant", f"<reply {turn}> " + "word " * 100), Message("user", f"<turn {turn}> " + "more " * 100)]
        drafts = shortened(chat, (), bounds)
        assert drafts is not None
        first, *others = olds_of(drafts)
        groups |= dict.fromkeys(piece for old in others for piece in old.pieces)
        assert first.room >= 2 * MARK, "a summary has its place"
        places.add(sum(map(len, first.pieces)))
        said = "".join(each.text for each in written(drafts, (old.mark for old in olds_of(drafts))))
        assert all(f"<turn {number}>" in said for number in range(max(turn - 2, 0), turn + 1))
    assert max(map(len, groups)) <= 4_000
    assert len(groups) <= 6, "nor is what was said since"
    assert len(places) <= 5, "so that its end is not summarised anew in each turn"


LONG = "Once upon a time. " * 200
REPLY = "A reply of an agent.\n" * 100


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Short.", [("Short.", False)]),
        (f"Find dates:\n\n{LONG}", [("Find dates:\n\n", False), (LONG.strip(), True), (" ", False)]),
        (f"Mind names.\n\n{LONG}\n\n## a\n\n{REPLY}", [
            ("Mind names.\n\n", False), (LONG.strip(), True), (" \n\n## a\n\n", False), (REPLY.strip(), True), ("\n", False),
        ]),
        (LONG.strip() * 2, [(LONG.strip(), True)] * 2),
        (f"Nobody put this in.\n\n{LONG.upper()}", [("Nobody put this in.\n\n", False), (LONG.upper(), True)]),
        (LONG.upper(), [(LONG.upper(), True)]),
    ],
)  # fmt: skip
def test_what_somebody_wrote_is_told_from_what_was_put_in(text: str, expected: list[tuple[str, bool]]) -> None:
    parts = parts_of(text, [Material(LONG), Material(REPLY), Material("Short.")])
    assert parts == [Part(*each) for each in expected]
    assert "".join(part.text for part in parts) == text


def test_the_first_paragraph_of_an_input_is_its_task() -> None:
    given_ = f"Mind the names.\n\n{LONG}"
    assert task_of(Message("user", f"Review this:\n\n{given_}"), [Material(given_, leads=True)]) == "Review this:\n\nMind the names."
    assert task_of(Message("user", f"Review this:\n\n{given_}"), [Material(given_)]) == "Review this:"
    headless = "x" * (SHORT + 1) + "\n\nrest"
    assert task_of(Message("user", headless), [Material(headless, leads=True)]) == ""


def test_whatever_may_have_been_put_in_is_known() -> None:
    def reply(text: str) -> Outcome:
        return Outcome("succeeded", Reply(text))

    children = Outcome("succeeded", Reply("all"), children=(reply("c" * 2000), reply("d")), fanned_out=True)
    scope = Scope("in", {"v": "v" * 2000}, {"a": reply('{"k": ["%s", 1]}' % ("k" * 2000)), "b": children}, {"text": "i" * 2000, "n": None})
    found = {each.text for each in material_of(scope)}
    assert {"in", "v" * 2000, "k" * 2000, "c" * 2000, "d", "i" * 2000} <= found
    assert [each.text for each in material_of(scope) if each.leads] == ["in"]


def test_the_longest_texts_are_cut_to_one_length_and_the_others_stay() -> None:
    material = [Material("a" * 9000), Material("b" * 5000), Material("c" * 1500)]
    drafts = shortened([Message("user", "Do it.\n\n" + "\n\n".join(each.text for each in material))], material, Bounds(8000, 4))
    assert drafts is not None
    (message,) = written(drafts, (old.mark for old in olds_of(drafts)))
    cut_to = {letter: message.text.count(letter * 10) for letter in "abc"}
    assert (message.text.startswith("Do it.\n\n[... 5,"), cut_to["c"]) == (True, 150)
    assert abs(message.text.count("aaaaaaaaaa") - message.text.count("bbbbbbbbbb")) < 3
    assert 7000 < size_of(message.text) <= 8000


def test_a_text_is_cut_where_it_hurts_least() -> None:
    text = "One two. Three four.\nFive six.\n\nSeven. Eight"
    assert text[beginning(text, 5, 100) :].startswith("Seven")
    assert text[beginning(text, 5, 17) :].startswith("Five")
    assert text[beginning(text, 5, 8) :].startswith("Three")
    assert text[beginning(text, 5, 0) :] == text[5:]
    assert (beginning(text, 0, 9), beginning(text, 1000, 9)) == (0, 1000)


def test_files_of_old_messages_are_named_and_those_of_others_stay() -> None:
    def user(number: int) -> Message:
        return Message("user", "x" * 4000, (Attachment(f"{number}.txt", "text/plain", b"data"),))

    chat = [message for number in range(4) for message in (user(number), Message("assistant", "y" * 4000))]
    drafts = shortened([*chat, Message("user", "now")], (), Bounds(20_000, 1, summarised=True))
    assert drafts is not None
    assert next(each.name for draft in drafts for each in draft.attachments) == "0.txt"
    assert "[file: 1.txt]" in "".join(piece for old in olds_of(drafts) for piece in old.pieces)


def test_the_task_is_repeated_every_so_many_turns() -> None:
    def turns() -> Iterator[Message]:
        yield Message("system", "be brief")
        for number in range(6):
            yield Message("user", f"turn {number}" if number else "Plan a trip.\n\n" + "x" * 2000)
            yield Message("assistant", "yes")

    found = [each.text for each in reminded(list(turns()), 2, ()) if each.role == "user"]
    again = "[Reminder of the task: Plan a trip.]\n\n"
    assert found[1:] == ["turn 1", f"{again}turn 2", "turn 3", f"{again}turn 4", "turn 5"]
    assert reminded(list(turns()), 6, ()) == tuple(turns())


def test_nothing_fits_where_what_stays_is_too_long() -> None:
    assert shortened([Message("system", "x" * 500), Message("user", "y" * 5000)], (), Bounds(600, 4)) is None
    assert shortened([Message("user", "y" * 5000), Message("user", "")], [Material("z" * 2000)], Bounds(100, 4)) is None


def test_a_room_leaves_a_reply_its_place() -> None:
    assert [room_of(10_000, None), room_of(10_000, 4000), room_of(1000, None), room_of(1000, 5000), room_of(1, None)] == [
        8000,
        5000,
        650,
        150,
        1,
    ]


def test_what_is_cut_says_so() -> None:
    assert [cut("abc", 3), cut("abcdefghij", 9), cut("ééééé", 9)] == ["abc", "abc [...]", "é [...]"]


def test_marks_are_no_longer_than_their_place() -> None:
    for old in (Old(("x" * 10**7,), 0), Old(("x",), 0, 1), Old(("x",), 0, 10**6)):
        assert max(size_of(old.mark), size_of(old.summed_up(""))) <= MARK
    assert Draft("user", ()).attachments == ()
