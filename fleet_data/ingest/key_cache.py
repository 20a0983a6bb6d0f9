"""Texts that stand for themselves (device ids, runtimes) into keys, each distinct one once."""

import polars as pl

from hdap.fleet_data.ingest.row_hash import text_hashes
from hdap.fleet_data.store.ingest_writer import IngestWriter


class KeyCache:
    """Remembers the key and hash of each device id or runtime (`kind`) of one ingest."""

    def __init__(self, writer: IngestWriter, kind: str) -> None:
        self._writer, self._kind = writer, kind
        schema = {"value": pl.String, "key": pl.Int64, "hash": pl.UInt64}
        self._known = pl.DataFrame(schema=schema)
        self.added = 0

    def __len__(self) -> int:
        return self._known.height

    def resolve(self, texts: pl.Series) -> pl.DataFrame:
        """`key` and `hash` of each text; null for the empty text."""
        frame = pl.DataFrame({"value": texts})
        distinct = frame.filter(pl.col("value") != "").unique(maintain_order=True)
        new = distinct.join(self._known, on="value", how="anti", maintain_order="left")["value"]
        if len(new):
            keys, added = self._writer.text_keys(self._kind, new)
            learned = keys.with_columns(hash=text_hashes(keys["value"]))
            self._known = pl.concat([self._known, learned])
            self.added += added
        return frame.join(self._known, on="value", how="left", maintain_order="left")
