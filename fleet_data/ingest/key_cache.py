"""Texts into keys of the store, each distinct one once: devices, software, configurations."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.configuration import format_channels, parse_channels
from hdap.fleet_data.costs import flops, parameters
from hdap.fleet_data.ingest.default_names import DefaultNames
from hdap.fleet_data.ingest.row_hash import text_hashes
from hdap.fleet_data.records import Ints
from hdap.fleet_data.software import format_software
from hdap.fleet_data.store.ingest_writer import IngestWriter
from hdap.fleet_data.telemetry import BESIDE_RUNTIME

Trace = Callable[[str], Architecture | None]
"""The architecture of a model, or None where it cannot be described here.

Asked only when a row of pruned channels appears and the store has no architecture. The names come
out of a data file: an implementation never executes code that a name points to.
"""

_MOST_REMEMBERED = 200_000
_MOST_UNKNOWN_MODELS = 100  # a hostile file must not have us trace for ever
_REMEMBERED = {
    "model": pl.String,
    "channels": pl.String,
    "configuration_key": pl.Int64,
    "configuration_hash": pl.UInt64,
    "error": pl.String,
}


class KeyCache:
    """Remembers the key and hash of each device id, runtime or software (`kind`) of one ingest."""

    def __init__(self, writer: IngestWriter, kind: str) -> None:
        self._writer, self._kind = writer, kind
        schema = {"value": pl.String, "key": pl.Int64, "hash": pl.UInt64}
        self._known = pl.DataFrame(schema=schema)
        self.added = 0
        self.default_names = DefaultNames()

    def __len__(self) -> int:
        return self._known.height

    def resolve(self, texts: pl.Series) -> pl.DataFrame:
        """`key` and `hash` of each text; null for the empty text."""
        frame = pl.DataFrame({"value": texts})
        distinct = frame.filter(pl.col("value") != "").unique(maintain_order=True)
        known, unknown = _known_and_new(distinct, self._known, ["value"])
        new = unknown["value"]
        if len(new):
            keys, added = self._writer.text_keys(self._kind, new)
            learned = keys.with_columns(hash=text_hashes(keys["value"]))
            self._known = pl.concat([self._known, learned])
            known = pl.concat([known, learned])
            self.added += added
            self.default_names.add(keys["value"].tail(added))
        return frame.join(known, on="value", how="left", maintain_order="left")


class SoftwareKeys:
    """Remembers what ran the rows beside their runtime: precision, threads and firmware."""

    def __init__(self, writer: IngestWriter) -> None:
        self._keys = KeyCache(writer, "software")

    def resolve(self, frame: pl.DataFrame) -> pl.DataFrame | None:
        """`key` and `hash` of each row's; null where nothing is known, None where nothing is of
        any row."""
        names = [name for name in BESIDE_RUNTIME if name in frame.columns]
        if not names:
            return None
        columns = frame.select(pl.col(name).cast(pl.String).fill_null("") for name in names)
        distinct = columns.unique(maintain_order=True)
        texts = [format_software(row) for row in distinct.iter_rows(named=True)]
        if not any(texts):
            return None
        known = distinct.with_columns(software=pl.Series(texts, dtype=pl.String))
        rows = columns.join(known, on=names, how="left", maintain_order="left")
        return self._keys.resolve(rows["software"])


class ConfigurationKeys:
    """Remembers what each (model, channels) text turned out to be."""

    def __init__(self, writer: IngestWriter, trace: Trace) -> None:
        self._writer = writer
        self._trace = trace
        self._known = pl.DataFrame(schema=_REMEMBERED)
        self._architectures: dict[str, Architecture | None] = {}
        self._undescribed: set[str] = set()
        self.added = 0

    def resolve(self, frame: pl.DataFrame) -> pl.DataFrame:
        """`frame` (with `model`, `channels`) plus `configuration_key`, `configuration_hash` and
        `error`, which says why the channels are no configuration of the model."""
        pair = ["model", "channels"]
        distinct = frame.select(pair).unique(maintain_order=True)
        known, new = _known_and_new(distinct, self._known, pair)
        if new.height:
            learned = [
                self._learn(str(model), group["channels"])
                for (model,), group in new.group_by("model", maintain_order=True)
            ]
            remembered = known if self._known.height > _MOST_REMEMBERED else self._known
            self._known = pl.concat([remembered, *learned])
            known = pl.concat([known, *learned])
        if known.height == 1:
            only = known.row(0, named=True)
            names = list(_REMEMBERED)[2:]
            return frame.with_columns(pl.lit(only[n], _REMEMBERED[n]).alias(n) for n in names)
        return frame.join(known, on=pair, how="left", maintain_order="left")

    def _learn(self, model: str, texts: pl.Series) -> pl.DataFrame:
        """What each text of one model is, in the shape of `_REMEMBERED`."""
        dense = texts == ""
        parts = []
        if dense.any():
            macs, size = self._writer.dense_figures(model) or (None, None)
            rows = self._store(model, [""], [macs], [size])
            some = pl.DataFrame({"channels": texts.filter(dense)})
            parts.append(some.join(rows, how="cross").with_columns(error=pl.lit(None, pl.String)))
        if not dense.all():
            parts.append(self._learn_pruned(model, texts.filter(~dense)))
        both = pl.concat([part.select(list(_REMEMBERED)[1:]) for part in parts])
        return both.with_columns(model=pl.lit(model)).select(list(_REMEMBERED))

    def _learn_pruned(self, model: str, texts: pl.Series) -> pl.DataFrame:
        architecture = self._architecture(model)
        if architecture is None:
            return _unusable(texts, f"no architecture of {model} is stored: run hdap model {model}")
        parsed = parse_channels(architecture, texts.to_list())
        canonical = format_channels(architecture, parsed.counts)
        frame = pl.DataFrame(
            {"channels": texts, "error": pl.Series(parsed.errors, dtype=pl.String)}
        ).with_columns(canonical=pl.Series(canonical, dtype=pl.String))
        good = frame["error"].is_null()
        distinct, first = np.unique(np.array(canonical)[good.to_numpy()], return_index=True)
        counts = parsed.counts[good.to_numpy()][first]
        rows = self._store(
            model,
            [str(text) for text in distinct],
            flops(architecture, counts),
            parameters(architecture, counts),
        ).with_columns(canonical=pl.Series(distinct.tolist(), dtype=pl.String))
        keys = pl.when(pl.col("error").is_null()).then(pl.col("configuration_key"))
        return frame.join(rows, on="canonical", how="left").with_columns(keys)

    def _store(
        self,
        model: str,
        canonical: list[str],
        macs: Sequence[int | None] | Ints,
        sizes: Sequence[int | None] | Ints,
    ) -> pl.DataFrame:
        """Key and hash of each canonical text."""
        hashes = text_hashes(f"{model}\0{text}" for text in canonical)
        rows = pl.DataFrame(
            {
                "model": [model] * len(canonical),
                "channels": pl.Series(canonical, dtype=pl.String),
                "flops": pl.Series(macs, dtype=pl.Int64),
                "parameters": pl.Series(sizes, dtype=pl.Int64),
                "content_hash": hashes.reinterpret(signed=True),
            }
        )
        if rows.is_empty():
            keys = pl.Series([], dtype=pl.Int64)
        else:
            found, added = self._writer.configuration_keys(rows)
            self.added += added
            joined = rows.join(
                found, left_on="content_hash", right_on="value", how="left", maintain_order="left"
            )
            keys = joined["key"]
        return pl.DataFrame({"configuration_key": keys, "configuration_hash": hashes})

    def _architecture(self, model: str) -> Architecture | None:
        if model in self._architectures:
            return self._architectures[model]
        found = self._writer.architecture(model)
        if found is None and len(self._undescribed) < _MOST_UNKNOWN_MODELS:
            found = self._trace(model)
            if found is None:
                self._undescribed.add(model)
            else:
                self._writer.save_architecture(found)
        self._architectures[model] = found
        return found


def _known_and_new(
    distinct: pl.DataFrame, remembered: pl.DataFrame, on: list[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What is `remembered` of the `distinct` rows, and the rows of which nothing is."""
    # the few are hashed, never the many: a table of a million would be, for every block
    known = remembered.join(distinct, on=on, how="semi")
    return known, distinct.join(known, on=on, how="anti", maintain_order="left")


def _unusable(texts: pl.Series, error: str) -> pl.DataFrame:
    return pl.DataFrame({"channels": texts}).with_columns(
        configuration_key=pl.lit(None, pl.Int64),
        configuration_hash=pl.lit(None, pl.UInt64),
        error=pl.lit(error),
    )
