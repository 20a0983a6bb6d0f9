"""What pictures and reports look at: one database, and one study of it if there is any."""

from dataclasses import dataclass
from functools import cached_property

from hdap.fleet_data.errors import NotEnoughDataError, NotFoundError
from hdap.fleet_data.records import (
    ClusteringRecord,
    EpochRecord,
    Floats,
    HeldOutRecord,
    LearningRecord,
    LevelPlanRecord,
    Measurements,
    ModelCounts,
    PortfolioRecord,
    StudyRecord,
    SurrogateRecord,
    TrialBatch,
    VerificationRecord,
)
from hdap.fleet_data.store import Store
from hdap.search.analysis.answer import Answer, answer
from hdap.search.analysis.arms import Arm
from hdap.search.problem.search_problem import SearchProblem
from hdap.surrogate.models.base import FleetSurrogate
from hdap.surrogate.models.registry import load_surrogate
from hdap.workflows.build_problem import measured_dense, stored_problem
from hdap.workflows.detect_drift import Finding, findings
from hdap.workflows.precision_arms import predicted_arms


@dataclass(frozen=True, eq=False)
class PictureSource:
    """Everything is read once and when it is first asked for.

    `study` is None where nothing was searched, `model` where nothing was measured and `clustering`
    where nothing was clustered. What a property cannot give it refuses with NotEnoughDataError,
    which says what to do first.
    """

    store: Store
    study: StudyRecord | None
    model: str | None
    clustering: ClusteringRecord | None
    simulated: bool

    @classmethod
    def of(
        cls, store: Store, study: str | None = None, model: str | None = None
    ) -> "PictureSource":
        """The named study, else the newest one (of `model`), else the database without a study.

        Raises NotFoundError for a study or a model that is not there.
        """
        found = _study(store, study, model)
        name = found.model if found else (model or _busiest(store))
        if model is not None and model not in store.measured_models():
            raise NotFoundError(
                f"the model must be one that was measured, but got {model=}; there are: "
                f"{', '.join(store.measured_models()) or 'none'}"
            )
        try:
            clustering = store.clustering(found.clustering_id if found else None)
        except NotFoundError:
            clustering = None
        return cls(store, found, name, clustering, store.has_simulated())

    @property
    def fleet(self) -> ClusteringRecord:
        """The clustering, which pictures of devices cannot do without."""
        if self.model is None:
            raise _nothing_measured()
        if self.clustering is None:
            raise NotEnoughDataError(
                "the fleet must be clustered to be shown, but it is not: hdap cluster"
            )
        return self.clustering

    @property
    def searched(self) -> StudyRecord:
        """The study, which pictures of a search cannot do without."""
        if self.study is None:
            raise NotEnoughDataError(
                "there must be a study to show, but nothing was searched yet: "
                f"hdap search --model {self.model or 'MODEL'} --flops 25%"
            )
        return self.study

    @property
    def kind(self) -> str:
        """Kind of the surrogates that the study, or a search by default, rests on."""
        return "fleet" if self.study is None else str(self.study.settings["surrogate"])

    @cached_property
    def trials(self) -> TrialBatch:
        """All trials of the study, at least one."""
        study = self.searched
        trials = self.store.trials(study.id)
        if not len(trials):
            raise NotEnoughDataError(
                f"study {study.name} must have trials to be shown, but has none yet: "
                f"hdap search --resume {study.name}"
            )
        return trials

    @cached_property
    def problem(self) -> SearchProblem:
        """What the study minimises, with the surrogates it began with."""
        return stored_problem(self.store, self.searched)[0]

    @cached_property
    def dense_ms(self) -> Floats:
        """The dense model on each of K clusters, as measured (NaN: never)."""
        return measured_dense(self.store, self.searched)

    @cached_property
    def answer(self) -> Answer:
        """What the study found, beside dense and uniform."""
        return answer(self.problem, self.trials, self.dense_ms)

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        """The answer and dense in each precision; none where no runtime has two."""
        return predicted_arms(self.store, self.fleet, self.problem, self.dense_ms, self.answer)

    @cached_property
    def counts(self) -> tuple[ModelCounts, ...]:
        """How much was measured of each model."""
        return self.store.model_counts()

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What changed since the fleet was clustered; nothing where it was not."""
        if self.clustering is None:
            return ()
        return findings(self.store, self.clustering, tuple(c.model for c in self.counts))

    @cached_property
    def measurements(self) -> Measurements:
        """Every measurement of the fleet, at least one."""
        found = self.store.measurements()
        if not len(found):
            raise _nothing_measured()
        return found

    @cached_property
    def surrogates(self) -> tuple[SurrogateRecord, ...]:
        """The stored surrogates of the model, cluster by cluster."""
        fleet, model = self.fleet, str(self.model)
        records = self.store.surrogates(model, fleet.id, self.kind)
        if not records:
            raise NotEnoughDataError(
                f"surrogates of {model} must be fitted to be shown, but are not: "
                f"hdap fit --model {model}"
            )
        return records

    @cached_property
    def surrogate(self) -> FleetSurrogate:
        """The stored latency functions."""
        records = self.surrogates
        architecture = self.store.architecture(records[0].model)
        return load_surrogate(self.kind, architecture, tuple(r.payload for r in records))

    @cached_property
    def held_out(self) -> tuple[HeldOutRecord, ...]:
        """What the surrogates said of configurations that they had not seen, at least one."""
        fitted = self.surrogates[0]
        found = self.store.held_out(fitted.model, fitted.clustering_id, fitted.kind)
        if not found:
            raise NotEnoughDataError(
                f"surrogates of {fitted.model} must have kept what they said of held-out "
                "configurations, but those of an earlier release have not: "
                f"hdap fit --model {fitted.model}"
            )
        return found

    @cached_property
    def learning_curve(self) -> tuple[LearningRecord, ...]:
        """Held-out error by measurements learned from, at least one."""
        fitted = self.held_out[0]
        found = self.store.learning_curve(fitted.model, fitted.clustering_id, fitted.kind)
        if not found:
            raise NotEnoughDataError(
                "a learning curve needs more measured networks than there are: hdap plan"
            )
        return found

    @cached_property
    def verifications(self) -> tuple[VerificationRecord, ...]:
        """What was verified of the study, at least one cluster."""
        found = self.store.verifications(self.searched.id)
        if not found:
            raise NotEnoughDataError(
                "a trial must be verified to be shown, but none is: hdap verify --study "
                f"{self.searched.name} --trial N --out proof"
            )
        return found

    @cached_property
    def epochs(self) -> tuple[EpochRecord, ...]:
        """Every epoch of every training, at least one."""
        found = self.store.epochs()
        if not found:
            raise NotEnoughDataError(
                "a network must be trained to be shown, but none was: hdap finetune CHECKPOINT"
            )
        return found

    @cached_property
    def level_plan(self) -> LevelPlanRecord:
        """The model's newest plan of elastic levels."""
        try:
            return self.store.level_plan(self.model or "")
        except NotFoundError:
            raise NotEnoughDataError(
                f"levels of {self.model or 'a model'} must be planned to be shown, but are not: "
                f"hdap elastic plan --model {self.model or 'MODEL'} --target-latency 30ms"
            ) from None

    @cached_property
    def portfolio(self) -> PortfolioRecord:
        """The newest portfolio."""
        try:
            return self.store.portfolio()
        except NotFoundError:
            raise NotEnoughDataError(
                "a portfolio must be built to be shown, but none was: hdap portfolio build"
            ) from None


def _nothing_measured() -> NotEnoughDataError:
    return NotEnoughDataError(
        "the database must hold measurements, but has none: hdap ingest telemetry.csv"
    )


def _study(store: Store, study: str | None, model: str | None) -> StudyRecord | None:
    if study is not None:
        return store.study(study)
    mine = [s for s in store.studies() if model in (None, s.model)]
    return mine[-1] if mine else None


def _busiest(store: Store) -> str | None:
    """The model with the most rows of pruned networks."""
    counts = store.model_counts()
    return (
        max(counts, key=lambda c: c.measurements - c.dense_measurements).model if counts else None
    )
