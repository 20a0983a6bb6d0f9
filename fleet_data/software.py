"""What ran a measurement, as one text: the software columns of the telemetry contract that are
known, as JSON with sorted keys, so that the same software is the same text everywhere."""

import json
import re
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
    threads = "{} thread" if known.get("threads") == "1" else "{} threads"
    words = {"threads": threads, "firmware": "firmware {}"}
    said = [words.get(name, "{}").format(known[name]) for name in SOFTWARE if name in known]
    return ", ".join(said) or "unknown software"


_DETAIL = re.compile(r"v?\d.*|cpu", re.IGNORECASE)
"""Of a runtime's name: a version, a number of threads, and the provider that nobody need name."""


def runtime_family(runtime: str) -> str:
    """A runtime without its version and threads: `onnxruntime-1.32-cpu-4t` is `onnxruntime`.

    Another version is still the same kernels, more or less; another runtime, or another provider
    (`onnxruntime-cuda`), ranks networks in its own way.
    """
    parts = [part for part in re.split(r"[\s-]+", runtime.strip()) if part]
    kept = [part for part in parts if not _DETAIL.fullmatch(part)]
    return "-".join(kept or parts[:1])


def kernels_of(text: str) -> tuple[str, str]:
    """Family of the runtime, and the precision, of software as text; "" where unknown."""
    known = parse_software(text)
    return runtime_family(known.get("runtime", "")), known.get("precision", "")
