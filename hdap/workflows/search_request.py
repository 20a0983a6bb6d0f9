"""What a person asks of a search, as it is stored with the study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hdap.fleet_data.records import StudyRecord
from hdap.search.problem.budget import DEFAULT_TOLERANCE
from hdap.search.problem.proxies import DEFAULT_PROXY
from hdap.search.problem.search_problem import DEFAULT_RISK

IMPORTANCE = "importance"
"""Setting of a stored study that names where its channel importance came from."""


@dataclass(frozen=True)
class SearchRequest:
    """What a person asks of a search; stored with the study so that it can be resumed.

    With `latency` the most importance is kept within it (as `objective` measures it), and `flops`
    is but a cap. `step` 0 takes the grid that the measurements show to pay; `floor` and `min_width`
    None take the defaults of `SearchProblem` and `SearchSpace`. `limits` bounds the counts of
    groups by name, from below and above: a compression in steps narrows from where it is, and not
    too fast. With `data` every trial is judged on it before any tuning, and accuracy is an
    objective, or with `min_accuracy` a constraint. `proxy` makes kept importance of the shares that
    groups keep.
    """

    model: str
    flops: str | None = None
    tolerance: float = DEFAULT_TOLERANCE
    objective: str = "mean"
    floor: float | None = None
    risk: float = DEFAULT_RISK
    step: int = 0
    min_width: int | None = None
    fixed: Mapping[str, int] = field(default_factory=dict)
    sampler: str = "fleet"
    surrogate: str = "fleet"
    trials: int = 2000
    seed: int = 0
    weights: str | None = None
    pretrained: bool = False
    latency: str | None = None
    per_cluster: bool = False
    patience: int | None = None
    data: str | None = None
    min_accuracy: float | None = None
    limits: Mapping[str, Sequence[int]] = field(default_factory=dict)
    proxy: str = DEFAULT_PROXY


def request_of(record: StudyRecord) -> SearchRequest:
    """What was asked of a stored study."""
    # Studies of before there was a choice kept importance by the geometric mean over groups.
    settings = {"proxy": "log-mean"} | dict(record.settings)
    return SearchRequest(**{k: v for k, v in settings.items() if k != IMPORTANCE})
