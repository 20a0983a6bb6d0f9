"""What variants take on this machine: ONNX Runtime, one thread, one image."""

import gc
from collections.abc import Mapping
from pathlib import Path

from hdap.device.measure.estimate import baseline
from hdap.device.measure.protocol import Protocol, measure_one, stopwatch
from hdap.device.messages import DeviceError
from hdap.device.runtimes.registry import load_runtime
from hdap.fleet_data.errors import InputError

PROTOCOL = Protocol(runs=20, seconds=0.3, warmup_seconds=0.1)
"""Shorter than on a device: these figures order variants, they promise nothing to a fleet."""


def measured_here_ms(
    files: Mapping[str, Path], input_shape: tuple[int, ...], seed: int = 0
) -> dict[str, float]:
    """Latency in ms of each ONNX network by name, the last of them being the reference.

    Each is timed between slices of the reference, so that other load on the machine slows both, and
    comes out as its ratio to it times what the reference took when it was quiet.

    Raises InputError for a network that ONNX Runtime does not run.
    """
    *_, last = files
    try:
        runtime, shape = load_runtime(), (1, *input_shape)
        reference = stopwatch(runtime, str(files[last]), shape)
        reference.warm_up(PROTOCOL)
        found = {}
        gc.collect()
        gc.disable()
        for name, file in files.items():
            candidate = stopwatch(runtime, str(file), shape)
            found[name], _ = measure_one(candidate, reference, PROTOCOL, seed)
    except DeviceError as problem:
        raise InputError(str(problem)) from problem
    finally:
        gc.enable()
    quiet_ms = baseline([1000 * one.reference_quiet_s for one in found.values()])
    return {name: quiet_ms * one.ratio.value for name, one in found.items()}
