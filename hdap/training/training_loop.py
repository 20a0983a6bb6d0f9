"""The training loop that fine-tuning, compression, proxies and elastic networks share."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hdap.fleet_data.errors import DivergedError, InputError
from hdap.requests.recipe import Recipe
from hdap.training.batching import chunks, seeded, shuffled
from hdap.training.datasets import Data, set_epoch
from hdap.training.distributed import Replicas, mean_over_processes, rank, world
from hdap.training.learning_task import CLASSIFICATION, LearningTask
from hdap.training.losses import Losses, Step
from hdap.training.quantisation_aware import rounded_to_int8
from hdap.training.training_state import Epoch, History, Snapshot, TrainingProgress

OnEpoch = Callable[[Epoch, Callable[[], Snapshot]], None]
_Groups = list[dict[str, object]]


def train(
    module: nn.Module,
    data: Data,
    recipe: Recipe,
    *,
    teacher: nn.Module | None = None,
    losses: Losses | None = None,
    task: LearningTask = CLASSIFICATION,
    after_step: Callable[[nn.Module], None] | None = None,
    on_epoch: OnEpoch | None = None,
    on_step: Callable[[TrainingProgress], None] | None = None,
    resume: Snapshot | None = None,
    device: torch.device | str | None = None,
    workers: int = 0,
) -> History:
    """Train `module` in place and leave it in eval mode on `device` (a GPU where there is one).

    A step minimises what `losses` yields; by default that of the `task`, which is
    cross-entropy, mixed with the opinion of `teacher` if there is one. `after_step` may put the
    network right after every step (masks). `on_epoch` gets the epoch that ended and a function
    that makes its snapshot; training goes on from a snapshot with `resume`, on the CPU with
    bit-equal numbers. The seed decides order and everything that is drawn; torch's global
    generators are as before afterwards. Steps that the data does not fill are left out, other
    images in every epoch.

    Raises:
        DivergedError: the loss is not finite; the step before it is the last that was taken.
        InputError: data and network do not fit, or the recipe does not fit the data.
    """
    if teacher is not None and losses is not None:
        raise InputError("a step minimises `losses` or learns from `teacher`, but got both")
    at = torch.device(device or best_device())
    run = _Run(module, data, recipe, task, teacher, losses, at)
    run.workers, run.after_step, run.on_step = workers, after_step, on_step
    if resume is not None:
        run.restore(resume)
    else:
        task.recalibrate(recipe, module, data.train)
    while len(run.epochs) < recipe.epochs:
        epoch = run.epoch(len(run.epochs) + 1)
        run.epochs.append(epoch)
        if on_epoch is not None:
            on_epoch(epoch, run.snapshot)
    return History(tuple(run.epochs))


def best_device() -> torch.device:
    """This process's GPU, or the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


class _Run:
    def __init__(
        self,
        module: nn.Module,
        data: Data,
        recipe: Recipe,
        task: LearningTask,
        teacher: nn.Module | None,
        losses: Losses | None,
        device: torch.device,
    ) -> None:
        self.module, self.data, self.recipe, self.device = module.to(device), data, recipe, device
        self.task = task
        explicit = losses is not None or task.calls_module
        self.replicas = Replicas(module, explicit=explicit)
        if teacher is not None:
            teacher = teacher.to(device).eval()
        self.losses = losses or task.losses(recipe, teacher)
        self.optimizer = make_optimizer(module, recipe)
        amp = recipe.amp and device.type == "cuda"
        self.amp_type = torch.bfloat16 if amp and torch.cuda.is_bf16_supported() else torch.float16
        self.amp = amp
        self.scaler = torch.amp.GradScaler(
            device.type, enabled=amp and self.amp_type == torch.float16
        )
        self.epochs: list[Epoch] = []
        self.workers = 0
        self.after_step: Callable[[nn.Module], None] | None = None
        self.on_step: Callable[[TrainingProgress], None] | None = None
        self.micro, self.steps = _step_sizes(recipe, len(data.train))

    def restore(self, snapshot: Snapshot) -> None:
        try:
            self.module.load_state_dict(snapshot.module)
            self.optimizer.load_state_dict(dict(snapshot.optimizer))
            self.scaler.load_state_dict(dict(snapshot.scaler))
        except (RuntimeError, ValueError, KeyError) as error:
            first = str(error).partition("\n")[0]
            raise InputError(
                f"a run goes on with the network and the recipe it began with, but {first}"
            ) from error
        self.epochs = list(snapshot.epochs)

    def snapshot(self) -> Snapshot:
        return Snapshot(
            self.module.state_dict(),
            self.optimizer.state_dict(),
            self.scaler.state_dict(),
            tuple(self.epochs),
        )

    def epoch(self, number: int) -> Epoch:
        set_epoch(self.data.train, number)
        self.module.train()
        started = time.perf_counter()
        rounding = rounded_to_int8(self.module) if self.recipe.qat else nullcontext()
        with _own_generators(self.recipe.seed, number, self.device), rounding:
            loss, lr = self._steps_of(number, started)
        seconds = time.perf_counter() - started
        self.replicas.settle()
        self.module.eval()
        judged = self.task.evaluate(self.module, self.data.validation, workers=self.workers)
        if not math.isfinite(judged.loss):
            raise DivergedError(
                f"the loss must be finite, but on validation images it is {judged.loss} after "
                f"epoch {number}; lower --lr or begin with --warmup-epochs"
            )
        images = self.steps * self.micro * self.recipe.accumulation
        return Epoch(number, loss, judged.loss, judged.accuracy, lr, images / seconds, seconds)

    def _steps_of(self, number: int, started: float) -> tuple[float, float]:
        recipe, rng = self.recipe, seeded(self.recipe.seed, number)
        micro_batches = self._micro_batches(number)
        summed, lr = 0.0, 0.0
        before = self.epochs[-1].accuracy if self.epochs else math.nan
        for done in range(1, self.steps + 1):
            step = Step(number, (number - 1) * self.steps + done - 1, rng)
            lr = recipe.lr_at(step.number, self.steps)
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            loss = self._step(step, micro_batches)
            if not math.isfinite(loss):
                raise DivergedError(
                    f"the loss must be finite, but is {loss} at step {done} of {self.steps} of "
                    f"epoch {number}; lower --lr or begin with --warmup-epochs"
                )
            summed += loss
            if self.on_step is not None:
                seen = done * self.micro * recipe.accumulation
                rate = seen / (time.perf_counter() - started)
                total = self.steps * recipe.epochs
                self.on_step(
                    TrainingProgress(number, step.number + 1, total, summed / done, before, rate)
                )
        return summed / self.steps, lr

    def _micro_batches(self, number: int) -> Iterator[Any]:
        order = shuffled(self.data.train, self.recipe.seed, number)
        count = self.steps * self.recipe.accumulation
        groups = [group[rank() :: world()] for group in chunks(order, self.micro)[:count]]
        return self.task.batches(
            self.data.train,
            groups,
            workers=self.workers,
            device=self.device,
            seed=self.recipe.seed + number,
        )

    def _step(self, step: Step, micro_batches: Iterator[Any]) -> float:
        """One optimiser step; its loss, or what is not finite before any weight moved."""
        count = self.recipe.accumulation
        self.optimizer.zero_grad(set_to_none=True)
        summed = torch.zeros((), device=self.device)
        for place in range(count):
            batch = next(micro_batches)
            with self.replicas.micro_batch(last=place == count - 1):
                summed += self._differentiate(batch, step)
        loss = float(mean_over_processes(summed / count))
        if math.isfinite(loss):
            self._move()
        return loss

    def _differentiate(self, batch: Any, step: Step) -> Tensor:
        total: Tensor | None = None
        yielded = self.losses(self.replicas.network, batch, step)
        while True:
            with torch.autocast(self.device.type, dtype=self.amp_type, enabled=self.amp):
                loss = next(yielded, None)
            if loss is None:
                break
            scaled = self.scaler.scale(loss / self.recipe.accumulation)
            scaled.backward()  # type: ignore[no-untyped-call]
            total = loss.detach() if total is None else total + loss.detach()
        if total is None:
            raise InputError("`losses` must yield a loss for every batch, but yielded none")
        return total

    def _move(self) -> None:
        self.replicas.average_gradients()
        if self.recipe.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.after_step is not None:
            with torch.no_grad():
                self.after_step(self.module)


def _step_sizes(recipe: Recipe, samples: int) -> tuple[int, int]:
    """Images of a micro-batch over all processes, and steps of an epoch."""
    if recipe.batch_size % world():
        raise InputError(
            f"`--batch-size` must be a multiple of the {world()} processes that share it, but got "
            f"{recipe.batch_size}"
        )
    micro = min(recipe.batch_size, samples // recipe.accumulation // world() * world())
    if not micro:
        raise InputError(
            f"a step needs a sample for each of {recipe.accumulation} micro-batches in {world()} "
            f"processes, but the training part has {samples}; lower --accumulation"
        )
    return micro, samples // (micro * recipe.accumulation)


@contextmanager
def _own_generators(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's global generators follow from seed, epoch and process (dropout, samples)."""
    gpus: Sequence[int] = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(seeded(seed, epoch).initial_seed() * 1_009 + rank())
        yield


def make_optimizer(module: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser over the parameters of `module` that are trained.

    Scales and biases (one-dimensional parameters) do not decay: decay would only rescale what batch
    norm normalises (He et al., "Bag of Tricks", CVPR 2019, 3.1).
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    groups: _Groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return OPTIMIZER_KINDS[recipe.optimizer]([g for g in groups if g["params"]], recipe)


def _sgd(groups: _Groups, recipe: Recipe) -> Optimizer:
    """Stochastic gradient descent with Nesterov's momentum."""
    return torch.optim.SGD(
        groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0
    )


def _adamw(groups: _Groups, recipe: Recipe) -> Optimizer:
    """Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019."""
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=(recipe.momentum, 0.999))


OPTIMIZER_KINDS: Mapping[str, Callable[[_Groups, Recipe], Optimizer]] = {
    "sgd": _sgd,
    "adamw": _adamw,
}
