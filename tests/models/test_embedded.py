"""The embedded model quotes, and only what is there."""

import json
import random
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_orc.domain.event import Delta, Happening, Warned
from llm_orc.domain.message import Attachment, FailedError, Kind, Message, Reply, Request
from llm_orc.domain.profile import Profile
from llm_orc.models.base import Reach
from llm_orc.models.embedded import Embedded, answer
from llm_orc.models.extract import HEADER
from tests import pictures

SHOP = (Path(__file__).parents[2] / "ensembles" / "examples" / "shop.py").read_text()
EMBEDDED = Profile(name="embedded", provider="embedded", model="extract")
SECURITY = "You are a security reviewer. You look for ways in: injection, leaked secrets, missing checks."
CLARITY = "You review for clarity: naming, structure, whether a newcomer would understand it."


async def ask(text: str, role: str | None = None, *, told: list[Happening] | None = None, **parameters: Any) -> Reply:
    messages = (*([Message("system", role)] if role else []), Message("user", text))
    request = Request("a", messages, EMBEDDED.model_copy(update=parameters), stream=told is not None)
    return await answer(request, (told if told is not None else []).append)


def quotes(reply: str) -> Mapping[int, str]:
    header, *lines = reply.split("\n")
    assert header == HEADER
    return {int(found[1]): found[2] for line in lines if (found := re.fullmatch(r"(\d+): (.*)", line))}


def many_lines(number: int = 5000) -> list[str]:
    words = "server client process value number figure monthly weekly report result table column price order".split()  # noqa: SIM905
    pick = random.Random(7)
    return [" ".join(pick.choices(words, k=10)) for _ in range(number)]


async def attached(*files: Attachment) -> Reply:
    return await answer(Request("a", (Message("user", "When is it open?", files),), EMBEDDED), lambda _: None)


async def test_texts_that_are_attached_are_read_and_pictures_refused() -> None:
    reply = await attached(Attachment("a.md", "text/markdown", b"It is open daily."), Attachment("b.md", "text/plain", b"Not open in May."))
    assert quotes(reply.text) == {1: "It is open daily.", 3: "Not open in May."}
    with pytest.raises(FailedError) as raised:
        await attached(Attachment("a.png", "image/png", pictures.png()))
    assert (raised.value.failure.kind, raised.value.failure.what) == (Kind.INVALID_REQUEST, "the embedded model reads nothing but text")


async def test_every_quoted_line_stands_in_the_input_with_its_number() -> None:
    quoted = quotes((await ask(SHOP, SECURITY)).text)

    assert len(quoted) == 5
    for number, line in quoted.items():
        assert SHOP.split("\n")[number - 1] == line


async def test_numbers_count_from_the_material_where_a_task_stands_before_or_after_it() -> None:
    before = quotes((await ask(f"Review this code for security.\n\n{SHOP}")).text)
    after = quotes((await ask(f"{SHOP}\n\nIs there a security hole, such as a password or a query?")).text)
    colon = quotes((await ask(f"Review shop.py for security:\n{SHOP}")).text)

    for quoted in (before, after, colon):
        assert quoted
        for number, line in quoted.items():
            assert SHOP.split("\n")[number - 1] == line


@settings(max_examples=150, deadline=None)
@given(
    st.text(
        alphabet=st.characters(exclude_characters="\r<#", exclude_categories=["Cs"]), max_size=400
    ),  # no tags, no headings: nobody quotes them
    st.sampled_from([SECURITY, CLARITY, None]),
)
async def test_whatever_the_input_nothing_is_quoted_that_is_not_there(text: str, role: str | None) -> None:
    try:
        reply = await ask(text, role)
    except FailedError as error:
        assert error.failure.kind is Kind.INVALID_REQUEST  # noqa: PT017 - either outcome is right for some text
        assert not any(map(str.isalnum, text))
        return
    for line in quotes(reply.text).values():
        assert line in text


async def test_two_roles_quote_different_lines_of_one_file() -> None:
    security, clarity = quotes((await ask(SHOP, SECURITY)).text), quotes((await ask(SHOP, CLARITY)).text)

    assert not security.keys() & clarity.keys()
    assert any("MAIL_PASSWORD" in line for line in security.values())
    assert any("SELECT" in line for line in security.values())


async def test_a_planted_needle_is_found_in_5000_lines() -> None:
    lines = many_lines()
    lines[3210] = "The quokka treaty was signed on Rottnest Island."
    text = "\n".join(lines)

    assert quotes((await ask(f"Find the sentence about the quokka treaty.\n\n{text}")).text) == {3211: lines[3210]}
    assert quotes((await ask(f"{text}\n\nWhere was the quokka treaty signed?")).text) == {3211: lines[3210]}
    assert quotes((await ask(text, "You look for treaties on quokkas.")).text) == {3211: lines[3210]}


async def test_shuffling_the_input_changes_the_answer() -> None:
    lines = many_lines(200)
    shuffled = random.Random(3).sample(lines, len(lines))

    first, second = await ask("\n".join(lines), SECURITY), await ask("\n".join(shuffled), SECURITY)

    assert first.text != second.text


def test_another_process_gives_the_same_answer() -> None:
    program = (
        "import asyncio, sys; from tests.models.test_embedded import *; "
        "sys.stdout.write(asyncio.run(ask('\\n'.join(many_lines(300)), SECURITY + CLARITY)).text)"
    )
    root = Path(__file__).parents[2]
    said = {
        subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, cwd=root, capture_output=True, check=True).stdout
        for seed in ("1", "2", "3")
    }

    assert len(said) == 1
    assert said.pop().decode().startswith(HEADER)


async def test_where_a_json_list_is_asked_for_it_is_one() -> None:
    text = "Cats sleep.\nDogs bark.\nBirds fly.\nFish swim."

    three = json.loads((await ask(f"Name the three main topics. Reply with a JSON list of strings.\n\n{text}")).text)
    by_role = json.loads((await ask(text, "Split the input into parts. Answer with a JSON array only.")).text)

    assert three == ["Cats sleep.", "Dogs bark.", "Birds fly."]
    assert sorted(by_role) == sorted(text.split("\n"))


async def test_as_many_lines_as_asked_for() -> None:
    text = "\n".join(many_lines(50))

    assert len(quotes((await ask(f"List the two most telling lines.\n\n{text}")).text)) == 2
    assert len(quotes((await ask(text, options={"lines": 7})).text)) == 7
    assert len(quotes((await ask(f"Summarise this.\n\n{text}")).text)) == 5


async def test_a_judge_quotes_what_reviewers_quoted_with_their_numbers() -> None:
    review = (await ask(SHOP, SECURITY)).text

    verdict = (
        await ask(f"Decide which finding is most severe.\n\n{SHOP}\n\n## security\n{review}\n\n## clarity\n(missing: timed out)")
    ).text

    quoted = verdict.split("\n")[1:]
    assert set(review.split("\n")[1:]) & set(quoted)
    assert len({line.partition(": ")[2] for line in quoted}) == len(quoted)
    assert not [line for line in quoted if "Extracted" in line or "##" in line]


async def test_marked_blocks_are_the_material_and_all_round_them_is_the_task() -> None:
    text = (
        f"Review the code below.\n- quote it\n\n<code>\n{SHOP}\n</code>\n\n"
        "<found>\nThe password stands in the code.\n</found>\n\nReply with what a thief of passwords would use."
    )

    quoted = (await ask(text)).text.split("\n")[1:]

    lines = SHOP.split("\n")
    assert "1: The password stands in the code." in quoted
    assert f"{lines.index('        server.login(MAIL_USER, MAIL_PASSWORD)') + 1}:         server.login(MAIL_USER, MAIL_PASSWORD)" in quoted


async def test_a_page_is_material_though_it_has_tags() -> None:
    page = "<html>\n<p>\nThe secret is out.\n</p>\n</html>"

    assert quotes((await ask(page, "You look for secrets.")).text) == {3: "The secret is out."}
    assert quotes((await ask(f"Find the secret on this page:\n{page}")).text) == {3: "The secret is out."}


async def test_of_a_very_long_line_it_quotes_the_best_sentence() -> None:
    filler = "Nothing of interest happened on that day. " * 20
    line = f"{filler}The password was written on the wall. {filler}"

    assert quotes((await ask(f"Intro.\n{line}", "You find leaked passwords.")).text) == {2: "The password was written on the wall."}


async def test_it_streams_line_by_line() -> None:
    told: list[Happening] = []

    reply = await ask(SHOP, SECURITY, told=told)

    assert [event.node for event in told if isinstance(event, Delta)] == ["a"] * 6
    assert "".join(event.text for event in told if isinstance(event, Delta)) == reply.text


async def test_without_a_listener_nothing_is_told() -> None:
    told: list[Happening] = []

    await answer(Request("a", (Message("user", SHOP),), EMBEDDED), told.append)

    assert told == []


async def test_usage_is_estimated_and_it_costs_nothing() -> None:
    reply = await ask("abcd" * 10)

    assert (reply.usage.input, reply.usage.output, reply.usage.estimated) == (10, -(-len(reply.text) // 4), True)
    assert reply.cost == 0.0


async def test_max_tokens_and_stop_cut_the_reply() -> None:
    whole = (await ask(SHOP, SECURITY)).text

    cut = await ask(SHOP, SECURITY, max_tokens=20)
    stopped = await ask(SHOP, SECURITY, stop=("\n",))

    assert (cut.text, cut.finish) == (whole[:80], "length")
    assert (stopped.text, stopped.finish) == (HEADER, "stop")


async def test_the_system_prompt_of_the_profile_is_the_role_too() -> None:
    assert (await ask(SHOP, system_prompt=SECURITY)).text == (await ask(SHOP, SECURITY)).text


async def test_what_is_too_long_for_it_fails_in_words() -> None:
    with pytest.raises(FailedError) as caught:
        await ask("word " * 1_000_001)

    assert caught.value.failure.kind is Kind.CONTEXT_LENGTH
    assert "5,000,005" in caught.value.failure.what


@pytest.mark.parametrize("text", ["", "  \n\n ", "--- *** ---"])
async def test_without_a_word_there_is_nothing_to_quote(text: str) -> None:
    with pytest.raises(FailedError) as caught:
        await ask(text)

    assert caught.value.failure.kind is Kind.INVALID_REQUEST
    assert caught.value.failure.hint


async def test_a_parameter_that_it_does_not_have_is_named_in_a_warning() -> None:
    told: list[Happening] = []
    request = Request(
        "a", (Message("user", "Quote the line: the cat sat"),), Profile(model="extract", provider="embedded", temperature=0.5)
    )
    await Embedded("embedded", Reach()).ask(request.profile)(request, told.append)
    assert [event.what for event in told if isinstance(event, Warned)] == ["the embedded model quotes, and has no temperature"]


async def test_a_line_after_other_messages_asks_about_what_was_in_them() -> None:
    first = "List what matters:\n\nBoats pay four euros.\nThe office has tea.\nIt closes at nine."
    before = (Message("user", first), Message("assistant", f"{HEADER}\n3: It closes at nine."))
    reply = await answer(Request("a", (*before, Message("user", "Who has tea?")), EMBEDDED), lambda _: None)
    assert quotes(reply.text) == {2: "The office has tea."}
    reply = await answer(
        Request("a", (*before, Message("user", "Who is late?\n\nA ship is late.\nNobody else.")), EMBEDDED), lambda _: None
    )
    assert quotes(reply.text) == {1: "A ship is late."}
