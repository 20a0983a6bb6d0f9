"""One source into the store: whole or not at all."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hdap.fleet_data.ingest.byte_source import STANDARD_INPUT, ByteSource, open_source
from hdap.fleet_data.ingest.csv_reader import read_csv, read_header
from hdap.fleet_data.ingest.ingest_report import IngestReport
from hdap.fleet_data.ingest.model_catalog import ModelCatalog
from hdap.fleet_data.ingest.parquet_reader import open_parquet, read_parquet
from hdap.fleet_data.ingest.prefetch import prefetched
from hdap.fleet_data.ingest.rejects import RejectFile
from hdap.fleet_data.ingest.row_writer import RowWriter
from hdap.fleet_data.ingest.validate import Checked, check
from hdap.fleet_data.store import Store
from hdap.fleet_data.telemetry import BY_NAME

_AHEAD = 2
Progress = Callable[[int, int | None], None]


def check_source(source: Path | str) -> None:
    """Whether a file can be opened and has a right header. Raises InputError.

    Standard input is not looked at: what is read from it once cannot be read again.
    """
    if str(source) == STANDARD_INPUT:
        return
    with open_source(source) as opened:
        if opened.format == "parquet":
            open_parquet(opened.name, opened.raw)
        else:
            read_header(opened.name, opened.stream())


def ingest(
    store: Store,
    source: Path | str,
    *,
    models: ModelCatalog,
    progress: Progress | None = None,
    rejected_path: Path | None = None,
) -> IngestReport:
    """Load one file, or standard input for `-`; rejected rows go to `FILE.rejected.csv`.

    One transaction: all rows land, or none. Rows that are stored already add nothing. `progress` is
    told the bytes read and their total (None: unknown). Raises InputError when the source cannot be
    read or is wrong as a whole, StoreError when the database fails.
    """
    started = time.monotonic()
    rejects = RejectFile(rejected_path or _default_rejected(source))
    try:
        with open_source(source) as opened, store.ingesting(opened.name) as writer:
            landing = RowWriter(writer, models)
            with prefetched(_blocks(opened), _AHEAD) as blocks:
                for checked, done in blocks:
                    rejects.add(landing.write(checked))
                    if progress is not None:
                        progress(done, opened.size)
            added = landing.finish()
            rejected = rejects.counts.total()
            known = landing.rows - rejected - added
            writer.record(landing.rows, known, rejected)
            undescribed = tuple(sorted(landing.undescribed()))
    except BaseException:
        rejects.abandon()
        raise
    return IngestReport(
        source=opened.name,
        rows=landing.rows,
        added=added,
        known=known,
        rejected=dict(rejects.counts.most_common()),
        new_devices=landing.devices.added,
        devices=len(landing.devices),
        models=tuple(sorted(landing.models)),
        new_configurations=landing.configurations.added,
        configurations=len(landing.configuration_keys),
        first_at=_time(landing.first_us),
        last_at=_time(landing.last_us),
        extra_columns=tuple(name for name in landing.columns if name not in BY_NAME),
        undescribed_models=undescribed,
        rejected_path=rejects.commit(),
        seconds=time.monotonic() - started,
    )


def _blocks(opened: ByteSource) -> Iterator[tuple[Checked, int]]:
    if opened.format == "parquet":
        blocks = read_parquet(opened.name, opened.raw)
    else:
        blocks = read_csv(opened.name, opened.stream())
    for block in blocks:
        yield check(block), opened.position()


def _default_rejected(source: Path | str) -> Path:
    if str(source) == STANDARD_INPUT:
        return Path("stdin.rejected.csv")
    path = Path(source)
    return path.with_name(f"{path.name}.rejected.csv")


def _time(microseconds: int | None) -> datetime | None:
    if microseconds is None:
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
