"""Iterative magnitude pruning with rewinding: a dense training, then level after level sparser.

A level takes away the smallest weights that the one before ended with, goes back to the weights
after the first epochs, and trains on from there: Frankle et al., "Linear Mode Connectivity and the
Lottery Ticket Hypothesis", ICML 2020, algorithm 2, as DNNShifter (Eccles et al., 2023) uses it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from torch import Tensor, nn

from hdap.fleet_data.errors import DivergedError
from hdap.networks.checkpoint import STATE, Checkpoint, load_checkpoint, save_checkpoint
from hdap.networks.manifest import NetworkManifest
from hdap.networks.tracing import describe
from hdap.portfolio.magnitude import apply_masks, masks_in, prunable, without_smallest
from hdap.portfolio.sparse_training import (
    REWIND,
    SparseLevelRecord,
    TrainingRecord,
    require_free,
    resumable,
)
from hdap.requests.training_request import SparseTraining
from hdap.training.datasets import Data
from hdap.training.training_loop import best_device
from hdap.training.training_session import TrainingSession, TrainingWatch, require_same_data
from hdap.training.training_state import Epoch, Snapshot, stored_snapshot

WatchLevel = Callable[[int], TrainingWatch]
"""Who is told on the way of a level, by its number; 0 is the dense one."""


def train_levels(
    start: Checkpoint, data: Data, wanted: SparseTraining, watch: WatchLevel, *, force: bool = False
) -> Iterator[SparseLevelRecord]:
    """Train the dense network and every sparse level, one at a time, each kept in `wanted.out`.

    `start` is the dense network before its training, which happens in place.

    Raises:
        DivergedError: a loss is not finite; levels before are kept.
        InputError: data, recipe and network do not fit, or `out` holds anything (with `force`:
            anything but another sparse training) or cannot be written.
    """
    require_free(wanted.out, force)
    record = TrainingRecord(
        model=start.manifest.model,
        weights=start.manifest.weights,
        data=wanted.data,
        recipe=wanted.recipe,
        rate=wanted.rate,
        scope=wanted.scope,
        rewind=wanted.rewind_to,
        asked=wanted.levels,
    )
    record.write(wanted.out)
    return _Levels(start, data, wanted, watch, record).remaining()


def go_on(
    data: Data, wanted: SparseTraining, watch: WatchLevel, *, model: str | None = None
) -> Iterator[SparseLevelRecord]:
    """Go on after the last complete level in `wanted.out`, to the same numbers on the CPU.

    `model` is as for `load_checkpoint`. Raises `InputError` as `resumable`, else as `train_levels`.
    """
    record = resumable(wanted)
    start = load_checkpoint(wanted.out / record.levels[-1].name, model=model)
    require_same_data(start.manifest.tunings[-1], data)
    return _Levels(start, data, wanted, watch, record).remaining()


class _Levels:
    """The levels that are not done, each from what the folder holds of those before."""

    def __init__(
        self,
        start: Checkpoint,
        data: Data,
        wanted: SparseTraining,
        watch: WatchLevel,
        record: TrainingRecord,
    ) -> None:
        self._module: nn.Module = start.module.to(best_device())
        self._manifest: NetworkManifest = replace(start.manifest, tunings=())
        self._data, self._wanted, self._watch, self._record = data, wanted, watch, record
        manifest = start.manifest
        self._names = prunable(
            describe(start.module, manifest.model, manifest.input_shape, manifest.channels)
        )

    def remaining(self) -> Iterator[SparseLevelRecord]:
        for number in range(len(self._record.levels), self._wanted.levels + 1):
            self._record = self._record.with_level(self._level(number))
            self._record.write(self._wanted.out)
            yield self._record.levels[-1]

    def _level(self, number: int) -> SparseLevelRecord:
        wanted, watch = self._wanted, self._watch(number)
        name = f"level-{number:02d}"
        resume, masks = None, dict[str, Tensor]()
        if number:
            masks = without_smallest(self._module, self._names, wanted.rate, wanted.scope)
            resume = self._rewound(masks)
        elif not wanted.rewind_to:
            self._keep_rewind(None)
        own = replace(wanted, out=wanted.out / name, run=f"{wanted.run or wanted.out.name}-{name}")
        session = TrainingSession(self._manifest, self._data, own, watch, force=True)
        session.last_good = f"{wanted.out} holds the {len(self._record.levels)} levels before"

        def keep(epoch: Epoch, snapshot: Callable[[], Snapshot]) -> None:
            if not number and epoch.number == wanted.rewind_to:
                self._keep_rewind(snapshot())

        try:
            history = session.train(
                self._module,
                checkpoint=keep,
                after_step=(lambda module: apply_masks(module, masks)) if masks else None,
                resume=resume,
            )
        except DivergedError as error:
            raise DivergedError(f"{name}: {error}") from error
        session.save(self._module)
        return self._entry(name, history.last, sum(epoch.seconds for epoch in session.epochs))

    def _rewound(self, masks: dict[str, Tensor]) -> Snapshot | None:
        """Put the weights back to the rewind point, masked; the state of training there."""
        folder = self._wanted.out / REWIND
        model = self._manifest.model
        there = load_checkpoint(folder, model=model).module
        state = stored_snapshot(folder, there) if (folder / STATE).is_file() else None
        self._module.load_state_dict(there.state_dict())
        apply_masks(self._module, masks)
        return None if state is None else replace(state, module=self._module.state_dict())

    def _keep_rewind(self, snapshot: Snapshot | None) -> None:
        state = None if snapshot is None else snapshot.encode()
        folder = self._wanted.out / REWIND
        save_checkpoint(folder, self._module, self._manifest, force=True, state=state)

    def _entry(self, name: str, last: Epoch, seconds: float) -> SparseLevelRecord:
        masks = masks_in(self._module, self._names)
        left = sum(int(mask.sum()) for mask in masks.values())
        density = left / sum(mask.numel() for mask in masks.values())
        return SparseLevelRecord(name, density, left, last.accuracy, last.validation_loss, seconds)
