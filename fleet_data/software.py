"""What ran a measurement, as one text: the software columns of the telemetry contract that are
known, as JSON with sorted keys, so that the same software is the same text everywhere."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hdap.fleet_data.telemetry import SOFTWARE


@dataclass(frozen=True)
class RunBy:
    """What runs networks: a runtime, without its version, in one of its precisions, on one of its
    providers with so many threads."""

    runtime: str = "onnxruntime"
    precision: str = "float32"
    provider: str = "cpu"
    threads: int = 1

    @property
    def words(self) -> str:
        """For people: `openvino, int8`; a provider and threads where they are not the usual."""
        provider = [] if self.provider == "cpu" else [self.provider]
        threads = [] if self.threads == 1 else [f"{self.threads} threads"]
        return ", ".join([self.runtime, self.precision, *provider, *threads])

    @property
    def name(self) -> str:
        """As folders are called: `openvino-int8`, `onnxruntime-float32-cuda-4t`."""
        return self.words.replace(" threads", "t").replace(", ", "-")


DEFAULT_RUN_BY = RunBy()
"""Of devices that say nothing."""


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
RENAMED = {"tflite": "litert", "tensorflow-lite": "litert"}
"""What a runtime was called before, and is in the telemetry of many fleets."""
_VERSION = re.compile(r"v?\d+(\.\w+)*(?<!t)")
_THREADS = re.compile(r"\d+t")


def runtime_family(runtime: str) -> str:
    """A runtime without its version and threads: `onnxruntime-1.32-cpu-4t` is `onnxruntime`.

    Another version is still the same kernels, more or less; another runtime, or another provider
    (`onnxruntime-cuda`), ranks networks in its own way.
    """
    parts = _parts(runtime)
    kept = [part for part in parts if not _DETAIL.fullmatch(part)]
    family = "-".join(kept or parts[:1])
    return RENAMED.get(family.lower(), family)


def runtime_and_provider(runtime: str) -> tuple[str, str]:
    """As `RunBy` has them, both "" where nothing is said: `OpenVINO 2026.4 GPU` is `openvino` and
    `gpu`."""
    name, _, provider = runtime_family(runtime).lower().partition("-")
    return name, provider


def _parts(runtime: str) -> list[str]:
    return [part for part in re.split(r"[\s-]+", runtime) if part]


@dataclass(frozen=True)
class _Told:
    """What the text of a runtime says; None where it says nothing."""

    family: str
    version: str | None
    threads: str | None

    @classmethod
    def of(cls, runtime: str) -> "_Told":
        parts = _parts(runtime.lower())
        version = next((p.lstrip("v") for p in parts if _VERSION.fullmatch(p)), None)
        threads = next((p for p in parts if _THREADS.fullmatch(p)), None)
        return cls(runtime_family(runtime).lower(), version, threads)

    def filled(self, others: Iterable["_Told"]) -> "_Told":
        """With what all of the others say of it that contradict it in nothing and one another in
        nothing: `openvino 2026.4` is `openvino-2026.4.1-cpu-1t` where that is the only one."""
        fits = [o for o in others if o.family == self.family and self._agrees(o)]
        versions = {o.version for o in fits if o.version is not None}
        longest = max(versions, key=len, default=None)
        one = longest is not None and all(_begins(longest, v) for v in versions)
        threads = {o.threads for o in fits if o.threads is not None}
        return _Told(
            self.family,
            longest if one else self.version,
            threads.pop() if len(threads) == 1 else self.threads,
        )

    def _agrees(self, other: "_Told") -> bool:
        mine, theirs = self.version, other.version
        versions = mine is None or theirs is None or _begins(mine, theirs) or _begins(theirs, mine)
        return versions and (None in (self.threads, other.threads) or self.threads == other.threads)


def _begins(version: str, start: str) -> bool:
    return f"{version}.".startswith(f"{start}.")


def same_runtimes(texts: Sequence[str]) -> list[int]:
    """Of each text the first that names the same runtime.

    Telemetry and measurements write one runtime in several ways; what one of them leaves out is
    what the other says, unless a third says something else.
    """
    told = [_Told.of(text) for text in texts]
    whole = [one.filled(told) for one in told]
    return [whole.index(one) for one in whole]


def threads_of(text: str) -> int | None:
    """Threads of software as text: its column, else what the runtime's name says (`-4t`)."""
    known = parse_software(text)
    told = known.get("threads") or (_Told.of(known.get("runtime", "")).threads or "")[:-1]
    return int(told) if told.isdecimal() and int(told) else None


def kernels_of(text: str) -> tuple[str, str]:
    """Family of the runtime, and the precision, of software as text; "" where unknown."""
    known = parse_software(text)
    return runtime_family(known.get("runtime", "")), known.get("precision", "")
