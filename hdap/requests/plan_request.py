"""What a person asks of a plan: what devices measure next, or levels that they all meet."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from hdap.fleet_data.software import DEFAULT_RUN_BY, RunBy
from hdap.requests.setting import Setting
from hdap.requests.shared_settings import Model, Seed, Step
from hdap.search.problem.defaults import DEFAULT_RISK, DEFAULT_THRESHOLD

RUNTIME_NAMES = ("onnxruntime", "openvino", "ncnn", "torch", "litert", "executorch")
PRECISION_NAMES = ("float32", "float16", "bfloat16", "int8")


@dataclass(frozen=True)
class PlanRequest:
    """What a person asks of a plan; None everywhere takes the default.

    `levels` is a levels.json whose levels every device measures, `portfolio` the number of a stored
    one whose variants they do: alone where nothing else is asked.
    """

    model: Model
    budget: Annotated[int | None, Setting("Measurements in all, over all clusters.")] = None
    per_cluster: Annotated[
        int | None, Setting("Configurations a cluster measures. Default: 50.")
    ] = None
    from_study: Annotated[
        str | None, Setting("Half of the batch around this study's best trials.")
    ] = None
    flops_range: Annotated[
        str | None,
        Setting("FLOPs to spread over, 0.5G-2.4G. Default: 10%-60% and past budgets."),
    ] = None
    levels: Annotated[
        Path | None,
        Setting(
            "levels.json of `hdap elastic plan`: every device measures its levels too; alone where "
            "nothing else is asked."
        ),
    ] = None
    portfolio: Annotated[
        int | None,
        Setting(
            "Number of a portfolio of `hdap portfolio build`: every device measures its variants "
            "too; alone where nothing else is asked.",
            low=1,
        ),
    ] = None
    batch: Annotated[
        int,
        Setting(
            "Inputs at once that are measured. Surrogates learn from batches of 1 where there are "
            "any, else from the batch size that was measured most.",
            low=1,
        ),
    ] = 1
    runtime: Annotated[
        str | None,
        Setting(
            f"What runs the networks on the devices: {', '.join(RUNTIME_NAMES)} "
            "(docs/runtimes.md). Default: what each device's telemetry says.",
            choices=RUNTIME_NAMES,
        ),
    ] = None
    precision: Annotated[
        str | None,
        Setting(
            f"What they compute in: {', '.join(PRECISION_NAMES)}, as the runtime has it. int8 is "
            "calibrated on random inputs: it tells latency, and no accuracy. Default: as telemetry "
            "says; float32 with --runtime.",
            choices=PRECISION_NAMES,
        ),
    ] = None
    seed: Seed = 0

    @property
    def run_by(self) -> RunBy | None:
        """What all devices shall run; None: each what it says."""
        if self.runtime is None and self.precision is None:
            return None
        default = DEFAULT_RUN_BY
        return RunBy(self.runtime or default.runtime, self.precision or default.precision)

    @property
    def given_alone(self) -> bool:
        """Whether the batch holds levels or variants and nothing else."""
        rest = (self.budget, self.per_cluster, self.from_study, self.flops_range)
        return (self.levels or self.portfolio) is not None and not any(rest)


@dataclass(frozen=True)
class LevelRequest:
    """What a person asks of levels, as text where it carries units."""

    model: Model
    target_latency: Annotated[
        str, Setting("What every cluster meets at every clock, such as 30ms.")
    ]
    clocks: Annotated[str, Setting("Clocks over each cluster's typical one, by commas.")] = (
        "0.4,0.6,0.8,1.0"
    )
    min_levels: Annotated[int, Setting("At least so many levels.")] = 1
    max_levels: Annotated[int, Setting("Look at no more levels than this (at most 16).")] = 5
    flops_range: Annotated[str | None, Setting("FLOPs of all levels, 0.5G-2.4G or 10%-60%.")] = None
    step: Step = 0
    min_width: Annotated[int | None, Setting("No group below so many channels.")] = None
    risk: Annotated[float, Setting("Standard deviations of doubt added to a latency.")] = (
        DEFAULT_RISK
    )
    threshold: Annotated[
        float, Setting("Mean kept importance that one more level must add to be advised.")
    ] = DEFAULT_THRESHOLD
    seed: Seed = 0
