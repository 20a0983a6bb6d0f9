"""What a person asks of a search, as it is stored with the study."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

from hdap.fleet_data.documents import from_plain
from hdap.fleet_data.errors import InputError
from hdap.requests.setting import Setting
from hdap.requests.shared_settings import Keep, Model, Seed, Step, SurrogateKind, Tolerance
from hdap.search.problem.defaults import (
    DEFAULT_PROXY,
    DEFAULT_RISK,
    MOST_NETWORKS,
    NETWORK_COST,
    NETWORK_TRIALS,
)

if TYPE_CHECKING:
    from hdap.fleet_data.records import StudyRecord

SUSTAINED_STATE = "sustained"
AUTO = 0
"""As many networks as bring more than they cost."""
JUDGED_TRIALS = 200
"""Trials where each is judged on images, unless told."""
IMPORTANCE, LEARNED = "importance", "learned_accuracy"
"""Settings of a stored study that nobody asked for: where its channel importance came from, and
what that was learned from where it was."""


def fixed_groups(texts: Sequence[str]) -> dict[str, int]:
    """`GROUP=COUNT` as counts by group. Raises ValueError for a text that is none, or a group that
    is given twice."""
    found: dict[str, int] = {}
    for text in texts:
        name, _, count = text.rpartition("=")
        if not name or not (count.isascii() and count.isdecimal()):
            raise ValueError(f"GROUP=COUNT, not {text!r}")
        if found.setdefault(name, int(count)) != int(count):
            raise ValueError(f"{name} once, not both {found[name]} and {count}")
    return found


def network_count(text: str) -> int:
    """A number of networks; 0 for `auto`. Raises ValueError for what is neither."""
    if text == "auto":
        return AUTO
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= MOST_NETWORKS:
        raise ValueError(f"auto or a number in 1..{MOST_NETWORKS}, not {text!r}")
    return int(text)


def share_of(text: str | float) -> float:
    """A share of 0..1, given as `99%` or `0.99`. Raises ValueError for what is none."""
    written = str(text).strip()
    number, percent = (written[:-1], 100.0) if written.endswith("%") else (written, 1.0)
    try:
        share = float(number) / percent
    except ValueError:
        raise ValueError(f"a share such as 99% or 0.99, not {text!r}") from None
    if not 0.0 < share <= 1.0:
        raise ValueError(f"a share above 0 and at most 100%, not {text!r}")
    return share


@dataclass(frozen=True)
class SearchRequest:
    """What a person asks of a search; stored with the study so that it can be resumed.

    With `latency` the most importance is kept within it (as `objective` measures it), and `flops`
    is but a cap; with `networks` (0: as many as pay) it is a deadline that several networks share.
    `step` 0 takes the grid that the measurements show to pay, or a finer one where a budget leaves
    hardly anything on it; `floor` and `min_width` None take the defaults of `SearchProblem` and
    `SearchSpace`. `limits` bounds the counts of groups by name, from below and above: a compression
    in steps narrows from where it is, and not too fast. With `data` so many networks as `tunings`
    says are tuned before the search, each once through `tune_images` images, and what they teach
    becomes the importance that is kept, of which `min_accuracy` is a floor. Without tunings every
    trial is judged before any tuning, and accuracy is an objective, or with `min_accuracy` a
    constraint. `proxy` makes kept importance of the shares that groups keep.
    """

    model: Model
    flops: Annotated[str | None, Setting("Budget: 1.0G, 300M, 1e9, or 25% of the dense model.")] = (
        None
    )
    latency: Annotated[
        str | None,
        Setting(
            "Budget: keep the most importance with the fleet's p95 (or --objective) within 20ms; "
            "--flops is then a cap."
        ),
    ] = None
    tolerance: Tolerance = None
    objective: Annotated[
        str,
        Setting(
            "What is minimised: mean, p95 (over devices), worst (cluster), cvar:0.9 (mean of the "
            "slowest 10 %), deadline:30ms (share of devices late); or a front of two or three, "
            "kept and flops among them: mean,kept. Default: mean; p95 with --latency; accuracy "
            "beside it with --data --tunings 0.",
            written="",
        ),
    ] = "mean"
    fleet_as: Annotated[
        str | None,
        Setting(
            "Weigh the fleet as it will be: firmware=2:100%, or shares by software or cluster, as "
            "'runtime=openvino*:60%,runtime=ncnn*:40%'; today's answer stands beside."
        ),
    ] = None
    state: Annotated[
        str,
        Setting(
            "usual, or sustained: devices as slow as they get without rest (hdap measure "
            "--sustained).",
            choices=("usual", SUSTAINED_STATE),
        ),
    ] = "usual"
    networks: Annotated[
        int | None,
        Setting(
            "With --latency, which is then a deadline: at most so many networks of different size, "
            "each device the largest that it runs in time; a number, or auto.",
            read=network_count,
        ),
    ] = None
    share: Annotated[
        float,
        Setting(
            "With --networks: part of the fleet that must be in time, as 99% or 0.99.",
            read=share_of,
            written="95%",
        ),
    ] = 0.95
    confidence: Annotated[
        float,
        Setting(
            "With --networks: how sure a device must be in time, as 95% or 0.95.",
            read=share_of,
            written="95%",
        ),
    ] = 0.95
    network_cost: Annotated[
        float,
        Setting("With --networks auto: kept importance that one more network must bring.", low=0.0),
    ] = NETWORK_COST
    per_cluster: Annotated[bool, Setting("Also the best network of each cluster: one, or k?")] = (
        False
    )
    floor: Annotated[
        float | None,
        Setting("Least kept importance, 0..1. Default: what the best uniform network keeps."),
    ] = None
    floor_share: Annotated[
        float,
        Setting(
            "Without --floor: the part of what the best uniform network keeps that must be kept.",
            read=share_of,
            written="100%",
        ),
    ] = 1.0
    proxy: Annotated[
        str,
        Setting(
            "What makes kept importance of the shares that groups keep: log-mean, layers, harmonic "
            "or mean.",
            choices=("log-mean", "layers", "harmonic", "mean"),
        ),
    ] = DEFAULT_PROXY
    risk: Annotated[float, Setting("Standard deviations of doubt added to every prediction.")] = (
        DEFAULT_RISK
    )
    step: Step = 0
    min_width: Annotated[
        int | None,
        Setting("Fewest channels of a group. Default: half of what uniform keeps."),
    ] = None
    fixed: Annotated[
        Mapping[str, int],
        Setting("GROUP=COUNT: keep a group at a count; repeatable.", flag="fix", read=fixed_groups),
    ] = field(default_factory=dict)
    keep: Keep = ()
    sampler: Annotated[
        str,
        Setting(
            "fleet, or a base line: tpe, nsga2, cmaes, gp, random, ncs (as HDAP), netadapt, halp.",
            choices=(
                *("fleet", "tpe", "nsga2", "cmaes", "gp"),
                *("random", "ncs", "netadapt", "halp"),
            ),
        ),
    ] = "fleet"
    surrogate: SurrogateKind = "fleet"
    trials: Annotated[
        int,
        Setting(
            "Trials of the study, earlier ones included. Default: 2000; 200 with --data "
            "--tunings 0; 600 for each of several --networks.",
            low=1,
            written="",
        ),
    ] = 2000
    patience: Annotated[
        int | None,
        Setting("Stop after so many trials without a better one; for one process.", low=1),
    ] = None
    weights: Annotated[
        str | None, Setting("State dict that importance comes from.", there="file")
    ] = None
    pretrained: Annotated[bool, Setting("Importance from timm's own weights.")] = False
    data: Annotated[
        str | None,
        Setting(
            "Images to learn on what accuracy pruned networks have after tuning (see --tunings): a "
            "folder with one folder a class, or package.module:factory.",
            reach="code",
        ),
    ] = None
    min_accuracy: Annotated[
        float | None,
        Setting("With --data: the least accuracy to expect after tuning; 0.6 is 60 %."),
    ] = None
    tunings: Annotated[
        int,
        Setting(
            "With --data: networks that are tuned shortly before the search, to learn from them "
            "what accuracy all others will have; what was tuned once is not tuned again. 0: every "
            "trial is judged before any tuning, as an objective or by --min-accuracy.",
            low=0,
        ),
    ] = 30
    tune_images: Annotated[
        int, Setting("Images that each of the --tunings learns from, once.", low=1)
    ] = 10_000
    seed: Seed = 0
    limits: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def judged(self) -> bool:
        """Whether every trial is judged on data, before any tuning."""
        return self.data is not None and not self.tunings

    @property
    def learned(self) -> bool:
        """Whether networks are tuned before the search, to learn from."""
        return self.data is not None and self.tunings > 0

    def with_floor(self, floor: float | None, step: int) -> "SearchRequest":
        """With what was left open as it was settled: as a study stores it."""
        return replace(self, step=step, floor=floor, floor_share=1.0)


def settled(request: SearchRequest, given: Collection[str]) -> SearchRequest:
    """With what depends on other settings filled in, where it is not among those that were given.

    The objective is mean latency, or p95 within a latency budget; accuracy is one too where it is
    judged and no constraint. Judging a network takes as long as scoring thousands.
    """
    if request.networks is not None:
        return _shared_deadline(request, given)
    objective, trials = request.objective, request.trials
    if "objective" not in given:
        objective = "mean" if request.latency is None else "p95"
    free = request.judged and request.min_accuracy is None
    if free and "accuracy" not in objective.split(","):
        objective = f"{objective},accuracy"
    if request.judged and "trials" not in given:
        trials = JUDGED_TRIALS
    return replace(request, objective=objective, trials=trials)


def _shared_deadline(request: SearchRequest, given: Collection[str]) -> SearchRequest:
    """Several networks for one deadline, which an objective of that name may give too."""
    asked = request.objective if "objective" in given else ""
    name, _, deadline = asked.partition(":")
    if asked and (name != "deadline" or request.latency is not None):
        raise InputError(
            f"`--networks` keep the most importance within a deadline, so it needs --latency 20ms "
            f"(or --objective deadline:20ms) and no other objective, but got {asked}: leave it out"
        )
    if request.latency is None and not deadline:
        raise InputError("`--networks` share a deadline, but got none: give --latency 20ms")
    wrong = [
        flag
        for flag, is_given in (
            ("--data", request.data is not None),
            ("--fleet-as", request.fleet_as is not None),
            ("--sampler", request.sampler != "fleet"),
            ("--per-cluster", request.per_cluster),
            ("--patience", request.patience is not None),
            ("--flops-tol", request.tolerance is not None),
        )
        if is_given
    ]
    if wrong:
        raise InputError(f"`--networks` are found without {wrong[0]}, but got it: leave it out")
    trials = request.trials if "trials" in given else NETWORK_TRIALS
    latency = request.latency or deadline
    return replace(request, objective="mean,kept", latency=latency, trials=trials)


def request_of(record: "StudyRecord") -> SearchRequest:
    """What was asked of a stored study. Raises `InputError` where its settings are none of ours."""
    # Studies of before there was a choice kept importance by the geometric mean over groups, and
    # judged every trial where they had data.
    settings = {"proxy": "log-mean", "tunings": 0} | dict(record.settings)
    return from_plain(
        {name: value for name, value in settings.items() if name not in (IMPORTANCE, LEARNED)},
        SearchRequest,
        f"what was asked of study {record.name}",
        "search again under another name",
    )
