"""The list of rejected rows, `FILE.rejected.csv`.

It is kept aside while rows are read and put in place once their fate is known. What cannot be
listed is a warning: the rows that are good land all the same.
"""

import errno
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import polars as pl

from hdap.fleet_data.atomic_files import beside
from hdap.fleet_data.ingest.reject_cause import SharedCause

_IN_MEMORY = 4 * 2**20
"""Bytes of a list that wait in memory; a longer one waits in a nameless temporary file, so that a
process that is killed leaves nothing behind."""


class RejectFile:
    """Columns line, column, reason, value; counts them by "column: reason" as they come.

    `places` are tried in turn. `problems` says, a line each, what could not be done.
    """

    def __init__(self, places: Sequence[Path]) -> None:
        self.counts: Counter[str] = Counter()
        self.cause = SharedCause()
        self.problems: list[str] = []
        self._places = places
        self._spool: IO[bytes] | None = None
        self._lost: OSError | None = None

    def add(self, rejects: pl.DataFrame) -> None:
        """Count rejects and keep them."""
        if rejects.is_empty():
            return
        label = pl.when(pl.col("column") == "").then(pl.lit("row")).otherwise(pl.col("column"))
        general = pl.col("reason").str.replace(r"(?s), got .*$", "").str.replace_all("`[^`]*`", "…")
        named = rejects.select(pl.concat_str(label, pl.lit(": "), general).alias("label"))
        for text, count in named["label"].value_counts().iter_rows():
            self.counts[text] += count
        self.cause.add(rejects)
        if self._lost is None:
            self._keep(rejects)

    def publish(self) -> Path | None:
        """Put the list in place; where it is, None where it is nowhere. The list of an earlier
        ingest is taken away when nothing was rejected."""
        if not self.counts:
            self._remove_earlier()
            return None
        failures = []
        for place in self._places:
            try:
                self._copy_to(place)
            except OSError as error:
                failures.append(f"{place}: {error.strerror or error}")
            else:
                if self._lost is not None:
                    self.problems.append(
                        f"{place} lists only the first of the rejected rows: {self._lost.strerror}"
                    )
                return place
        self.problems.append(
            f"the rejected rows could not be listed ({'; '.join(failures)}): "
            "free the place and load the file again, what is known adds nothing"
        )
        return None

    def close(self) -> None:
        """Let go of what waits."""
        if self._spool is not None:
            self._spool.close()

    def _keep(self, rejects: pl.DataFrame) -> None:
        first = self._spool is None
        text = rejects.sort("line", maintain_order=True).write_csv(include_header=first)
        try:
            if self._spool is None:
                self._spool = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
            self._spool.write(text.encode())
        except OSError as error:
            self._lost = error

    def _copy_to(self, place: Path) -> None:
        assert self._spool is not None
        partial = _partial(place)
        self._spool.seek(0)
        try:
            with partial.open("wb") as file:
                shutil.copyfileobj(self._spool, file)
            partial.replace(place)
        except OSError:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise

    def _remove_earlier(self) -> None:
        for place in self._places:
            for earlier in (place, _partial(place)):
                try:
                    if earlier.exists():
                        earlier.unlink()
                except OSError as error:
                    if error.errno == errno.ENAMETOOLONG:  # so none was ever there
                        continue
                    told = f"could not be removed: {error.strerror}"
                    self.problems.append(f"{earlier} is of an earlier ingest and {told}")


def _partial(place: Path) -> Path:
    """Where a list lies until it is whole; an ingest that is killed may leave it there."""
    return beside(place, "partial")
