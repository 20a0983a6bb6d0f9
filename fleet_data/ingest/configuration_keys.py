"""Texts of channels into keys of configurations, each distinct text once."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.configuration import format_channels, parse_channels
from hdap.fleet_data.ingest.model_catalog import ModelCatalog
from hdap.fleet_data.ingest.row_hash import text_hashes
from hdap.fleet_data.records import Ints
from hdap.fleet_data.store.ingest_writer import IngestWriter

_MOST_REMEMBERED = 200_000
_MOST_UNKNOWN_MODELS = 100  # a hostile file must not have us trace for ever
_REMEMBERED = {
    "model": pl.String,
    "channels": pl.String,
    "configuration_key": pl.Int64,
    "configuration_hash": pl.UInt64,
    "error": pl.String,
}


class ConfigurationKeys:
    """Remembers what each (model, channels) text turned out to be."""

    def __init__(self, writer: IngestWriter, catalog: ModelCatalog) -> None:
        self._writer = writer
        self._catalog = catalog
        self._known = pl.DataFrame(schema=_REMEMBERED)
        self._architectures: dict[str, Architecture | None] = {}
        self._undescribed: set[str] = set()
        self.added = 0

    def resolve(self, frame: pl.DataFrame) -> pl.DataFrame:
        """`frame` (with `model`, `channels`) plus `configuration_key`, `configuration_hash` and
        `error`, which says why the channels are no configuration of the model."""
        pair = ["model", "channels"]
        new = frame.select(pair).unique(maintain_order=True).join(self._known, on=pair, how="anti")
        if new.height:
            if self._known.height > _MOST_REMEMBERED:
                self._known = frame.select(pair).unique().join(self._known, on=pair)
            learned = [
                self._learn(str(model), group["channels"])
                for (model,), group in new.group_by("model", maintain_order=True)
            ]
            self._known = pl.concat([self._known, *learned])
        if self._known.height == 1:
            only = self._known.row(0, named=True)
            names = list(_REMEMBERED)[2:]
            return frame.with_columns(pl.lit(only[n], _REMEMBERED[n]).alias(n) for n in names)
        return frame.join(self._known, on=pair, how="left", maintain_order="left")

    def _learn(self, model: str, texts: pl.Series) -> pl.DataFrame:
        """What each text of one model is, in the shape of `_REMEMBERED`."""
        dense = texts.str.replace_all(r"[;\s]", "") == ""
        parts = []
        if dense.any():
            figures = self._writer.dense_figures(model) or (None, None)
            flops, parameters = ([figure] for figure in figures)
            rows = self._store(model, [""], flops, parameters)
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
            self._catalog.flops(architecture, counts),
            self._catalog.parameters(architecture, counts),
        ).with_columns(canonical=pl.Series(distinct.tolist(), dtype=pl.String))
        keys = pl.when(pl.col("error").is_null()).then(pl.col("configuration_key"))
        return frame.join(rows, on="canonical", how="left").with_columns(keys)

    def _store(
        self,
        model: str,
        canonical: list[str],
        flops: Sequence[int | None] | Ints,
        parameters: Sequence[int | None] | Ints,
    ) -> pl.DataFrame:
        """Key and hash of each canonical text."""
        hashes = text_hashes(f"{model}\0{text}" for text in canonical)
        rows = pl.DataFrame(
            {
                "model": [model] * len(canonical),
                "channels": pl.Series(canonical, dtype=pl.String),
                "flops": pl.Series(flops, dtype=pl.Int64),
                "parameters": pl.Series(parameters, dtype=pl.Int64),
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
            found = self._catalog.architecture(model)
            if found is None:
                self._undescribed.add(model)
            else:
                dense = found.widths[None, :]
                flops = int(self._catalog.flops(found, dense)[0])
                parameters = int(self._catalog.parameters(found, dense)[0])
                self._writer.save_architecture(found, flops, parameters)
        self._architectures[model] = found
        return found


def _unusable(texts: pl.Series, error: str) -> pl.DataFrame:
    return pl.DataFrame({"channels": texts}).with_columns(
        configuration_key=pl.lit(None, pl.Int64),
        configuration_hash=pl.lit(None, pl.UInt64),
        error=pl.lit(error),
    )
