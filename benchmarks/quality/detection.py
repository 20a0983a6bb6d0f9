"""A detector all the way: trained, searched on a simulated fleet, pruned, tuned, exported, judged.

    python -m benchmarks.quality.detection [--network detector|ssdlite] [--work build/detection]
        [--epochs 10] [--tuning 6] [--flops 50%] [--images 1024] [--judged 256] [--learn-only]

The network is one of hdap.examples.detection and learns the drawn shapes of the same module. What
follows are the commands of docs/detection.md: a fleet is simulated and searched, the network pruned
to what was found and tuned by its own loss, and the ONNX file written. Precision is COCO's on the
validation part: of the dense network, right after pruning (batch norms set anew), after tuning, and
of the ONNX file, whose boxes and scores are compared with torch's. Latencies are predicted, from
simulated measurements.

Takes minutes on one core; a step of `ssdlite` takes several times as long, so give it --epochs 4
--tuning 1 --judged 128. Stopped, it goes on where it was when started again with the same --work.
--learn-only trains and judges the dense network and needs no tracing. Writes detection.json
(figures, settings, command, machine).
"""

import argparse
import json
import math
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnxruntime
import safetensors.torch
import torch
from torch import Tensor, nn

from benchmarks.proof.whole_loop import machine
from hdap.examples import detection
from hdap.examples.average_precision import MeanPrecision
from hdap.networks.checkpoint import load_pruned
from hdap.networks.forward_pass import in_eval_mode
from hdap.networks.loading import load_model
from hdap.networks.prune_plan import WeightsSource
from hdap.networks.pruned_network import load_seeded
from hdap.requests.recipe import Recipe
from hdap.training.batching import any_batches, chunks
from hdap.training.datasets import Data, part
from hdap.training.load_data import load_data
from hdap.training.own_task import load_task
from hdap.training.training_loop import train

CODE = "hdap.examples.detection"
BATCH = 32


@dataclass(frozen=True)
class Settings:
    """How a network is trained and tuned; `data`, `loss` are names in `CODE`."""

    network: str
    data: str
    loss: str
    batch_size: int
    lr: float
    tuning_lr: float

    @property
    def model(self) -> str:
        """As hdap takes it."""
        return f"{CODE}:{self.network}"


# torchvision's batch norms move by 3 % a step: after fewer than 200 steps ssdlite finds nothing
SETTINGS = {
    "detector": Settings("detector", "shapes", "loss", 16, 3e-3, 1.5e-3),
    "ssdlite": Settings("ssdlite", "shapes320", "ssdlite_loss", 8, 2e-3, 1e-3),
}


def main() -> None:
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    settings, started = SETTINGS[options.network], time.perf_counter()
    dense = options.work / "dense.safetensors"
    if not dense.exists():
        learn(settings, options.epochs, options.images, options.judged, dense)
    network = load_model(settings.model, weights=dense).module
    data = _parts(settings, options.images, options.judged).validation
    figures: dict[str, Any] = {"dense": asdict(judge(network, data))}
    show("dense", figures["dense"])
    if not options.learn_only:
        go_through(settings, options)
        for name in ("pruned", "tuned"):
            network = load_pruned(options.work / name, model=settings.model)
            if name == "pruned":
                task = load_task(f"{CODE}:{settings.loss}", "")
                shown = _parts(settings, options.images, options.judged).train
                task.recalibrate(Recipe(recalibration=20, batch_size=BATCH), network, shown)
            figures[name] = asdict(judge(network, data))
            show(name, figures[name])
        file = options.work / "tuned.onnx"
        figures["onnx"] = asdict(judge(exported := OnnxNetwork(file), data))
        show("onnx", figures["onnx"])
        figures["difference"] = difference(network, exported, data)
        print("largest difference of the ONNX file from torch:", figures["difference"])
    figures["seconds"] = round(time.perf_counter() - started, 1)
    command = shlex.join(["python", "-m", "benchmarks.quality.detection", *sys.argv[1:]])
    told = {"figures": figures, "settings": asdict(settings), "command": command, **machine()}
    (options.work / "detection.json").write_text(json.dumps(told, indent=1) + "\n")
    print(f"written: {options.work / 'detection.json'}, {figures['seconds']} s")


def learn(settings: Settings, epochs: int, images: int, judged: int, out: Path) -> None:
    """Train the dense network from random weights and keep its state dict."""
    network = load_seeded(settings.model, WeightsSource()).module
    recipe = Recipe(
        epochs=epochs,
        batch_size=settings.batch_size,
        optimizer="adamw",
        lr=settings.lr,
        warmup_epochs=min(0.5, epochs / 4),
    )
    task = load_task(f"{CODE}:{settings.loss}", f"{CODE}:map50")
    train(
        network,
        _parts(settings, images, judged),
        recipe,
        task=task,
        on_epoch=lambda epoch, _: print(
            f"epoch {epoch.number} of {epochs}: loss {epoch.train_loss:.3f}, on validation images "
            f"{epoch.validation_loss:.3f}, map50 {epoch.accuracy:.3f}, {epoch.seconds:.0f} s",
            flush=True,
        ),
    )
    safetensors.torch.save_file(network.state_dict(), out)


def go_through(settings: Settings, options: argparse.Namespace) -> None:
    """The commands of the page, in the folder of the work; what is there is not done again."""
    model, code = ("--model", settings.model), f"{CODE}:"
    own = ("--data", code + settings.data, "--loss", code + settings.loss)
    rate = ("--optimizer", "adamw", "--lr", str(settings.tuning_lr))
    size = ("--batch-size", str(settings.batch_size), "--epochs", str(options.tuning))
    fleet = ("--devices", "40", "--rows", "6", "--configurations", "60")
    one_core = os.environ | {"OMP_NUM_THREADS": "1"}
    steps: dict[str, tuple[str, ...]] = {
        "fleet": ("simulate", *model, *fleet, "--out", "fleet"),
        "traced": ("model", settings.model, "--db", "hdap.db"),
        "ingested": ("ingest", "fleet/telemetry.csv.gz", "--db", "hdap.db"),
        "searched": (
            *("search", *model, "--weights", "dense.safetensors", "--flops", options.flops),
            *("--study", "small", "--db", "hdap.db"),
        ),
        "pruned": (
            *("prune", "--study", "small", "--weights", "dense.safetensors"),
            *("--out", "pruned", "--db", "hdap.db"),
        ),
        "tuned": (
            *("finetune", "pruned", *model, *own, "--metric", f"{code}map50", *rate, *size),
            *("--out", "tuned", "--db", "hdap.db"),
        ),
        "tuned.onnx": ("export", "tuned", *model, "--format", "onnx", "--out", "tuned.onnx"),
    }
    for name, words in steps.items():
        done = options.work / f".{name}.done"
        if done.exists():
            continue
        print(f"$ {shlex.join(['hdap', *words])}", flush=True)
        command = [sys.executable, "-m", "hdap", *words]
        subprocess.run(command, cwd=options.work, check=True, env=one_core)
        done.touch()


def judge(network: Any, samples: Any) -> MeanPrecision:
    """COCO's precision of anything that gives the detectors' output."""
    batches = list(_batches(samples))
    if isinstance(network, nn.Module):
        with in_eval_mode(network):
            return detection.precision(network, batches)
    return detection.precision(network, batches)


class OnnxNetwork:
    """An ONNX file whose batch size is 1, called as the network is."""

    def __init__(self, file: Path) -> None:
        self._session = onnxruntime.InferenceSession(str(file))

    def __call__(self, images: Tensor) -> Tensor:
        found = [self._session.run(None, {"input": one[None].numpy()})[0] for one in images]
        return torch.cat([torch.from_numpy(one) for one in found])


@torch.no_grad()
def difference(network: nn.Module, other: OnnxNetwork, samples: Any) -> dict[str, float]:
    """The largest, of boxes in pixels and of scores, over validation images."""
    boxes, scores = 0.0, 0.0
    for images, _ in _batches(samples):
        away = (network.eval()(images) - other(images)).abs()
        boxes = max(boxes, float(away[..., :4].max()))
        scores = max(scores, float(away[..., 4:].max()))
    return {"boxes_px": boxes, "scores": scores}


def show(name: str, figures: dict[str, float]) -> None:
    at_50, at_50_95 = figures["at_50"], figures["at_50_95"]
    print(f"{name}: mAP@0.5 {at_50:.3f}, mAP@0.5:0.95 {at_50_95:.3f}", flush=True)
    assert not math.isnan(at_50)


def _parts(settings: Settings, images: int, judged: int) -> Data:
    data = load_data(f"{CODE}:{settings.data}")
    train, validation = (
        part(samples, range(min(count, len(samples))))
        for samples, count in ((data.train, images), (data.validation, judged))
    )
    return Data(train, validation, None)


def _batches(samples: Any) -> Iterable[Any]:
    return any_batches(samples, chunks(range(len(samples)), BATCH))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=sorted(SETTINGS), default="detector")
    parser.add_argument("--work", type=Path, default=Path("build/detection"))
    parser.add_argument("--epochs", type=int, default=10, help="of the dense network")
    parser.add_argument("--tuning", type=int, default=6, help="epochs of the pruned one")
    parser.add_argument("--flops", default="50%", help="budget")
    parser.add_argument("--images", type=int, default=1024, help="to learn from")
    parser.add_argument("--judged", type=int, default=256, help="to judge by")
    parser.add_argument("--learn-only", action="store_true", help="the dense network alone")
    return parser.parse_args()


if __name__ == "__main__":
    main()
