"""How fast any network of so many FLOPs could be on this machine: a bound from its kernels.

ONNX Runtime's profile gives the time of every layer. A network whose every layer ran at the best
rate that any layer of the measured networks reached, and that spent no time on anything else,
would take its multiply-accumulates over that rate. Targets beyond it cannot be reached by choosing
widths.
"""

import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

RUNS = 30
LEAST_SHARE = 0.005
"""Layers below this share of their network's multiply-accumulates are too short to be timed."""


@dataclass(frozen=True)
class Layers:
    """Of one network: `macs` of its layers and the `seconds` each took (0 macs: not a layer)."""

    macs: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def total_s(self) -> float:
        """All kernels one after the other."""
        return math.fsum(self.seconds)

    @property
    def best_rate(self) -> float:
        """Multiply-accumulates a second of the fastest layer."""
        least = LEAST_SHARE * sum(self.macs)
        return max(m / s for m, s in zip(self.macs, self.seconds, strict=True) if m > least)


def layers_of(file: Path) -> Layers:
    """Time the layers of an ONNX file: the lower quartile of each over `RUNS` inferences."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = f"{folder}/profile"
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        entry = session.get_inputs()[0]
        values = np.random.default_rng(0).standard_normal(entry.shape).astype(np.float32)
        for _ in range(RUNS):
            session.run(None, {entry.name: values})
        events = json.loads(Path(session.end_profiling()).read_text())
    return _layers(e for e in events if str(e.get("name", "")).endswith("_kernel_time"))


def fastest_s(networks: Iterable[Layers], macs: int) -> float:
    """Seconds of a network of so many multiply-accumulates at the best rate of any layer."""
    return macs / max(network.best_rate for network in networks)


def _layers(events: Iterable[dict[str, Any]]) -> Layers:
    micros: dict[str, list[float]] = defaultdict(list)
    macs: dict[str, int] = {}
    for event in events:
        micros[event["name"]].append(event["dur"])
        macs[event["name"]] = _macs(event["args"])
    seconds = [1e-6 * max(float(np.quantile(times, 0.25)), 0.5) for times in micros.values()]
    return Layers(tuple(macs.values()), tuple(seconds))


def _macs(args: dict[str, Any]) -> int:
    """Multiply-accumulates of a kernel call: outputs times the inputs that each is made of."""
    if args["op_name"] not in ("Conv", "FusedConv", "Gemm", "FusedGemm"):
        return 0
    shapes = [next(iter(shape.values())) for shape in args["input_type_shape"]]
    output = next(iter(args["output_type_shape"][0].values()))
    each = math.prod(shapes[1][1:]) if len(shapes[1]) == 4 else shapes[0][-1]
    return int(math.prod(output) * each)
