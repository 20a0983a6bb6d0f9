"""What pruning and int8 bring in each runtime, in one run on this machine.

    python -m benchmarks.runtimes [--model resnet50] [--flops 1.0G] [--channels TEXT_OR_FILE]
        [--runtimes onnxruntime,openvino,ncnn] [--precisions int8] [--seconds 3] [--quick]

For each runtime that is installed and each of its precisions: the dense network, uniform pruning in
any width and in multiples of 8, 16 and 32 to the FLOPs, and the network of --channels (as `hdap
trials --trial N` prints it) where there is one. Every network is timed on one thread between slices
of the dense one in ONNX Runtime float32, by the protocol of `hdap measure`, so that other load
moves both. Printed: milliseconds, the half width of the 95 % interval, and how many times faster
than that reference. What cannot run here is named with the reason. --quick: a tenth of a second a
measurement, to see that all of it runs; its figures are not for quoting. Weights are generated,
int8 is calibrated on random inputs: latency only.
"""

import argparse
import gc
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from hdap.device.measure.estimate import Estimate, baseline
from hdap.device.measure.protocol import Protocol, Stopwatch, marks, measure_one, stopwatch
from hdap.device.messages import DeviceError
from hdap.device.runtimes.instruction_set import instruction_set
from hdap.device.runtimes.registry import RUNTIMES, load_runtime
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.configuration import parse_channels
from hdap.fleet_data.costs import flops, format_flops
from hdap.fleet_data.errors import HdapError
from hdap.networks.loading import load_model
from hdap.networks.runtime_files.base import FilesWanted
from hdap.networks.runtime_files.registry import files_for
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace
from hdap.search.problem.budget import parse_flops
from hdap.search.problem.search_space import SearchSpace
from hdap.search.problem.uniform import uniform_networks

GRIDS = (1, 8, 16, 32)
QUICK = Protocol(runs=5, seconds=0.1, attempts=1, warmup_runs=3, warmup_seconds=0.05)


@dataclass(frozen=True)
class Row:
    """One network in one runtime and precision; `marked` says why it is suspicious."""

    network: str
    label: str
    precision: str
    estimate: Estimate
    marked: str


def main() -> None:
    options = _options()
    architecture = trace(options.model)
    only = architecture.one_input("the benchmark of runtimes")
    networks = dict(_networks(architecture, options.flops, options.channels))
    module = load_model(options.model).module
    protocol = QUICK if options.quick else Protocol(seconds=options.seconds)
    print(f"{options.model}, batch 1, 1 thread, {instruction_set() or 'unknown instruction set'}")
    for name, counts in networks.items():
        print(f"  {name}: {format_flops(int(flops(architecture, counts[None])[0]))} FLOPs")
    with tempfile.TemporaryDirectory() as folder:
        pruned = {name: prune(module, architecture, counts) for name, counts in networks.items()}
        wanted = FilesWanted(Path(folder, "reference"), only)
        written = _written("onnxruntime", wanted, {"dense": pruned["dense"]})
        shape = (1, *only)
        reference = stopwatch(load_runtime(), str(written["dense"]), shape)
        reference.warm_up(protocol)
        rows = []
        for runtime in options.runtimes.split(","):
            for precision in RUNTIMES[runtime].precisions:
                if options.precisions and precision not in options.precisions.split(","):
                    continue
                here = Path(folder, f"{runtime}-{precision}")
                try:
                    wanted = FilesWanted(here, only, precision)
                    for name, file in _written(runtime, wanted, pruned).items():
                        rows.append(
                            _timed(name, file, runtime, precision, shape, reference, protocol)
                        )
                        print(".", end="", flush=True)
                except (DeviceError, HdapError) as reason:
                    print(f"\nnot run: {runtime} {precision}: {reason}")
    _report(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--flops", default="1.0G")
    parser.add_argument("--channels", help="a configuration, or a file that holds it")
    parser.add_argument("--runtimes", default=",".join(RUNTIMES))
    parser.add_argument("--precisions", help="only these, such as int8")
    parser.add_argument("--seconds", type=float, default=3.0, help="a measurement, at least")
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


def _networks(
    architecture: Architecture, budget: str, channels: str | None
) -> Iterator[tuple[str, Counts]]:
    most = parse_flops(budget, int(flops(architecture, architecture.widths[None])[0]))
    yield "dense", architecture.widths
    for network in uniform_networks(SearchSpace.build(architecture), most):
        if network.step in GRIDS:
            yield network.name, network.counts
    if channels is not None:
        path = Path(channels)
        text = path.read_text().strip() if path.is_file() else channels
        yield "given", parse_channels(architecture, [text]).counts[0]


def _written(runtime: str, wanted: FilesWanted, networks: dict[str, nn.Module]) -> dict[str, Path]:
    """The file of each network."""
    load_runtime(runtime, precision=wanted.precision)  # what is missing is said before the work
    wanted.folder.mkdir()
    files = files_for(runtime, wanted)
    for name, network in networks.items():
        files.add(network, name)
    files.finish()
    return {name: files.file(name) for name in networks}


def _timed(
    name: str,
    file: Path,
    runtime: str,
    precision: str,
    shape: tuple[int, ...],
    reference: Stopwatch,
    protocol: Protocol,
) -> Row:
    opened = load_runtime(runtime, precision=precision)
    candidate = stopwatch(opened, str(file), shape)
    gc.collect()
    gc.disable()
    try:
        estimate, _ = measure_one(candidate, reference, protocol)
    finally:
        gc.enable()
    return Row(name, opened.label, precision, estimate, marks(estimate, candidate, protocol))


def _report(rows: list[Row]) -> None:
    if not rows:
        raise SystemExit("no runtime could run; see above")
    quiet_ms = baseline([1000 * row.estimate.reference_quiet_s for row in rows])
    print(f"\nreference: dense, ONNX Runtime float32, {quiet_ms:.1f} ms")
    print(f"{'runtime':28} {'precision':9} {'network':10} {'ms':>7} {'+-':>6} {'faster':>7}")
    for row in rows:
        ratio = row.estimate.ratio
        print(
            f"{row.label:28} {row.precision:9} {row.network:10} {quiet_ms * ratio.value:7.2f} "
            f"{100 * ratio.width / 2:5.1f}% {1 / ratio.value:6.2f}x  {row.marked}"
        )


if __name__ == "__main__":
    main()
