"""How a table is made to fit a page: heads wrap, then it is turned over, then columns are left out.

Figures are never broken over two lines and words never in the middle, as long as that can be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len

Justify = Literal["left", "right"]
Head = tuple[str, Justify]

GAP = 2
MOST_TURNED = 6  # rows that may become columns
TEXT = 24  # a text in a narrower column is a ladder of single words


@dataclass(frozen=True)
class Layout:
    """A table with the width of each column in characters, and what had to be left out of it."""

    heads: tuple[Head, ...]
    rows: tuple[tuple[str, ...], ...]
    widths: tuple[int, ...]
    left_out: tuple[str, ...] = ()


def lay_out(
    heads: Sequence[Head], rows: Sequence[Sequence[str]], page: int, optional: Sequence[str] = ()
) -> Layout:
    """The first of these that fits `page` characters.

    The table as it is; with its heads and texts wrapped between words; turned over, one line a
    column, where it has at most 6 rows; without some of the `optional` columns, the first named
    first. Where nothing fits, all that is optional is left out and the rest is squeezed.
    """
    table = tuple(heads), tuple(tuple(row) for row in rows)
    fitted = _fitted(*table, page)
    if fitted is None and 1 <= len(rows) <= MOST_TURNED and all(name for name, _ in heads):
        fitted = _fitted(*_turned(*table), page)
    gone: list[str] = []
    for name in optional:
        if fitted is not None:
            break
        gone.append(name)
        fitted = _fitted(*_without(*table, gone), page)
    if fitted is None:
        heads_left, rows_left = _without(*table, gone)
        fitted = Layout(heads_left, rows_left, _squeezed(heads_left, rows_left, page))
    return Layout(fitted.heads, fitted.rows, fitted.widths, tuple(gone))


def _fitted(heads: tuple[Head, ...], rows: tuple[tuple[str, ...], ...], page: int) -> Layout | None:
    room = page - GAP * (len(heads) - 1)
    most = [_widest(head, column) for head, column in _columns(heads, rows)]
    widths = [_narrowest(head, column) for head, column in _columns(heads, rows)]
    if sum(widths) > room:
        return None
    spare = room - sum(widths)
    while spare and widths != most:
        # Texts first: what a head gains by more room is one line, a text may gain many.
        wanting = [i for i, (now, full) in enumerate(zip(widths, most, strict=True)) if now < full]
        texts = [i for i in wanting if heads[i][1] == "left"]
        widths[max(texts or wanting, key=lambda i: most[i] - widths[i])] += 1
        spare -= 1
    return Layout(heads, rows, tuple(widths))


def _squeezed(
    heads: tuple[Head, ...], rows: tuple[tuple[str, ...], ...], page: int
) -> tuple[int, ...]:
    widths = [_narrowest(head, column) for head, column in _columns(heads, rows)]
    over = sum(widths) + GAP * (len(widths) - 1) - page
    while over > 0 and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
        over -= 1
    return tuple(widths)


def _columns(
    heads: tuple[Head, ...], rows: tuple[tuple[str, ...], ...]
) -> list[tuple[Head, list[str]]]:
    return [(head, [row[i] for row in rows]) for i, head in enumerate(heads)]


def _widest(head: Head, column: list[str]) -> int:
    return max(cell_len(head[0]), *map(cell_len, column), 1)


def _narrowest(head: Head, column: list[str]) -> int:
    if head[1] == "right":
        return max(_longest_word(head[0]), *map(cell_len, column), 1)
    text = min(TEXT, max(map(cell_len, column), default=0))
    return max(_longest_word(head[0]), *map(_longest_word, column), text, 1)


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _turned(
    heads: tuple[Head, ...], rows: tuple[tuple[str, ...], ...]
) -> tuple[tuple[Head, ...], tuple[tuple[str, ...], ...]]:
    turned = [(heads[0][0], *(row[0] for row in rows))]
    turned += [(head[0], *column) for head, column in _columns(heads, rows)[1:]]
    # a label is one thing to the eye: it keeps to its line as figures do
    label = max(cell_len(line[0]) for line in turned)
    first, *others = turned
    padded = tuple((f"{line[0]}{' ' * (label - cell_len(line[0]))}", *line[1:]) for line in others)
    sides: list[Justify] = ["right"] * len(first)
    if any(heads[i][1] == "left" for i in range(1, len(heads))):
        sides = ["left"] * len(first)
    sides[0] = "right"
    return tuple(zip(first, sides, strict=True)), padded


def _without(
    heads: tuple[Head, ...], rows: tuple[tuple[str, ...], ...], names: Sequence[str]
) -> tuple[tuple[Head, ...], tuple[tuple[str, ...], ...]]:
    kept = [i for i, (name, _) in enumerate(heads) if name not in names]
    return tuple(heads[i] for i in kept), tuple(tuple(row[i] for i in kept) for row in rows)
