"""What a command searches, trains and verifies, as a run of MLflow."""

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from hdap.fleet_data.callbacks import listening
from hdap.fleet_data.errors import HdapError, InputError, told
from hdap.fleet_data.records import (
    CompressionStepRecord,
    EpochRecord,
    StudyRecord,
    VerificationRecord,
)
from hdap.fleet_data.store import Store
from hdap.networks.checkpoint import FILES, STATE

_HABITS = {
    # a server that is gone must not hold up a training for minutes, as MLflow's seven would
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nobody asked to tell Databricks
}
_LONGEST = 6000
"""Characters of a parameter, MLflow's own limit."""
_AT_ONCE = 100
_SECRET = ("db", "storage")
"""Settings that may hold a password."""
_UNSAID: tuple[Any, ...] = (None, "", (), [], {})
_FAULTS = (MlflowException, OSError)
_NO_METRIC = {"run", "epoch", "step", "study_id", "number", "cluster", "seed", "trial"}
log = logging.getLogger("hdap")


@contextmanager
def logged(uri: str, words: str, settings: Mapping[str, Any], db: str) -> Iterator[None]:
    """Inside, everything that this process stores goes to a run of MLflow as well.

    The experiment is MLFLOW_EXPERIMENT_NAME, or `hdap`. Raises InputError where the run cannot
    begin; what fails later is a warning, for the work is in the database all the same.
    """
    if os.environ.get("RANK", "0") != "0":  # torchrun: the first process logs
        yield
        return
    run = _begin(uri, words, settings)
    state = "FAILED"
    try:
        with listening(run.saved):
            yield
        state = "FINISHED"
    except KeyboardInterrupt:
        state = "KILLED"
        raise
    except Exception as error:
        # a verdict or a search that was stopped ends with a status: the command did not fail
        status = getattr(error, "exit_code", None)
        state = "FAILED" if status is None else "KILLED" if status == 130 else "FINISHED"
        raise
    finally:
        run.end(state, db, settings.get("out"))


class _Run:
    """One run, and one below it for each training of a command that has several."""

    def __init__(self, client: MlflowClient, experiment: str, run: str, *, several: bool) -> None:
        self._client, self._experiment, self._run, self._several = client, experiment, run, several
        self._trainings: dict[str, str] = {}
        self._studies: list[StudyRecord] = []
        self._silent = False

    def saved(self, record: object) -> None:
        """Take in what the store saved."""
        with self._warned():
            if isinstance(record, EpochRecord):
                self._metrics(self._of_training(record), asdict(record), record.epoch)
            elif isinstance(record, CompressionStepRecord):
                self._metrics(self._run, asdict(record), record.step)
            elif isinstance(record, VerificationRecord):
                figures = {f"cluster_{record.cluster}.{k}": v for k, v in asdict(record).items()}
                self._metrics(self._run, figures, record.number)
                self._client.set_tag(self._run, "trial_holds", record.trial_holds)
            elif isinstance(record, StudyRecord):
                self._studies.append(record)

    def end(self, state: str, db: str, out: object) -> None:
        """Add what is known at the end: the best trials, the checkpoint."""
        with self._warned():
            for study in self._studies:
                self._best(study, db)
            if out is not None:
                self._checkpoints(Path(str(out)))
            for run in (*self._trainings.values(), self._run):
                self._client.set_terminated(run, state)

    def _best(self, study: StudyRecord, db: str) -> None:
        self._client.set_tag(self._run, "study", study.name)
        self._client.set_tag(self._run, "study_state", study.state)
        with Store.open(db, create=False, read_only=True) as store:
            wanted = "SELECT * FROM best_trials WHERE study_id = :id"
            found = store.ask(wanted, {"id": study.id})
        for row in found.rows:
            best = dict(zip(found.columns, row, strict=True))
            self._metrics(self._run, best, int(best["number"]))
            self._client.set_tag(self._run, "best_trial", best["number"])
            self._client.log_text(self._run, str(best["channels"]), "channels.json")

    def _checkpoints(self, out: Path) -> None:
        if not out.is_dir():
            return
        for file in sorted(out.rglob("*")):
            if file.name in FILES - {STATE} and file.is_file():
                below = Path("checkpoint") / file.parent.relative_to(out)
                self._client.log_artifact(self._run, str(file), below.as_posix())

    def _of_training(self, record: EpochRecord) -> str:
        if not self._several:
            return self._run
        if record.run not in self._trainings:
            made = self._client.create_run(
                self._experiment, tags={"mlflow.parentRunId": self._run}, run_name=record.run
            )
            self._trainings[record.run] = made.info.run_id
        return self._trainings[record.run]

    def _metrics(self, run: str, figures: Mapping[str, Any], step: int) -> None:
        now = round(time.time() * 1000)
        metrics = [
            Metric(name, float(value), now, step)
            for name, value in figures.items()
            if name.rpartition(".")[2] not in _NO_METRIC
            and isinstance(value, int | float)
            and math.isfinite(value)
        ]
        self._client.log_batch(run, metrics=metrics)

    @contextmanager
    def _warned(self) -> Iterator[None]:
        try:
            yield
        except (*_FAULTS, HdapError) as error:
            if not self._silent:
                log.warning("MLflow has not got everything of this run: %s", told(error))
            self._silent = True


def _begin(uri: str, words: str, settings: Mapping[str, Any]) -> _Run:
    for name, value in _HABITS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    try:
        client = MlflowClient(tracking_uri=uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "hdap")
        known = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name) if known is None else known.experiment_id
        made = client.create_run(experiment, run_name=f"hdap {words}", tags={"command": words})
        run = made.info.run_id
        said = [(k, str(v)) for k, v in settings.items() if k not in _SECRET and v not in _UNSAID]
        params = [Param(name, value[:_LONGEST]) for name, value in said]
        for first in range(0, len(params), _AT_ONCE):
            client.log_batch(run, params=params[first : first + _AT_ONCE])
    except _FAULTS as error:
        raise InputError(
            f"`--mlflow` must be a tracking server or database that answers, {uri} does not "
            f"({told(error)}): correct it, or unset MLFLOW_TRACKING_URI"
        ) from error
    several = words in ("compress", "portfolio train")
    return _Run(client, experiment, run, several=several)
