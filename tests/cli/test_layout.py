import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.cli.terminal.layout import GAP, Head, Justify, Layout, lay_out

ANSWER: list[Head] = [
    ("network", "left"),
    ("FLOPs", "right"),
    ("parameters", "right"),
    ("fleet mean", "right"),
    ("90 % interval", "right"),
    ("p95 of devices", "right"),
    ("worst cluster", "right"),
    ("kept importance", "right"),
    ("vs dense", "right"),
    ("vs uniform", "right"),
]
DENSE = ("dense", "4.09 G", "25.56 M", "163.81 ms", "159.49-166.36", "173.60 ms")
FOUND = ("uniform, same grid", "997 M", "6.28 M", "16.82 ms", "15.85-17.81", "19.51 ms")
ROWS = [(*DENSE, "172.07 ms (2)", "1.00", "1.00x", "0.27x")] + [
    (*FOUND, "19.11 ms (2)", "0.489", "3.74x", "1.00x")
] * 3


def _width(layout: Layout) -> int:
    return sum(layout.widths) + GAP * (len(layout.widths) - 1)


def _whole(layout: Layout) -> bool:
    """No figure needs two lines and no word is broken."""
    return all(
        len(part) <= layout.widths[i]
        for row in (*layout.rows, tuple(name for name, _ in layout.heads))
        for i, cell in enumerate(row)
        for part in cell.split()
    )


def test_a_wide_page_shows_the_table_as_it_is() -> None:
    layout = lay_out(ANSWER, ROWS, 160)
    assert layout.heads == tuple(ANSWER)
    assert layout.rows == tuple(ROWS)
    assert all(width >= len(head[0]) for width, head in zip(layout.widths, ANSWER, strict=True))


@pytest.mark.parametrize("page", [80, 100, 120])
def test_the_answer_of_a_search_loses_nothing_at_usual_widths(page: int) -> None:
    layout = lay_out(ANSWER, ROWS, page, optional=("parameters",))
    assert _width(layout) <= page
    assert _whole(layout)
    assert layout.left_out == ()
    shown = {cell.strip() for row in layout.rows for cell in row}
    shown |= {name for name, _ in layout.heads}
    assert shown >= {cell for row in ROWS for cell in row} | {name for name, _ in ANSWER}


def test_many_rows_lose_optional_columns_in_the_order_that_is_given() -> None:
    layout = lay_out(ANSWER, ROWS * 5, 97, optional=("parameters", "p95 of devices", "FLOPs"))
    assert layout.left_out == ("parameters", "p95 of devices")
    assert _whole(layout)
    assert [name for name, _ in layout.heads] == [
        name for name, _ in ANSWER if name not in layout.left_out
    ]


def test_texts_take_the_room_that_figures_leave() -> None:
    heads: list[Head] = [("cluster", "right"), ("what is special", "left")]
    layout = lay_out(heads, [("0", "slow, hot and busy " * 10)] * 9, 80)
    assert layout.widths == (7, 71)


_CELLS = st.text(alphabet="ab 1", max_size=30)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_table_fits_any_page_that_has_room_for_a_character_a_column(
    data: st.DataObject,
) -> None:
    columns = data.draw(st.integers(1, 6))
    sides: list[Justify] = ["left", "right"]
    heads = [(data.draw(_CELLS), data.draw(st.sampled_from(sides))) for _ in range(columns)]
    rows = data.draw(st.lists(st.lists(_CELLS, min_size=columns, max_size=columns), max_size=8))
    page = data.draw(st.integers(30, 100))
    layout = lay_out(heads, rows, page)
    assert _width(layout) <= page
    assert min(layout.widths) >= 1
    assert layout.left_out == ()
