"""What is to be pruned: a configuration and where it comes from. No torch is loaded here."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.configuration import parse_channels
from hdap.fleet_data.documents import parse_json
from hdap.fleet_data.errors import InfeasibleError, InputError, NotFoundError
from hdap.networks.manifest import Origin
from hdap.search.analysis.pareto_front import best_first

if TYPE_CHECKING:
    from hdap.fleet_data.records import StudyRecord, TrialBatch
    from hdap.fleet_data.store import Store


@dataclass(frozen=True)
class WeightsSource:
    """Where the dense weights come from: a file, timm, or (neither) a seed.

    Raises InputError where both are given.
    """

    file: Path | None = None
    pretrained: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.file is not None and self.pretrained:
            raise InputError("`--weights` and `--pretrained` exclude each other; give one of them")

    @property
    def words(self) -> str:
        """For people."""
        if self.pretrained:
            return "timm pretrained weights"
        return f"random, seed {self.seed}" if self.file is None else f"file {self.file.name}"

    @property
    def random(self) -> bool:
        """Whether nobody trained them."""
        return self.file is None and not self.pretrained


@dataclass(frozen=True, eq=False)
class PrunePlan:
    """`counts` is one configuration of `architecture`.

    `origin` is the trial it is, if it is one, and `weights` those that its study read importance
    from, if it read any.
    """

    architecture: Architecture
    counts: Counts
    origin: Origin | None = None
    weights: WeightsSource | None = None


def plan_from_trial(
    store: "Store", study: str | None, number: int | None, model: str | None = None
) -> PrunePlan:
    """A stored trial; the newest study and its best trial where they are not named.

    Raises `NotFoundError` for a study or trial that is not there, `InfeasibleError` when no trial
    of the study is feasible, `InputError` when the study's model is not `model`.
    """
    record = store.study(study)
    if model is not None and record.model != model:
        raise InputError(
            f"the trial must be one of {model}, but study {record.name} searched {record.model}; "
            "name another study with --study"
        )
    trials = store.trials(record.id)
    row = _best(record, trials) if number is None else _numbered(record, trials, number)
    origin = Origin(
        study=record.name,
        trial=int(trials.number[row]),
        database=store.name,
        clustering=record.clustering_id,
        measurement_mark=store.clustering(record.clustering_id).measurement_mark,
        predicted_fleet_mean_ms=float(trials.fleet_mean_ms[row]),
        predicted_fleet_mean_low_ms=float(trials.fleet_mean_low_ms[row]),
        predicted_fleet_mean_high_ms=float(trials.fleet_mean_high_ms[row]),
    )
    return PrunePlan(store.architecture(record.model), trials.counts[row], origin, _weights(record))


def _weights(record: "StudyRecord") -> WeightsSource | None:
    file = record.settings.get("weights")
    source = WeightsSource(Path(file) if file else None, bool(record.settings.get("pretrained")))
    return None if source.random else source


def _best(record: "StudyRecord", trials: "TrialBatch") -> int:
    rows = best_first(trials)
    if not len(rows):
        raise InfeasibleError(
            f"study {record.name} must have a feasible trial, but none of its {len(trials):,} is; "
            "name one with --trial or search again with a lower --floor"
        )
    return int(rows[0])


def _numbered(record: "StudyRecord", trials: "TrialBatch", number: int) -> int:
    rows = np.flatnonzero(trials.number == number)
    if not len(rows):
        raise NotFoundError(
            f"study {record.name} must have a trial {number}, but it has none of that number; "
            "list them: hdap trials"
        )
    return int(rows[0])


def plan_from_channels(architecture: Architecture, given: str) -> PrunePlan:
    """The configuration in a file or in the text itself.

    `conv1=56;layer1.0.conv1=40`, where line breaks serve as well as semicolons; a file may also
    hold a JSON object of counts by name, alone or under `channels`. Groups that are left out keep
    all channels, so the empty text is the dense network. Raises `InputError` with the rule that is
    broken.
    """
    where, text = _read(given)
    parsed = parse_channels(architecture, [text])
    if parsed.errors[0] is not None:
        raise InputError(
            f"{where} must hold a configuration of {architecture.model}, but {parsed.errors[0]}"
        )
    return PrunePlan(architecture, parsed.counts[0])


def _read(given: str) -> tuple[str, str]:
    # os.path, because Path.is_file raises on a text that is too long for a file's name
    if not given.strip() or ("=" in given and not os.path.isfile(given)):
        return "`--channels`", _one_line(given)
    try:
        text = Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no text"
        raise InputError(
            f"`--channels` must be a file or a text such as conv1=56;layer1.0.conv1=40, but "
            f"{given[:80]!r} is neither ({why})"
        ) from error
    name = Path(given).name
    if text.lstrip().startswith("{"):
        return name, _from_json(name, text)
    return name, _one_line(text)


def _one_line(text: str) -> str:
    return ";".join(line for line in text.splitlines() if line.strip())


def _from_json(name: str, text: str) -> str:
    found = parse_json(text.encode(), name, "correct it, or give the text itself")
    found = found.get("channels", found)
    if not isinstance(found, dict):
        raise InputError(f"{name} must hold counts by width group, but `channels` is no object")
    return ";".join(f"{group}={count}" for group, count in found.items())
