"""What variants take on this machine: ONNX Runtime, one thread, one image."""

import gc
from collections.abc import Mapping
from pathlib import Path

from hdap.device.measuring import (
    BundleManifest,
    Engine,
    Entry,
    MeasureError,
    Protocol,
    Stopwatch,
    baseline,
    measure_one,
)
from hdap.fleet_data.errors import InputError

PROTOCOL = Protocol(runs=20, seconds=0.3, warmup_seconds=0.1)
"""Shorter than on a device: these figures order variants, they promise nothing to a fleet."""


def measured_here_ms(
    files: Mapping[str, Path], input_shape: tuple[int, int, int], seed: int = 0
) -> dict[str, float]:
    """Latency in ms of each ONNX network by name, the last of them being the reference.

    Each is timed between slices of the reference, so that other load on the machine slows both, and
    comes out as its ratio to it times what the reference took when it was quiet.

    Raises InputError for a network that ONNX Runtime does not run.
    """
    *_, last = files
    try:
        engine = Engine.load("cpu", 1)
        reference = _stopwatch(engine, files[last], input_shape)
        reference.warm_up(PROTOCOL)
        found = {}
        gc.collect()
        gc.disable()
        for name, file in files.items():
            candidate = _stopwatch(engine, file, input_shape)
            found[name], _ = measure_one(candidate, reference, PROTOCOL, seed)
    except MeasureError as problem:
        raise InputError(str(problem)) from problem
    finally:
        gc.enable()
    quiet_ms = baseline([1000 * one.reference_quiet_s for one in found.values()])
    return {name: quiet_ms * one.ratio.value for name, one in found.items()}


def _stopwatch(engine: Engine, file: Path, shape: tuple[int, int, int]) -> Stopwatch:
    bundle = BundleManifest(str(file.parent), "", "", (1, *shape), (), (), {})
    return engine.stopwatch(bundle, Entry(file.name, "", "", "anchor"))
