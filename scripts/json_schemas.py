"""Write docs/json/*.json: what each command prints with --json, as JSON Schema.

    HDAP_JSON_LOG=/tmp/documents pytest tests/cli -m "" -k json
    python scripts/json_schemas.py /tmp/documents

The tests keep every document they see in that folder; this script joins what it finds there with
what the schemas already allow, so nothing is forgotten. Each test run checks documents against the
schemas, so an output that changes fails until this was run and its difference was read.
"""

import json
import sys
from pathlib import Path
from typing import Any

SCHEMAS = Path(__file__).resolve().parents[1] / "docs" / "json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAPS = {
    "channels",
    "base_lines",
    "parameters",
    "context",
    "settings",
    "kept_channels",
    "counts",
    "tried",
    "files",
    "latency_ms",
    "rejected",
    "facts",
    "errors",
    "software",
    "software_before",
    "input_shape",
}
"""Objects whose keys are names from the data (width groups, clusters, files), not fields."""
FREE = {"sql": {"type": "array", "items": {"type": "object"}}}
"""Documents whose fields the user chooses."""
TYPES: dict[type, str | list[str]] = {
    bool: "boolean",
    int: "integer",
    float: ["null", "number"],  # what is not known is null
    str: "string",
    type(None): "null",
}


def of(value: Any, name: str = "") -> dict[str, Any]:
    """The narrowest schema of one value."""
    if isinstance(value, list):
        items: dict[str, Any] = {}
        for part in value:
            items = joined(items, of(part))
        return {"type": "array", "items": items} if items else {"type": "array"}
    if not isinstance(value, dict):
        return {"type": TYPES[type(value)]}
    if name in MAPS:
        values: dict[str, Any] = {}
        for part in value.values():
            values = joined(values, of(part))
        return {"type": "object", "additionalProperties": values or True}
    return {
        "type": "object",
        "properties": {key: of(part, key) for key, part in value.items()},
        "required": sorted(value),
        "additionalProperties": False,
    }


def joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A schema that allows what either does."""
    if not one or not other or one == other:
        return one or other
    if "anyOf" in one or "anyOf" in other:
        found: dict[str, dict[str, Any]] = {}
        for part in [*one.get("anyOf", [one]), *other.get("anyOf", [other])]:
            kind = str(part["type"])
            found[kind] = joined(found[kind], part) if kind in found else part
        return {"anyOf": list(found.values())} if len(found) > 1 else next(iter(found.values()))
    if one["type"] == "object" == other["type"]:
        return _objects(one, other)
    if one["type"] == "array" == other["type"]:
        items = joined(one.get("items", {}), other.get("items", {}))
        return {"type": "array", "items": items} if items else {"type": "array"}
    kinds = {*_kinds(one), *_kinds(other)}
    if kinds & {"object", "array"}:
        return {"anyOf": [one, other]}
    kinds -= {"integer"} if "number" in kinds else set()
    return {"type": sorted(kinds) if len(kinds) > 1 else kinds.pop()}


def _objects(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    if "properties" not in one or "properties" not in other:
        parts = [p.get("additionalProperties", True) for p in (one, other)]
        known = [p for p in parts if isinstance(p, dict)]
        values: Any = joined(*known) if len(known) == 2 else known[0] if known else True
        return {"type": "object", "additionalProperties": values}
    names = [*one["properties"], *(k for k in other["properties"] if k not in one["properties"])]
    return {
        "type": "object",
        "properties": {
            k: joined(one["properties"].get(k, {}), other["properties"].get(k, {})) for k in names
        },
        "required": sorted({*one["required"]} & {*other["required"]}),
        "additionalProperties": False,
    }


def _kinds(schema: dict[str, Any]) -> list[str]:
    kinds = schema["type"]
    return kinds if isinstance(kinds, list) else [kinds]


def closed(schema: Any) -> Any:
    """The schema as it is written: what was only ever seen as null may be anything."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {} if schema == {"type": "null"} else {k: closed(v) for k, v in schema.items()}


def main(folder: Path) -> None:
    """Widen the schemas by the documents in a folder: `COMMAND-*.json`."""
    SCHEMAS.mkdir(exist_ok=True)
    for file in sorted(folder.glob("*.json")):
        command = file.name.rpartition("-")[0]
        path = SCHEMAS / f"{command}.json"
        head = {"$schema": DIALECT, "title": f"hdap {command.replace('_', ' ')} --json"}
        before = json.loads(path.read_text()) if path.exists() else {}
        known = {k: v for k, v in before.items() if k not in head}
        schema = FREE.get(command) or closed(joined(known, of(json.loads(file.read_text()))))
        path.write_text(json.dumps(head | schema, indent=1) + "\n")
    print(f"{SCHEMAS}: {', '.join(sorted(p.stem for p in SCHEMAS.glob('*.json')))}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
