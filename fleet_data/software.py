"""What ran a measurement, as one text: the software columns of the telemetry contract that are
known, as JSON with sorted keys, so that the same software is the same text everywhere."""

import json
from collections.abc import Mapping

from hdap.fleet_data.telemetry import SOFTWARE


def format_software(known: Mapping[str, str]) -> str:
    """The text of these columns; those that are empty are left out, and nothing known is ""."""
    filled = {name: known[name] for name in SOFTWARE if known.get(name)}
    return json.dumps(filled, ensure_ascii=False, sort_keys=True) if filled else ""


def parse_software(text: str) -> dict[str, str]:
    """Inverse of `format_software`: the columns that are known."""
    return {str(name): str(value) for name, value in json.loads(text).items()} if text else {}


def show_software(text: str) -> str:
    """The same for people: `openvino 2026.4, bfloat16`; threads and firmware say what they are."""
    known = parse_software(text)
    words = {"threads": "{} threads", "firmware": "firmware {}"}
    said = [words.get(name, "{}").format(known[name]) for name in SOFTWARE if name in known]
    return ", ".join(said) or "unknown software"
