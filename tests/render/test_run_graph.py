"""What of a run is drawn, and where."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_orc.domain.kept import KeptNode, KeptRun
from llm_orc.domain.summary import summary
from llm_orc.render.graph import Drawing, drawn
from llm_orc.render.layout import HEIGHT, WIDTH, laid_out
from llm_orc.render.run_graph import Edges, around, drawing, text

RUN = KeptRun("r", "test", "partial", "", 0.0, 10.0, None, 0, 0, 0, "", pinned=False)
NODE = KeptNode("a", "", 0, 0, "model", "succeeded", "", 0.0, 1.0, None, 0, "m", None, False, 0, 0, 0)  # noqa: FBT003


def node(id_: str, parent: str = "", **more: object) -> KeptNode:
    return replace(NODE, id=id_, parent=parent, **more)  # type: ignore[arg-type]


def tangled(count: int, seed: int) -> tuple[list[KeptNode], Edges]:
    chance = random.Random(seed)
    edges = {(f"n{chance.randrange(max(0, at - 9), at)}", f"n{at}") for at in range(1, count) for _ in range(chance.randrange(3))}
    return [node(f"n{at}") for at in range(count)], sorted(edges)


def check(picture: Drawing) -> None:
    """No box lies on another one, and every line goes down from box to box."""
    layout = laid_out(picture)
    assert set(layout.spots) == {box.id for box in picture.boxes}
    rows: dict[float, list[float]] = {}
    for x, y in layout.spots.values():
        rows.setdefault(y, []).append(x)
        assert 0 <= x <= layout.width - WIDTH
        assert 0 <= y <= layout.height - HEIGHT
    for row in rows.values():
        row.sort()
        assert all(right - left >= WIDTH for left, right in pairwise(row))
    assert all(lower - upper >= HEIGHT for upper, lower in zip(sorted(rows), sorted(rows)[1:], strict=False))
    for arrow, points in layout.lines:
        (x, y), (to_x, to_y) = layout.spots[arrow.source], layout.spots[arrow.target]
        assert (points[0], points[-1]) == ((x + WIDTH / 2, y + HEIGHT), (to_x + WIDTH / 2, to_y))
        assert all(upper[1] <= lower[1] for upper, lower in pairwise(points))
        for px, py in points[1:-1]:
            assert not any(bx < px < bx + WIDTH and by < py < by + HEIGHT for bx, by in layout.spots.values())


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 40), seed=st.integers(0, 1000))
def test_boxes_lie_beside_one_another_and_lines_go_down(count: int, seed: int) -> None:
    nodes, edges = tangled(count, seed)
    check(drawing(RUN, nodes, edges, 0.0, whole=True))


def test_a_thousand_nodes_that_are_all_different_are_drawn() -> None:
    nodes, edges = tangled(1_000, 1)
    picture = drawing(RUN, nodes, edges, 0.0)
    assert len(picture.boxes) > 800
    check(picture)


def test_agents_that_are_alike_are_one_box() -> None:
    names = [f"agent{number}" for number in range(1_000)]
    nodes = [node(name, status="failed" if name == "agent7" else "succeeded") for name in names]
    picture = drawing(RUN, [*nodes, node("last")], [(name, "last") for name in names], 0.0)
    alike, last = picture.boxes
    assert (alike.name, alike.status, alike.several) == ("agent0 … agent999", "partial", True)
    assert alike.lines == ("m", "1,000/1,000 done, 1 failed")
    assert [(arrow.source, arrow.target) for arrow in picture.arrows] == [("agent0", "last")]
    assert last.status == "succeeded"
    assert len(drawing(RUN, nodes, [], 0.0, whole=True).boxes) == 1_000


@pytest.mark.parametrize(("items", "boxes"), [(12, 14), (13, 2)])
def test_a_wide_fan_out_is_one_box_with_all_that_is_inside(items: int, boxes: int) -> None:
    inside = [each for at in range(items) for each in (node(f"each[{at}]", "each", children=1), node(f"each[{at}]/a", f"each[{at}]"))]
    nodes = [node("each", items=items, children=items, ended=items, failed=2), *inside, node("last")]
    picture = drawing(RUN, nodes, [("each", "last")], 0.0)
    assert len(picture.boxes) == boxes + (items if items == 12 else 0)
    assert picture.boxes[0].lines[-1] == f"{items}/{items} done, 2 failed"


def test_who_needs_an_ensemble_stands_below_all_that_is_inside_of_it() -> None:
    nodes = [node("inner", children=2), node("inner/a", "inner"), node("inner/b", "inner"), node("last")]
    picture = drawing(RUN, nodes, [("inner", "last"), ("inner/a", "inner/b")], 0.0)
    assert [(arrow.source, arrow.target, arrow.dashed) for arrow in picture.arrows] == [
        ("inner", "inner/a", True),
        ("inner", "last", False),
        ("inner/a", "inner/b", False),
    ]
    spots = laid_out(picture).spots
    assert spots["inner"][1] < spots["inner/a"][1] < spots["inner/b"][1] < spots["last"][1]
    check(picture)


def test_what_is_around_a_node() -> None:
    nodes = [node(name) for name in ("a", "b", "c", "d", "alone")] + [node("c/x", "c"), node("c/y", "c")]
    edges = [("a", "c"), ("b", "c"), ("c", "d"), ("c/x", "c/y")]
    assert [each.id for each in around("c", nodes, edges)] == ["a", "b", "c", "d", "c/x", "c/y"]
    assert [each.id for each in around("a", nodes, edges)] == ["a", "c", "d"]
    assert [each.id for each in around("c/y", nodes, edges)] == ["a", "b", "c", "d", "c/x", "c/y"]


def test_the_way_that_a_run_had_to_wait_for() -> None:
    names = [f"n{at}" for at in range(12)]
    nodes = [node(name, started_at=float(at), ended_at=at + 1.0) for at, name in enumerate(names)]
    quick = node("quick", started_at=0.0, ended_at=0.5)
    edges = [*pairwise(names), ("quick", "n1")]
    found = summary({("model", "succeeded"): 12, ("model", "failed"): 1}, [*nodes, quick], edges)
    assert [each.id for each in found.longest] == names
    assert list(text(RUN, found)) == [
        "13 model nodes  12 succeeded, 1 failed",
        "12 phases  12 edges  10.0 s",
        "longest way  n0 1.0 s -> n1 1.0 s -> n2 1.0 s -> n3 1.0 s -> 4 more -> n8 1.0 s -> n9 1.0 s -> n10 1.0 s -> n11 1.0 s",
    ]
    going_on = summary({}, [*nodes, node("open", status="running", ended_at=None)], edges)
    assert [each.id for each in going_on.longest] == ["open"]


def test_a_status_is_a_colour_in_mermaid_and_dot() -> None:
    picture = drawing(RUN, [node("a"), node("b", status="failed", cause="server: it broke " * 9)], [("a", "b")], 0.0)
    assert drawn(picture, "mermaid").endswith(
        "  classDef succeeded fill:#d9f2df,color:#222\n  class n0 succeeded\n  classDef failed fill:#fbdcdc,color:#222\n  class n1 failed\n"
    )
    assert '"a" [label="a\\nm\\n1.0 s", style="filled,rounded", fillcolor="#d9f2df"];' in drawn(picture, "dot")
    assert "server: it broke server: it broke server: it broke server: i…" in drawn(picture, "ascii")
