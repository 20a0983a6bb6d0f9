"""Values inside nested JSON that a person asked for by their path: `--map device.id=device_id`."""

import json
from typing import Any

import polars as pl

from hdap.fleet_data.ingest.blocks import Block
from hdap.fleet_data.ingest.reading import SourceReading


def with_nested(block: Block, reading: SourceReading) -> Block:
    """The block with a column for each path that is asked for and is in the rows.

    A path is names with dots between them. A list of pairs `{"key": ..., "value": ...}`, as
    Firebase and OpenTelemetry write attributes, is taken for an object, and a value that says its
    own type (`{"int_value": 5}`) for what it holds.
    """
    added = []
    for path in reading.columns:
        root, _, below = path.partition(".")
        if below and path not in block.frame.columns and root in block.frame.columns:
            names = below.split(".")
            texts = [_value(text, names) for text in block.frame[root]]
            added.append(pl.Series(path, texts, dtype=pl.String))
    if not any((column != "").any() for column in added):
        return block
    return Block(block.frame.with_columns(added), block.lines, block.rejects)


def _value(text: str, names: list[str]) -> str:
    try:
        found: Any = json.loads(text) if text else None
    except ValueError:
        return ""
    for name in names:
        found = _pairs(found)
        if not isinstance(found, dict) or name not in found:
            return ""
        found = _plain(found[name])
    if found is None:
        return ""
    return found if isinstance(found, str) else json.dumps(found)


def _pairs(found: Any) -> Any:
    if isinstance(found, list) and all(isinstance(p, dict) and "key" in p for p in found):
        return {pair["key"]: pair.get("value") for pair in found}
    return found


def _plain(found: Any) -> Any:
    """What `{"string_value": "a", "int_value": null}` or `{"intValue": "5"}` holds."""
    if isinstance(found, dict) and found and all(k.lower().endswith("value") for k in found):
        return next((value for value in found.values() if value is not None), None)
    return found
