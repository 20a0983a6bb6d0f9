"""Commands from a search to a network that ships."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from hdap.cli.settings.shared_flags import Study, WithBoth, WithJson
from hdap.requests.search_request import SearchRequest
from hdap.requests.setting import Given, Setting
from hdap.requests.shared_settings import (
    DEFAULT_CRITERION,
    AnyModel,
    Criterion,
    DenseWeights,
    Input,
    Pretrained,
    Seed,
)


@dataclass(frozen=True, kw_only=True)
class SearchCommand(WithBoth):
    """Find the pruned network that is fastest on the fleet as it is, within a FLOPs budget.

    Clusters and fits whatever is missing or stale by itself. Every network that is considered meets
    the budget exactly and keeps the importance that accuracy after fine-tuning needs.
    """

    request: SearchRequest | None = None
    input: Input = None
    timeout: Annotated[float | None, Setting("Stop after so many seconds.", low=0.1)] = None
    study: Annotated[str | None, Setting("A name for the study.")] = None
    resume: Annotated[str | None, Setting("Go on with this study.")] = None
    workers: Annotated[
        int,
        Setting(
            "Processes that search one study, or with --data judge it; several that search make "
            "the trials depend on timing, those that judge do not.",
            low=1,
        ),
    ] = 1
    storage: Annotated[
        str | None,
        Setting(
            "Where Optuna keeps the study, so that several machines search it: postgresql://..., "
            "grpc://HOST:PORT (Optuna's proxy), sqlite:///FILE or a *.journal file. The same "
            "command on each machine, with --study NAME, joins it; which trials it gets then "
            "depends on timing.",
            reach="database",
        ),
    ] = None
    given: Given = field(default_factory=Given)


@dataclass(frozen=True, kw_only=True)
class TrialsCommand(WithBoth):
    """Show stored trials: the best of a study, its Pareto front, or one trial in full.

    A list holds networks that differ, not the best one ten times: those after the first differ from
    all above in a quarter of the width groups, where there are enough; a front is spread evenly.
    All latencies of trials are predicted.
    """

    study: Study = None
    pareto: Annotated[
        bool,
        Setting(
            "The front of the study's objectives; of one: of fleet mean and kept importance.",
            also="front",
        ),
    ] = False
    trial: Annotated[int | None, Setting("One trial in full.", low=0)] = None
    studies: Annotated[bool, Setting("All studies, one line each.")] = False
    limit: Annotated[int, Setting("Trials to list at most; a front as JSON is whole.", low=1)] = 10


@dataclass(frozen=True, kw_only=True)
class AssignCommand(WithBoth):
    """Who runs which of several networks (hdap search --networks), by the telemetry of now.

    Without --apply nothing is stored: it says how many devices would move, and which. A device
    moves when it is clearly wrong where it is, not with every row; one that was never seen before
    is assigned after its first rows of the dense model.
    """

    study: Annotated[
        str | None, Setting("Which study; the latest with several networks if left out.")
    ] = None
    device: Annotated[str | None, Setting("One device, and why it runs what it runs.")] = None
    apply: Annotated[bool, Setting("Store the moves.")] = False
    out: Annotated[
        Path | None, Setting("Write who runs what as CSV, for what updates the devices.")
    ] = None
    limit: Annotated[int, Setting("Moves to list at most.", low=1)] = 10


@dataclass(frozen=True, kw_only=True)
class VerifyCommand(WithBoth):
    """Measure what was promised: write a bundle with --out, read it back without.

    Exit 0: the promise holds. Exit 1: it does not, or that could not be shown. The promise holds
    where the fleet mean is not above its predicted 90 % interval, both speed-ups (over the best
    uniform network and over dense) reach 95 % of what was predicted with their whole 90 % interval,
    no cluster is 5 % above its own interval, and other devices behave as their cluster.
    """

    trial: Annotated[int, Setting("The trial to verify.", low=0)]
    study: Study = None
    out: Annotated[Path | None, Setting("Write the bundle to measure here; must be new.")] = None
    sample: Annotated[
        int, Setting("Other devices that measure too, to check the clustering.", low=0)
    ] = 5
    seed: Seed = 0


@dataclass(frozen=True, kw_only=True)
class PruneCommand(WithBoth):
    """Remove exactly the planned channels and keep the smaller network as a checkpoint.

    The network is run and counted: FLOPs and parameters are those of the trial, to the last digit.
    The checkpoint is read back with hdap.load_pruned(folder), which executes nothing in it.
    """

    out: Annotated[Path, Setting("Folder for the checkpoint; must be new.")]
    trial: Annotated[int | None, Setting("Trial of the study; its best if left out.", low=0)] = None
    study: Study = None
    channels: Annotated[
        str | None,
        Setting("Instead of a trial: a file, or conv1=56;fc=40 itself (empty: dense)."),
    ] = None
    flops: Annotated[
        str | None, Setting("Instead of a trial: search --model at this budget first.")
    ] = None
    trials: Annotated[
        int, Setting("Trials of the search of --flops.", also="search-trials", low=1)
    ] = 2000
    model: AnyModel = None
    weights: DenseWeights = None
    pretrained: Pretrained = False
    criterion: Criterion = DEFAULT_CRITERION
    data: Annotated[
        str | None,
        Setting("For taylor: a folder of images, or package.module:factory.", reach="code"),
    ] = None
    force: Annotated[bool, Setting("Replace a checkpoint that is there.")] = False
    seed: Seed = 0


@dataclass(frozen=True, kw_only=True)
class ExportCommand(WithJson):
    """Write a pruned network for a runtime: ONNX, OpenVINO, ncnn, LiteRT, ExecuTorch or torch.

    Its output is compared with torch's before the file takes its place: to rounding, in int8 within
    a bound. With --data int8 is calibrated on its images, and accuracy measured before and after.
    """

    checkpoint: Annotated[Path, Setting("A folder that hdap prune wrote.", argument=True)]
    out: Annotated[Path, Setting("The file to write.")]
    kind: Annotated[
        str,
        Setting(
            "onnx, openvino (.xml), ncnn (.param), litert (.tflite), executorch (.pte), pt2 "
            "(torch.export) or torchscript.",
            flag="format",
            choices=("onnx", "openvino", "ncnn", "litert", "executorch", "pt2", "torchscript"),
        ),
    ] = "onnx"
    precision: Annotated[
        str,
        Setting(
            "float32, float16 (openvino and ncnn: of the stored weights) or int8.",
            choices=("float32", "float16", "int8"),
        ),
    ] = "float32"
    data: Annotated[
        str | None,
        Setting(
            "Calibrate int8 on this: a folder of images, or package.module:factory. Without it on "
            "random inputs, which is for latency alone.",
            reach="code",
        ),
    ] = None
    images: Annotated[
        int, Setting("With --data: judge on so many validation images at most.", low=1)
    ] = 1000
    opset: Annotated[int | None, Setting("Of ONNX. Default: 18.", low=1)] = None
    dynamic_batch: Annotated[bool, Setting("Any batch size instead of 1.")] = False
    model: Annotated[
        str | None,
        Setting("package.module:factory, where the network needs your code.", reach="code"),
    ] = None
    level: Annotated[
        int | None, Setting("The level, where the checkpoint is an elastic one.", low=0)
    ] = None
    force: Annotated[bool, Setting("Replace a file that is there.")] = False
