"""The bundled fleets, and the command that shows them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from hdap.requests.setting import Setting
from hdap.requests.shared_settings import Seed


@dataclass(frozen=True)
class BundledFleet:
    """Measured telemetry in `hdap/data`, of one `model`; `moved` is what its roll-out ends in.

    `flops` and `latency` are what the demo asks for unless told otherwise: about a quarter of the
    dense FLOPs (of the small network half), and a deadline that the slowest devices can just meet.
    """

    about: str
    model: str
    flops: str
    latency: str
    file: str
    moved: str | None = None


MOVED = "firmware=2:100%"
FLEETS = {
    "microfleet": BundledFleet(
        "24 devices, one runtime", "resnet50", "1.0G", "20ms", "microfleet-resnet50.csv.gz"
    ),
    "rollout": BundledFleet(
        "21 devices, four software states",
        "resnet50",
        "1.0G",
        "9.7ms",
        "rollout-resnet50.csv.gz",
        MOVED,
    ),
    "int8": BundledFleet(
        "24 devices, six software states, two of them in int8",
        "resnet50",
        "1.0G",
        "25ms",
        "int8-resnet50.csv.gz",
        MOVED,
    ),
    "int8-mobilenetv2": BundledFleet(
        "24 devices, the same",
        "mobilenetv2_100",
        "150M",
        "5ms",
        "int8-mobilenetv2.csv.gz",
        MOVED,
    ),
}


@dataclass(frozen=True, kw_only=True)
class DemoCommand:
    """Ingest, cluster, fit and search a bundled fleet of emulated devices.

    Two searches: one network at a FLOPs budget, and three that share a deadline. In the fleet of a
    roll-out a third, between them: is that network still the one to ship when all run firmware 2?

    Every latency was measured, on one machine: with ONNX Runtime under 24 CPU quotas and memory
    loads (microfleet), or in several runtimes and precisions. What the search says of new networks
    is predicted from them.
    """

    fleet: Annotated[
        str,
        Setting(
            f"{'; '.join(f'{name} ({fleet.about})' for name, fleet in FLEETS.items())}.",
            choices=tuple(FLEETS),
        ),
    ] = "microfleet"
    flops: Annotated[str | None, Setting("Budget of the search; each fleet has its own.")] = None
    latency: Annotated[
        str | None, Setting("Deadline that three networks share; each fleet has its own.")
    ] = None
    trials: Annotated[int, Setting("Trials of the search.", low=1)] = 2000
    keep: Annotated[
        Path | None, Setting("Write the database here; a temporary file if left out.")
    ] = None
    seed: Seed = 0
