"""What the frontier compares, where its parts are kept, and what each part is called."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hdap.fleet_data.atomic_files import replace_file
from hdap.requests.recipe import Recipe

NETWORKS = ("fashion_resnet", "fashion_mobilenetv2")
DENSE, UNIFORM = "dense", "uniform"
TP_MAGNITUDE, TP_GROUP = "tp-magnitude", "tp-group-norm"
HALP, NCS = "halp", "ncs"
OURS, OURS_LOWER, OURS_LATENCY = "hdap", "hdap-lower", "hdap-latency"
ARMS = (UNIFORM, TP_MAGNITUDE, TP_GROUP, HALP, NCS, OURS, OURS_LOWER, OURS_LATENCY)
WORDS = {
    DENSE: "dense",
    UNIFORM: "uniform, best grid",
    TP_MAGNITUDE: "Torch-Pruning, global magnitude",
    TP_GROUP: "Torch-Pruning, global group norm",
    HALP: "HALP's knapsack",
    NCS: "HDAP's NCS, its setting",
    OURS: "hdap, default floor",
    OURS_LOWER: "hdap, 0.9 of the floor",
    OURS_LATENCY: "hdap --latency, most kept",
}
TUNED, SCRATCH = "tuned", "scratch"
WAYS = (TUNED, SCRATCH)
MORE = ("seeds", "arms", "networks", "ways")
DENSE_RECIPE = Recipe(batch_size=256, lr=0.2, weight_decay=5e-4, warmup_epochs=0.3)
"""Of dense networks and of those from scratch: the usual rate of 0.1 at 128 images."""
TUNING_RECIPE = replace(DENSE_RECIPE, lr=0.05, recalibration=20)


@dataclass(frozen=True)
class Settings:
    """How much of everything. A point is a share of the dense FLOPs: what uniform pruning in
    multiples of 8 takes there is the latency that all arms get. 10,000 of the 60,000 training
    images stay unseen, to choose recipes by; the 10,000 of the test part judge."""

    networks: tuple[str, ...] = NETWORKS
    shares: tuple[float, ...] = (0.6, 0.4, 0.25)
    seeds: int = 3
    arms: tuple[str, ...] = ARMS
    ways: tuple[str, ...] = WAYS
    images: int = 50_000
    judged: int = 10_000
    dense_epochs: int = 5
    epochs: int = 2
    learned: int = 60
    trials: int = 1_000
    rounds: int = 4
    seconds: float = 0.25
    proved: int = 5

    def recipe(self, way: str, seed: int) -> Recipe:
        """How a network is trained: `dense`, `tuned` or `scratch`."""
        base = TUNING_RECIPE if way == TUNED else DENSE_RECIPE
        epochs = self.dense_epochs if way == DENSE else self.epochs
        return replace(base, epochs=epochs, seed=seed)


QUICK = Settings(
    shares=(0.4,),
    seeds=1,
    images=2_048,
    judged=1_000,
    dense_epochs=2,
    epochs=1,
    learned=16,
    trials=200,
    rounds=2,
    seconds=0.1,
    proved=2,
)


@dataclass(frozen=True)
class Cell:
    """One training: of the dense network where `arm` is that, else of an arm at a point."""

    network: str
    seed: int
    arm: str = DENSE
    point: int = 0
    way: str = DENSE

    @property
    def name(self) -> str:
        """Of its file."""
        if self.arm == DENSE:
            return f"{self.network}-{self.seed}-dense"
        return f"{self.network}-{self.seed}-{self.point}-{self.arm}-{self.way}"


@dataclass(frozen=True)
class Work:
    """A folder that a run can go on from; every file in it appears whole."""

    folder: Path

    def begin(self, settings: Settings, about: dict[str, Any]) -> None:
        """Note settings and machine; ends the program where the folder is of other settings.

        More seeds, arms or networks are no others: what is there stays.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        known = self.read("settings")
        wanted = json.loads(json.dumps(asdict(settings)))
        if known is not None and any(
            known["settings"][name] != value for name, value in wanted.items() if name not in MORE
        ):
            raise SystemExit(
                f"{self.folder} holds a run with other settings; name another --work, or remove it"
            )
        self.write("settings", {**about, "settings": wanted})

    def read(self, name: str) -> Any:
        """What was written by that name; None where nothing was."""
        file = self.file(name)
        return json.loads(file.read_text()) if file.exists() else None

    def write(self, name: str, content: Any) -> None:
        """JSON by a name such as `tuned/cell`."""
        replace_file(self._place(name, ".json"), json.dumps(content, indent=1).encode())

    def file(self, name: str, suffix: str = ".json") -> Path:
        """Where it is, or would be."""
        return self.folder / f"{name}{suffix}"

    def weights(self, network: str, seed: int, point: int = 0, arm: str = DENSE) -> Path:
        """The weights that an arm begins its tuning with; of the dense network, trained."""
        own = DENSE if arm == DENSE else f"{point}-{arm}"
        return self._place(f"weights/{network}-{seed}-{own}", ".safetensors")

    def _place(self, name: str, suffix: str) -> Path:
        file = self.file(name, suffix)
        file.parent.mkdir(parents=True, exist_ok=True)
        return file


def model_of(network: str) -> str:
    """As `--model` takes it."""
    return f"hdap.examples.networks:{network}"
