"""Numbers with a decimal comma, or with their thousands apart: `70,5`, `1,234.5`, `1.234,5`."""

import polars as pl

from hdap.fleet_data.ingest.reading import Decimal

_EXPONENT = r"([eE][+-]?[0-9]+)?"
AMBIGUOUS = r"^\s*[+-]?[1-9][0-9]{0,2}(,[0-9]{3})\s*$"
"""`1,234` is 1.234 or 1234: another number of the column tells, or a person."""
AMBIGUOUS_REASON = (
    "must leave no doubt, but its comma may be a decimal one or divide thousands: "
    "say --decimal , or --decimal ."
)


class Decimals:
    """What the decimal sign of each column is, learned from numbers that leave no doubt."""

    def __init__(self, said: Decimal = "") -> None:
        self._said = said
        self._learned: dict[str, Decimal] = {}

    def of(self, column: str) -> Decimal:
        """The sign of a column, empty where numbers are read as they are."""
        return self._said or self._learned.get(column, "")

    def read(self, column: str, texts: pl.Series) -> pl.Series:
        """Float64, null where a text is no number in the column's way of writing."""
        sign = self.of(column) or self._learn(column, texts)
        if not sign:
            return texts.cast(pl.Float64, strict=False)
        apart: Decimal = "." if sign == "," else ","
        right = texts.str.contains(_number(sign, apart))
        plain = texts.str.replace_all(apart, "", literal=True).str.replace(sign, ".", literal=True)
        return plain.set(~right, None).cast(pl.Float64, strict=False)

    def _learn(self, column: str, texts: pl.Series) -> Decimal:
        if not texts.str.contains(",", literal=True).any():
            return ""
        comma, point = (
            (texts.str.contains(_decisive(a, b)) & ~texts.str.contains(_grouped(a))).any()
            for a, b in ((",", "."), (".", ","))
        )
        point = point or texts.str.contains(r"^[+-]?[1-9][0-9]{0,2}(,[0-9]{3}){2,}$").any()
        if comma == point:
            return ""
        self._learned[column] = "," if comma else "."
        return self._learned[column]


def _number(sign: str, apart: str) -> str:
    whole = rf"([0-9]+|[1-9][0-9]{{0,2}}([{apart}][0-9]{{3}})+)"
    return rf"^[+-]?({whole}([{sign}][0-9]*)?|[{sign}][0-9]+){_EXPONENT}$"


def _decisive(sign: str, apart: str) -> str:
    whole = rf"([0-9]+|[1-9][0-9]{{0,2}}([{apart}][0-9]{{3}})+)?"
    return rf"^[+-]?{whole}[{sign}][0-9]+{_EXPONENT}$"


def _grouped(sign: str) -> str:
    return rf"^[+-]?[1-9][0-9]{{0,2}}[{sign}][0-9]{{3}}$"
