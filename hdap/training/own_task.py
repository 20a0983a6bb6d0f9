"""`--loss` and `--metric`: what the user's own code minimises and judges by, whatever the task."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hdap.fleet_data.errors import HdapError, InputError
from hdap.networks.factories import find_factory, in_a_line
from hdap.networks.forward_pass import in_eval_mode
from hdap.requests.recipe import Recipe
from hdap.training.batching import any_batches, chunks, shuffled
from hdap.training.datasets import Samples
from hdap.training.distributed import shard, total
from hdap.training.learning_task import CLASSIFICATION, LearningTask
from hdap.training.losses import Losses, Step
from hdap.training.network_quality import Quality, device_of, recalibrate

JUDGING_BATCH = 32
"""Samples at once where a network is judged."""


@dataclass(frozen=True)
class OwnTask(LearningTask):
    """`loss(network, batch)` is a scalar to minimise, and the mean over validation batches judges.

    A batch is what torch's `default_collate` makes of samples, on the network's device. Where
    validation samples are judged no gradient is kept, and the network is in training mode but for
    its layers: what its forward pass gives is what the loss knows, batch norms and dropout do as
    they will do. `metric(network, batches)`, of a network in eval mode, is a share in 0..1 that
    takes accuracy's place, the more the better; without one there is no accuracy (NaN).
    `loss_name` and `metric_name` are what the user calls them.
    """

    loss: Callable[[nn.Module, Any], Tensor]
    loss_name: str
    metric: Callable[[nn.Module, Iterable[Any]], float] | None = None
    metric_name: str = ""

    calls_module = True
    batches = staticmethod(any_batches)

    def losses(self, recipe: Recipe, teacher: nn.Module | None) -> Losses:
        if teacher is not None:
            raise InputError(
                "a teacher's opinion is of classes, so `--loss` learns from none, but got a "
                "teacher; leave --teacher out, or call a teacher in the loss"
            )

        def losses(module: nn.Module, batch: Any, step: Step) -> Iterator[Tensor]:
            loss = self._loss(module, batch)
            if not loss.requires_grad:
                raise InputError(
                    f"`{self.loss_name}` must give a loss with a gradient, but gave one without; "
                    "compute it from the network's output, without no_grad and detach"
                )
            yield loss

        return losses

    def evaluate(self, module: nn.Module, samples: Samples, *, workers: int = 0) -> Quality:
        """Several processes share the validation loss; a metric each computes on all samples."""
        at = device_of(module)
        sums = torch.zeros(2, dtype=torch.float64)
        groups = chunks(shard(range(len(samples))), JUDGING_BATCH)
        found = any_batches(samples, groups, workers=workers, device=at)
        with _layers_in_eval_mode(module), _same_numbers(at):
            for group, batch in zip(groups, found, strict=True):
                loss = self._loss(module, batch)
                sums += torch.tensor([float(loss) * len(group), len(group)])
        loss_sum, count = total(sums, at).tolist()
        return Quality(self._metric(module, samples, workers), loss_sum / count, int(count))

    def recalibrate(self, recipe: Recipe, module: nn.Module, samples: Samples) -> None:
        if recipe.recalibration:
            places = shuffled(samples, recipe.seed, 0)[: recipe.recalibration * recipe.batch_size]
            groups = chunks(places, recipe.batch_size)
            found = any_batches(samples, groups, device=device_of(module))
            recalibrate(module, found, run=self._loss, mode=_layers_in_eval_mode)

    def _loss(self, module: nn.Module, batch: Any) -> Tensor:
        with _in_a_line(self.loss_name, "give a loss for (network, batch)"):
            loss: Any = self.loss(module, batch)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            what = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise InputError(f"`{self.loss_name}` must give a scalar tensor, but gave {what}")
        return loss.reshape(())

    def _metric(self, module: nn.Module, samples: Samples, workers: int) -> float:
        if self.metric is None:
            return math.nan
        at = device_of(module)
        groups = chunks(range(len(samples)), JUDGING_BATCH)
        found = any_batches(samples, groups, workers=workers, device=at)
        with (
            in_eval_mode(module),
            _same_numbers(at),
            _in_a_line(self.metric_name, "give a number for (network, batches)"),
        ):
            share = float(self.metric(module, found))
        if not 0 <= share <= 1:
            raise InputError(
                f"`{self.metric_name}` must give a share in 0..1, the more the better, but gave "
                f"{share}"
            )
        return share


def load_task(loss: str, metric: str) -> LearningTask:
    """That of `--loss` and `--metric`, `package.module:function` both; "" and "": classes.

    Raises `InputError` when one of them cannot be found.
    """
    if not loss:
        return CLASSIFICATION
    judge = find_factory(metric, "`--metric`") if metric else None
    return OwnTask(find_factory(loss, "`--loss`"), loss, judge, metric)


@contextmanager
def _layers_in_eval_mode(module: nn.Module) -> Iterator[None]:
    """Inside, what holds other modules is in training mode and what holds none in eval mode."""
    with in_eval_mode(module):
        for part in module.modules():
            part.training = next(part.children(), None) is not None
        yield


@contextmanager
def _same_numbers(device: torch.device) -> Iterator[None]:
    """Inside, there are no gradients and what is drawn is the same every time."""
    gpus = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus), torch.no_grad():
        torch.manual_seed(0)
        yield


@contextmanager
def _in_a_line(name: str, what: str) -> Iterator[None]:
    """What the user's code raises, as an `InputError` that says what it must do."""
    try:
        yield
    except HdapError:
        raise  # it says by itself what must hold
    except torch.OutOfMemoryError as error:
        raise InputError(
            "a batch must fit in memory, but one does not; lower --batch-size and raise "
            "--accumulation"
        ) from error
    except Exception as error:
        raise InputError(f"`{name}` must {what}, but failed with {in_a_line(error)}") from error
