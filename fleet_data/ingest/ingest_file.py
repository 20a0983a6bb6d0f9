"""One source into the store: whole or not at all."""

import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from hdap.fleet_data.errors import InputError, StoreError
from hdap.fleet_data.ingest.byte_source import (
    STANDARD_INPUT,
    can_be_read_twice,
    open_source,
)
from hdap.fleet_data.ingest.key_cache import Trace
from hdap.fleet_data.ingest.object_store import is_object
from hdap.fleet_data.ingest.parquet_reader import read_frames
from hdap.fleet_data.ingest.prefetch import prefetched
from hdap.fleet_data.ingest.readers.registry import reader_of
from hdap.fleet_data.ingest.readers.row_facts import NOTHING_SAID, RowFacts
from hdap.fleet_data.ingest.reading import AS_FOUND, SourceReading
from hdap.fleet_data.ingest.reject_file import RejectFile
from hdap.fleet_data.ingest.reject_limit import RejectLimit
from hdap.fleet_data.ingest.row_writer import RowWriter
from hdap.fleet_data.ingest.validate import Checked, Checker
from hdap.fleet_data.store import Store
from hdap.fleet_data.telemetry import BY_NAME
from hdap.fleet_data.units.latency_unit import LatencyUnits
from hdap.fleet_data.units.set_aside import FRAME, SetAside
from hdap.fleet_data.wording import counted, is_utf8

_AHEAD = 2
AS_WRITTEN = LatencyUnits()
"""Nobody says a unit: milliseconds."""
Progress = Callable[[int, int | None], None]
CheckModels = Callable[[Collection[str]], tuple[str, ...]]
"""Warnings of names of models, a line each; raises InputError for one that must not be stored."""
_Item = tuple[Checked, int]


@dataclass(frozen=True)
class FrameStream:
    """Data frames of the same columns, one after the other, from whatever `name` says."""

    name: str
    frames: Iterable[pl.DataFrame]
    rows: int | None = None


Source = Path | str | pl.DataFrame | FrameStream


@dataclass(frozen=True)
class IngestReport:
    """The summary of one source.

    `rows = added + known + sum(rejected.values())`; `known` rows were stored before or stand
    twice in the source. `rejected` counts rows by "column: reason", `rejected_cause` is the one
    cause that all of them share (empty: none or several), `rejected_path` lists them. Of the new
    devices `default_named` have a name that looks like nobody gave it, `default_names` are the
    first of these. `devices`, `models` and `configurations` count what the accepted rows are about,
    `first_at` and `last_at` their time span. `columns_read` are pairs (`deviceId=device_id`) of
    columns that have other names in the source, and `unit=us` where a name told it.
    `undescribed_models` have no architecture in the store: their dense rows are kept. `read_anew`
    rows are in another unit than they were read in before; `set_aside` is all that the store sets
    aside now, rows of earlier sources too.
    `warnings` are what could not be done beside: the rows are stored all the same.
    """

    source: str
    rows: int
    added: int
    known: int
    rejected: Mapping[str, int]
    rejected_cause: str
    new_devices: int
    default_named: int
    default_names: tuple[str, ...]
    devices: int
    models: tuple[str, ...]
    new_configurations: int
    configurations: int
    first_at: datetime | None
    last_at: datetime | None
    columns_read: tuple[str, ...]
    extra_columns: tuple[str, ...]
    undescribed_models: tuple[str, ...]
    read_anew: int
    set_aside: tuple[SetAside, ...]
    rejected_path: Path | None
    warnings: tuple[str, ...]
    seconds: float

    @property
    def in_vain(self) -> bool:
        """Whether rows came and the store has none of them."""
        return bool(self.rejected) and self.added + self.known == 0


def check_source(
    source: Path | str, facts: RowFacts = NOTHING_SAID, reading: SourceReading = AS_FOUND
) -> None:
    """Whether a file can be opened and has a right header. Raises InputError, of which
    ColumnsProposed has what the columns seem to be.

    Standard input and pipes are not looked at: what is read from them once is gone.
    """
    if not can_be_read_twice(source):
        return
    with open_source(source) as opened:
        reader_of(opened).check(opened, facts, reading)


def ingest(
    store: Store,
    source: Source,
    *,
    trace: Trace = lambda model: None,
    progress: Progress | None = None,
    rejected_path: Path | None = None,
    max_rejected: RejectLimit | None = None,
    units: LatencyUnits = AS_WRITTEN,
    facts: RowFacts = NOTHING_SAID,
    reading: SourceReading = AS_FOUND,
    check_models: CheckModels = lambda models: (),
    version: str | None = None,
    called: str | None = None,
) -> IngestReport:
    """Load one file, folder, pipe, object or prefix (by its URL), standard input for `-`, or data
    frames with the same columns.

    What it holds is one of the formats in `readers`; `facts` are what a measurement log does not
    say of its rows.

    Rejected rows are listed in `rejected_path`, by default `FILE.rejected.csv`, in this folder
    where that of the file cannot be written. One transaction: all rows land, or none. Rows that are
    stored already add nothing. Rows of a pruned model whose architecture neither the store nor
    `trace` has are rejected. `units` say what latencies are in, of rows that are stored too; rows
    that look as if they were in another unit are set aside. `reading` says how the source is
    written; where `units` say nothing, the name of its latencies does (`inference_us`). `progress`
    is told the bytes (of a frame the rows) read and their total (None: unknown). `version` is what
    changes when the source is written anew; it is stored with the ingest. `called` is the name of
    the source, where it is not its place. Raises InputError
    when the source cannot be read, is wrong as a whole or has more rejected rows than
    `max_rejected`, ColumnsProposed where somebody has to agree to what its columns seem to be,
    StoreError when the database fails.
    """
    started = time.monotonic()
    if not isinstance(source, FrameStream | pl.DataFrame):
        _check_name(str(source))
    places = (rejected_path,) if rejected_path else _places_of_rejects(source)
    with closing(RejectFile(places)) as rejects:
        with (
            _opened(source, facts, reading, called) as (name, size, read),
            store.ingesting(name, version) as writer,
        ):
            if progress is not None:
                progress(0, size)
            written = RowWriter(writer, trace, units)
            with prefetched(read, _AHEAD) as blocks:
                for checked, done in blocks:
                    rejects.add(written.write(checked))
                    if progress is not None:
                        progress(done, size)
            added = written.finish()
            rejected = rejects.counts.total()
            if max_rejected is not None and not max_rejected.allows(rejected, written.rows):
                raise _too_many(name, max_rejected, rejects, written.rows)
            known = written.rows - rejected - added
            writer.record(written.rows, known, rejected)
            undescribed = tuple(sorted(written.undescribed()))
            said = set(reading.models.values())
            new = [m for m in undescribed if m not in said] if written.configurations.added else []
            doubts = check_models(new) if new else ()
            set_aside = writer.set_aside()
        # from here on all is stored, and whatever fails is a warning
        unfolded = _fold_log(store)
        path = rejects.publish()
    return IngestReport(
        source=name,
        rows=written.rows,
        added=added,
        known=known,
        rejected=dict(rejects.counts.most_common()),
        rejected_cause=rejects.cause.told(every_row=rejected == written.rows),
        new_devices=written.devices.added,
        default_named=written.devices.default_names.count,
        default_names=written.devices.default_names.first,
        devices=len(written.devices),
        models=tuple(sorted(written.models)),
        new_configurations=written.configurations.added,
        configurations=len(written.configuration_keys),
        first_at=_time(written.first_us),
        last_at=_time(written.last_us),
        columns_read=written.naming,
        extra_columns=tuple(name for name in written.columns if name not in BY_NAME),
        undescribed_models=undescribed,
        read_anew=written.read_anew,
        set_aside=set_aside,
        rejected_path=path,
        warnings=(*doubts, *_pruned(written), *unfolded, *rejects.problems),
        seconds=time.monotonic() - started,
    )


def _check_name(text: str) -> None:
    if not is_utf8(text):
        raise InputError(f"the name of a file must be UTF-8, but got {text!a}: rename it")


def _too_many(name: str, limit: RejectLimit, rejects: RejectFile, rows: int) -> InputError:
    path, rejected = rejects.publish(), rejects.counts.total()
    most_often = rejects.counts.most_common(1)[0][0]
    cause = rejects.cause.told(every_row=rejected == rows) or f"most often {most_often}"
    listed = f" (each is listed in {path})" if path else ""
    return InputError(
        f"at most {limit} of the rows may be rejected, but {rejected:,} of the {rows:,} of {name} "
        f"are to be, so nothing of it is stored: {cause}{listed}"
    )


def _pruned(written: RowWriter) -> tuple[str, ...]:
    if not written.pruned_rows:
        return ()
    was = counted(written.pruned_rows, "row was", "rows were")
    return (f"{was} left out as known: of a history that `hdap prune-history` made fewer rows",)


def _fold_log(store: Store) -> tuple[str, ...]:
    try:
        store.fold_log()
    except StoreError as error:
        return (f"all rows are stored, but the log beside the database stays for now: {error}",)
    return ()


@contextmanager
def _opened(
    source: Source, facts: RowFacts, reading: SourceReading, called: str | None
) -> Iterator[tuple[str, int | None, Iterator[_Item]]]:
    """Name, size, and checked blocks with how much of the size was read after each."""
    if isinstance(source, pl.DataFrame):
        source = FrameStream(FRAME, (source,), source.height)
    if isinstance(source, FrameStream):
        facts.refuse("it", source.name)
        check = Checker(reading).check
        blocks = read_frames(source.name, source.frames, reading)
        yield source.name, source.rows, _counted(check(block) for block in blocks)
        return
    with open_source(source) as opened:
        opened.name = called or opened.name
        reader = reader_of(opened)
        check = Checker(reader.reading_with(facts, reading)).check
        blocks = reader.blocks(opened, facts, reading)
        yield opened.name, opened.size, ((check(block), opened.position()) for block in blocks)


def _counted(checked: Iterator[Checked]) -> Iterator[_Item]:
    done = 0
    for each in checked:
        done += each.block.frame.height
        yield each, done


def _places_of_rejects(source: Source) -> tuple[Path, ...]:
    if isinstance(source, FrameStream):
        return (Path("reduced.rejected.csv"),)
    if isinstance(source, pl.DataFrame):
        return (Path("frame.rejected.csv"),)
    if str(source) == STANDARD_INPUT:
        return (Path("stdin.rejected.csv"),)
    if is_object(source):
        name = str(source).rstrip("/").rpartition("/")[2]
        return (_list_here(name, str(source)),)
    path = Path(source)
    if path.is_relative_to("/dev") or path.is_relative_to("/proc"):  # what a shell makes of <(...)
        return (Path("pipe.rejected.csv"),)
    return (
        path.with_name(f"{path.name}.rejected.csv"),
        _list_here(path.name, str(path.absolute())),
    )


def _list_here(name: str, place: str) -> Path:
    """A list in this folder: files of other places may have the same name."""
    return Path(f"{name}.{hashlib.sha256(os.fsencode(place)).hexdigest()[:8]}.rejected.csv")


def _time(microseconds: int | None) -> datetime | None:
    if microseconds is None:
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
