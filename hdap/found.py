"""What a search found, in Python: the trial to ship, and the network itself."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, overload

import optuna
import polars as pl

from hdap.fleet_data.records import StudyRecord, TrialBatch
from hdap.fleet_data.store import Store
from hdap.networks.prune_plan import WeightsSource, plan_from_trial
from hdap.requests.shared_settings import DEFAULT_CRITERION
from hdap.search.analysis.answer import Answer
from hdap.search.analysis.single_cluster_baseline import (
    SingleClusterBaseline,
    single_cluster_baseline,
)
from hdap.search.problem.search_problem import SearchProblem
from hdap.workflows.compare_networks import ClusterAssignment
from hdap.workflows.copy_to_optuna import copy_studies
from hdap.workflows.data_frames import (
    trials_frame,
)
from hdap.workflows.plan_check import SAMPLE, plan_check, write_check
from hdap.workflows.text_cells import TextTable, comparison
from hdap.workflows.verify_trial import (
    Verified,
    read_back,
    trial_in_question,
)
from hdap.workflows.write_plan import require_free

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

say = logging.getLogger("hdap").info


class OpenFleet(Protocol):
    """What a found network asks of its fleet."""

    def store(self) -> Store:
        """The database."""

    def _tell(self, what: str) -> Callable[[int, int | None], None]:
        """Takes how much of `what` is done, and how much there is."""


@dataclass(frozen=True, eq=False, repr=False)
class Found:
    """What a search found: the trial to ship, and all others. Latencies are predicted, in ms.

    `per_cluster` has the networks that parts of the fleet would get, where that was asked for.
    """

    fleet: OpenFleet
    record: StudyRecord
    problem: SearchProblem
    all_trials: TrialBatch
    answer: Answer
    per_cluster: ClusterAssignment | None = None

    def __repr__(self) -> str:
        return (
            f"<hdap.Found study={self.record.name!r} trial={self.trial} "
            f"predicted_ms={self.predicted_ms:.2f}>"
        )

    @property
    def trial(self) -> int:
        """Number of the trial that was found, in its study."""
        return int(self.answer.numbers[0])

    @property
    def channels(self) -> dict[str, int]:
        """Channels that are kept, by width group."""
        names = (group.name for group in self.problem.architecture.groups)
        return dict(zip(names, self.answer.found.counts.tolist(), strict=True))

    @property
    def predicted_ms(self) -> float:
        """The mean over the fleet."""
        return self.answer.found.fleet_mean_ms

    @property
    def predicted_interval_ms(self) -> tuple[float, float]:
        """Ends of its 90 % interval."""
        return self.answer.found.fleet_mean_low_ms, self.answer.found.fleet_mean_high_ms

    @cached_property
    def worth(self) -> SingleClusterBaseline:
        """What it was worth to know the whole fleet; `worth.words` says it in a line."""
        return single_cluster_baseline(self.problem, self.answer.found.counts, self.record.seed)

    def table(self) -> TextTable:
        """Dense, uniformly pruned and found, side by side."""
        title = f"{self.record.model}, study {self.record.name}: predicted unless it says measured"
        return comparison(title, self.answer)

    @overload
    def to_frame(self, kind: Literal["polars"] = "polars") -> pl.DataFrame: ...
    @overload
    def to_frame(self, kind: Literal["pandas"]) -> "pd.DataFrame": ...
    def to_frame(self, kind: str = "polars") -> "pl.DataFrame | pd.DataFrame":
        """One row a trial: figures, then channels by width group."""
        frame = trials_frame(self.problem.architecture, self.all_trials)
        return frame.to_pandas() if kind == "pandas" else frame

    def study(self) -> optuna.Study:
        """A copy of the study as Optuna knows it, in memory: values, channel counts, constraints,
        and what else is known of a trial as user attributes."""
        storage = optuna.storages.InMemoryStorage()
        store, tell = self.fleet.store(), self.fleet._tell("copy")
        copy_studies(store, (self.record,), storage, tell)
        return optuna.load_study(study_name=self.record.name, storage=storage)

    def prune(
        self,
        weights: str | Path | None = None,
        *,
        pretrained: bool = False,
        criterion: str = DEFAULT_CRITERION,
        data: str | None = None,
        out: str | Path | None = None,
        seed: int = 0,
    ) -> "nn.Module":
        """The network itself, in eval mode: exactly these channels, run and counted.

        `weights` is a state dict of the dense network, `pretrained` takes timm's; else those of the
        study, else random ones. `out` also keeps it as a checkpoint, for `hdap.load_pruned`.

        Raises InputError where weights, criterion or data do not work.
        """
        from hdap.networks.checkpoint import save_checkpoint
        from hdap.workflows.prune_network import prune_network, weights_to_prune

        given = WeightsSource(None if weights is None else Path(weights), pretrained, seed)
        plan = plan_from_trial(self.fleet.store(), self.record.name, self.trial)
        made = prune_network(plan, weights_to_prune(given, plan), criterion, data, say)
        if out is not None:
            save_checkpoint(Path(out), made.module, made.manifest)
        return made.module

    def write_check(self, out: str | Path, sample: int = SAMPLE, seed: int = 0) -> list[str]:
        """Write found, uniform and dense into the new folder `out`, to be measured; the devices to
        ask: representatives, and a sample of others."""
        require_free(Path(out))
        asked = trial_in_question(self.fleet.store(), self.record.name, self.trial)
        tell = self.fleet._tell("export")
        check = plan_check(asked, sample, seed, say)
        write_check(asked, Path(out), check, tell)
        return [*check.representatives, *check.sample]

    def verify(self, seed: int = 0) -> Verified:
        """Hold what was promised against what was measured and ingested since: `verdict.holds`.

        Raises NotEnoughDataError where no device measured it.
        """
        store = self.fleet.store()
        return read_back(store, trial_in_question(store, self.record.name, self.trial), seed)
