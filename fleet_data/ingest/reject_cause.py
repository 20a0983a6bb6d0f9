"""The one cause that all rejected rows of a file share, in one line, where there is one."""

import re

import polars as pl

from hdap.fleet_data.ingest.number_texts import AMBIGUOUS_REASON

_RAGGED = re.compile(r"the row must have (\d+) fields, got (\d+)")
_LONGEST_SHOWN = 40
_HINTS = (
    (re.compile(r"[+-]?9,9"), "a decimal comma?"),
    (re.compile(r"[+-]?9(\.9)? ?[^\W\d]+"), "leave the unit out"),
    (re.compile(r""), "the column is empty"),
)
"""What the shape of a value, its digits as one 9, tells of what went wrong."""


class SharedCause:
    """Looks at all rejects of a file as they come; remembers the first, and whether all are alike.

    Rejects are of one cause when column and reason are the same. Values are alike when they differ
    in digits alone, rows with a wrong number of fields when all or none of them end with a comma.
    """

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()
        self._shapes: set[str] = set()
        self._value = ""

    def add(self, rejects: pl.DataFrame) -> None:
        """Take rejects (columns column, reason, value) into account."""
        if len(self._seen) > 1:
            return
        if not self._seen:
            self._value = rejects["value"][0] or ""
        self._seen.update(rejects.select("column", "reason").unique().head(2).iter_rows())
        value = pl.col("value").fill_null("")
        shape = (
            pl.when(pl.col("column") == "")
            .then(pl.when(value.str.ends_with(",")).then(pl.lit(",")).otherwise(pl.lit("")))
            .otherwise(value.str.replace_all(r"[0-9]+", "9"))
        )
        self._shapes.update(rejects.select(shape.alias("shape"))["shape"].unique().head(2))

    def told(self, *, every_row: bool) -> str:
        """The cause, empty where there are several; `every_row`: nothing but rejects came."""
        if len(self._seen) != 1:
            return ""
        ((column, reason),) = self._seen
        subject = "every row" if every_row else "every rejected row"
        if column == "":
            return (
                f"{subject}: {reason}" if _RAGGED.match(reason) is None else self._ragged(subject)
            )
        shape = next(iter(self._shapes)) if len(self._shapes) == 1 else None
        if shape is None:
            return f"{subject}: {column} {reason}"
        hint = next((f": {hint}" for sign, hint in _HINTS if sign.fullmatch(shape)), "")
        if reason == AMBIGUOUS_REASON:
            hint = ""
        shown = (
            f", got {self._value[:_LONGEST_SHOWN]!r}"
            if self._value and ", got" not in reason
            else ""
        )
        return f"{subject}: {column} {reason}{shown}{hint}"

    def _ragged(self, subject: str) -> str:
        ((_, reason),) = self._seen
        expected, actual = map(int, _RAGGED.match(reason).groups())  # type: ignore[union-attr]
        if actual == expected + 1:
            trailing = self._shapes == {","}
            hint = "a trailing comma?" if trailing else "a comma in a field that is not quoted?"
            return f"{subject} has one field too many: {hint}"
        if actual == expected - 1:
            return f"{subject} has one field too few: has the header a column that rows lack?"
        return (
            f"{subject} has {actual} fields where the header has {expected}: is it another file's?"
        )
