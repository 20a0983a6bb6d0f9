"""How many rows of a file may be rejected before nothing of it is stored."""

import re
from dataclasses import dataclass

from hdap.fleet_data.errors import InputError

_WRITTEN = re.compile(r"(\d+(?:\.\d+)?)\s*(%?)", re.ASCII)


@dataclass(frozen=True)
class RejectLimit:
    """At most `most` rejected rows, or with `percent` that share of a file's rows in percent."""

    most: float
    percent: bool

    def __str__(self) -> str:
        return f"{self.most:g} %" if self.percent else f"{self.most:g}"

    def allows(self, rejected: int, rows: int) -> bool:
        """Whether so many of so many may be rejected."""
        # as a product: 5 % of 100 are 5 rows and no rounding
        return 100 * rejected <= self.most * rows if self.percent else rejected <= self.most


def reject_limit(text: str) -> RejectLimit:
    """`5%` or a number of rows. Raises InputError for what is neither."""
    found = _WRITTEN.fullmatch(text.strip())
    limit = None if found is None else RejectLimit(float(found[1]), bool(found[2]))
    if (
        limit is None
        or (limit.percent and limit.most > 100)
        or (not limit.percent and not limit.most.is_integer())
    ):
        raise InputError(
            f"rejected rows must be limited by a percentage (5%) or a number (100), not {text!r}"
        )
    return limit
