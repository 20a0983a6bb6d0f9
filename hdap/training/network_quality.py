"""How good a network is on data, and batch norms that fit what flows through them."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hdap.fleet_data.errors import InputError
from hdap.networks.forward_pass import in_eval_mode, one_tensor
from hdap.requests.recipe import Recipe
from hdap.training.batching import batches, chunks, shuffled
from hdap.training.datasets import Samples
from hdap.training.distributed import shard, total

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Quality:
    """`accuracy` is the share of images whose class is the most likely one; `loss` the mean
    cross-entropy in nats; NaN and infinity say that the network's numbers ran away.

    With a task of the user's own it is the mean of that loss, and accuracy is its metric, NaN
    where there is none."""

    accuracy: float
    loss: float
    images: int


def evaluate(
    module: nn.Module,
    samples: Samples,
    *,
    batch_size: int = EVALUATION_BATCH,
    workers: int = 0,
) -> Quality:
    """Judge a network in eval mode; it is left in the mode that it was in.

    It runs where its parameters are. Several processes share the work and all get the same answer.
    Raises `InputError` when the network does not take the
    images or has fewer outputs than there are classes.
    """
    at = device_of(module)
    sums = torch.zeros(3, dtype=torch.float64)
    was = module.training
    module.eval()
    try:
        with torch.inference_mode():
            places = shard(range(len(samples)))
            groups = chunks(places, batch_size)
            for images, labels in batches(samples, groups, workers=workers, device=at):
                logits = forward(module, images, labels).float()
                loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
                right = (logits.argmax(1) == labels).sum()
                sums += torch.tensor([float(right), float(loss), len(labels)])
    finally:
        module.train(was)
    right, loss_sum, count = total(sums, at).tolist()
    return Quality(right / count, loss_sum / count, int(count))


def forward(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Logits `n x classes`.

    Raises `InputError` where network, images and labels do not fit, `UnsupportedModelError` where
    the network gives other than one tensor.
    """
    try:
        output: Any = module(images)
    except (RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise InputError(
                f"a batch must fit in memory, but {len(images)} images do not; "
                "lower --batch-size and raise --accumulation"
            ) from error
        first = str(error).strip().partition("\n")[0]
        raise InputError(
            f"the network must take images of {tuple(images.shape[1:])}, but failed with "
            f"{type(error).__name__}: {first}"
        ) from error
    logits = one_tensor(output, "what learns classes, or is judged by them,")
    if logits.dim() != 2:
        raise InputError(
            f"the network must give logits n x classes, but gave {tuple(logits.shape)}; wrap it in "
            "a factory that does"
        )
    largest = int(labels.max()) if len(labels) else 0
    if largest >= logits.shape[1] or (len(labels) and int(labels.min()) < 0):
        raise InputError(
            f"labels must be in 0..{logits.shape[1] - 1}, the network's outputs, but one is "
            f"{largest if largest >= logits.shape[1] else int(labels.min())}; a network with "
            "other classes needs a head of its own"
        )
    return logits


def recalibrate(
    module: nn.Module,
    images: Iterable[Any],
    *,
    run: Callable[[nn.Module, Any], object] = lambda module, images: module(images),
    mode: Callable[[nn.Module], AbstractContextManager[None]] = in_eval_mode,
) -> None:
    """Set the running statistics of all batch norms anew, as the mean over batches of images.

    After pruning they describe the wider network. Everything else stays, in eval mode and as it is
    (Yu & Huang, "Universally Slimmable Networks", ICCV 2019, 3.3). A network without batch norms is
    left alone. Batches of another kind are `run` through it, in a `mode` of its own. Raises
    `InputError` when there are no images.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    seen = False
    try:
        with mode(module), torch.no_grad():
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # cumulative average
                norm.train()
            for batch in images:
                run(module, batch)
                seen = True
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    if not seen:
        raise InputError("recalibration needs at least one batch of images, but got none")


def recalibrate_on(
    module: nn.Module,
    samples: Samples,
    *,
    count: int = 20,
    batch_size: int = 128,
    seed: int = 0,
) -> None:
    """`recalibrate` on `count` batches of samples that a seed chooses."""
    places = shuffled(samples, seed, 0)[: count * batch_size]
    found = batches(samples, chunks(places, batch_size), device=device_of(module))
    recalibrate(module, (images for images, _ in found))


def recalibrate_by(recipe: Recipe, module: nn.Module, samples: Samples) -> None:
    """`recalibrate_on` as a recipe says, which may be not at all."""
    if recipe.recalibration:
        recalibrate_on(
            module,
            samples,
            count=recipe.recalibration,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
        )


def device_of(module: nn.Module) -> torch.device:
    """Where a network's parameters are."""
    return next(module.parameters()).device
