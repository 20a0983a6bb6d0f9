"""One training of the frontier in a process of its own: a dense network, or an arm's."""

import time
from dataclasses import asdict
from functools import lru_cache

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from benchmarks.quality.frontier_plan import DENSE, SCRATCH, TUNED, Cell, Settings, Work, model_of
from hdap.fleet_data.architecture import Counts
from hdap.networks.prune_plan import WeightsSource
from hdap.networks.pruned_network import load_seeded
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace
from hdap.training.datasets import Data, part
from hdap.training.load_data import load_data
from hdap.training.network_quality import evaluate, recalibrate_by
from hdap.training.training_loop import train

DATA = "hdap.examples.fashion:fashion_plain"
"""Without shift and mirror: trainings are short."""


def run_cell(cell: Cell, settings: Settings, work: Work, threads: int) -> str:
    """Train and leave a JSON of the result (and the weights of a dense network); a line on it."""
    torch.set_num_threads(threads)
    began, processor = time.monotonic(), time.process_time()
    data = photographs(settings.images, settings.judged)
    recipe = settings.recipe(cell.way, cell.seed)
    network = _start(cell, work).to(memory_format=torch.channels_last)
    result: dict[str, object] = {**asdict(cell), "recipe": asdict(recipe), "threads": threads}
    if cell.way == TUNED:
        recalibrate_by(recipe, network, data.train)
        result["untuned"] = evaluate(network, data.validation).accuracy
    last = train(network, data, recipe, device="cpu").last
    if cell.way == DENSE:
        state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        save_file(state, work.weights(cell.network, cell.seed))
    result |= {"accuracy": last.accuracy, "loss": last.validation_loss}
    result |= {"seconds": time.monotonic() - began, "cpu_s": time.process_time() - processor}
    work.write(f"trained/{cell.name}", result)
    return f"{cell.name}: {100 * last.accuracy:.2f} % in {time.monotonic() - began:.0f} s"


@lru_cache(maxsize=1)
def photographs(images: int, judged: int) -> Data:
    """The first so many of Fashion-MNIST's images to learn from, and to judge by."""
    data = load_data(DATA)
    if (images, judged) == (len(data.train), len(data.validation)):
        return data
    return Data(part(data.train, range(images)), part(data.validation, range(judged)), data.classes)


def dense_network(network: str, seed: int, work: Work) -> nn.Module:
    """The trained dense network."""
    module = load_seeded(model_of(network), WeightsSource(seed=seed)).module
    module.load_state_dict(load_file(work.weights(network, seed)))
    return module


def ensured_dense(network: str, seed: int, settings: Settings, work: Work) -> nn.Module:
    """The same, trained first where it is not there."""
    if not work.weights(network, seed).exists():
        print(run_cell(Cell(network, seed), settings, work, 1), flush=True)
    return dense_network(network, seed, work)


def _start(cell: Cell, work: Work) -> nn.Module:
    if cell.arm == DENSE:
        return load_seeded(model_of(cell.network), WeightsSource(seed=cell.seed)).module
    chosen = work.read(f"widths/{cell.network}-{cell.seed}")[f"{cell.point}-{cell.arm}"]
    network = narrowed(cell.network, np.array(chosen["counts"]))
    if cell.way == SCRATCH:
        _forget(network, cell.seed)
    else:
        file = work.weights(cell.network, cell.seed, cell.point, cell.arm)
        network.load_state_dict(load_file(file))
    return network


def narrowed(network: str, counts: Counts) -> nn.Module:
    """The network with so many channels; its weights mean nothing yet."""
    module = load_seeded(model_of(network), WeightsSource()).module
    return prune(module, trace(model_of(network)), counts)


def _forget(network: nn.Module, seed: int) -> None:
    """Weights as of a network that was never trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in network.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
