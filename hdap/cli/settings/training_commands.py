"""Commands that train, and those of elastic networks and portfolios."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from hdap.cli.settings.shared_flags import WithBoth, WithJson
from hdap.requests.compression_request import CompressRequest
from hdap.requests.plan_request import LevelRequest
from hdap.requests.portfolio_request import PortfolioRequest
from hdap.requests.setting import Given, Setting
from hdap.requests.shared_settings import AnyModel, Readers
from hdap.requests.training_request import ElasticTraining, SparseTraining, TrainingRequest

StartWeights = Annotated[Path | None, Setting("State dict to start from.", there="file")]
StartPretrained = Annotated[bool, Setting("Start from timm's weights.")]
ResumeEpochs = Annotated[bool, Setting("Go on after the last epoch in --out, if it holds one.")]
ForceCheckpoint = Annotated[bool, Setting("Replace a checkpoint that is in --out.")]


@dataclass(frozen=True, kw_only=True)
class FinetuneCommand(WithBoth):
    """Train a pruned network; a checkpoint and a row in SQL (table epochs) after every epoch.

    A run that was stopped goes on with --resume to the same numbers. Several GPUs or machines:
    torchrun --nproc-per-node 4 -m hdap finetune ... (for --resume they share the disk of --out).
    """

    checkpoint: Annotated[Path, Setting("Folder that hdap prune wrote.", argument=True)]
    wanted: TrainingRequest
    resume: ResumeEpochs = False
    tensorboard: Annotated[Path | None, Setting("Folder for TensorBoard's event files.")] = None
    model: Annotated[
        str | None, Setting("The checkpoint's package.module:factory, if it is one.", reach="code")
    ] = None
    force: ForceCheckpoint = False
    given: Given = field(default_factory=Given)


@dataclass(frozen=True, kw_only=True)
class CompressCommand(WithBoth):
    """Search, prune and tune in steps until the budget is met, as HDAP does.

    No step takes more of a group than --max-cut allows, and its pruned network must pass the
    accuracy guard before it is tuned. The recipe is that of every step.
    """

    request: CompressRequest
    out: Annotated[Path, Setting("Folder for the networks of all steps.")]
    workers: Readers = None
    resume: Annotated[bool, Setting("Go on with what --out holds; done steps stay.")] = False


@dataclass(frozen=True, kw_only=True)
class ElasticPlanCommand(WithBoth):
    """Search nested levels so that every cluster meets one latency at every clock.

    Every level is a prefix of the next, so one set of weights holds all of them. Says how many are
    worth having, and stores which serves which cluster at which clock.
    """

    request: LevelRequest
    out: Annotated[Path | None, Setting("Write levels.json for training and devices.")] = None
    weights: Annotated[
        Path | None,
        Setting(
            "State dict (.pt, .pth, .safetensors) whose channel importance the levels keep.",
            there="file",
        ),
    ] = None
    pretrained: Annotated[bool, Setting("Take the importance from timm's own weights.")] = False


@dataclass(frozen=True, kw_only=True)
class ElasticTrainCommand(WithBoth):
    """Train one set of weights that runs at several levels; a checkpoint after every epoch.

    The widest level teaches the others at the weight of --distillation. Epochs are divided among
    the stages of a mode. Several GPUs: torchrun --nproc-per-node 4 -m hdap elastic train ...
    """

    checkpoint: Annotated[
        Path | None,
        Setting("Folder that hdap prune or finetune wrote, instead of --model.", argument=True),
    ] = None
    wanted: ElasticTraining
    model: AnyModel = None
    levels: Annotated[
        Path | None, Setting("File of hdap elastic plan, or a JSON list of levels.")
    ] = None
    flops: Annotated[
        str | None,
        Setting("Uniform levels at these FLOPs instead, by commas. Default: 25%,50%,75%,100%."),
    ] = None
    weights: StartWeights = None
    pretrained: StartPretrained = False
    resume: ResumeEpochs = False
    force: ForceCheckpoint = False
    given: Given = field(default_factory=Given)


@dataclass(frozen=True, kw_only=True)
class ElasticDeployCommand(WithJson):
    """Write every level for ONNX Runtime over one weights file, with what runs and chooses them.

    The folder needs Python with onnxruntime and numpy on the device: controller.pyz opens the
    levels and chooses among them by the clock.
    """

    checkpoint: Annotated[
        Path, Setting("Checkpoint folder of `hdap elastic train`.", argument=True)
    ]
    out: Annotated[Path, Setting("Folder to write; must be new.")]
    levels: Annotated[Path | None, Setting("levels.json for the controller on the device.")] = None
    model: Annotated[
        str | None, Setting("The factory, where the network is not one of timm.", reach="code")
    ] = None


@dataclass(frozen=True, kw_only=True)
class PortfolioTrainCommand(WithBoth):
    """Iterative magnitude pruning with rewinding: every level keeps fewer weights, all are kept.

    Each level takes as long as a training. The zeros of a level become a smaller dense network
    without more training: hdap portfolio build. Convolutions and linear layers become sparse;
    biases, norms and the output layer do not.
    """

    wanted: SparseTraining
    model: AnyModel = None
    weights: StartWeights = None
    pretrained: StartPretrained = False
    resume: Annotated[bool, Setting("Go on after the last level in --out that is complete.")] = (
        False
    )
    force: Annotated[bool, Setting("Replace a sparse training that is in --out.")] = False
    given: Given = field(default_factory=Given)


@dataclass(frozen=True, kw_only=True)
class PortfolioBuildCommand(WithBoth):
    """Make several variants of one model in one run, leave out what another dominates, bundle them.

    A variant is dominated when another is as fast, small and accurate, and better in one of these.
    The table is stored (portfolios, variants, variant_latencies in SQL); the bundle holds ONNX
    networks, a manifest with their hashes, and switcher.pyz, which swaps them while it serves.
    """

    request: PortfolioRequest


@dataclass(frozen=True, kw_only=True)
class PortfolioServeCommand:
    """Answer images over HTTP with one variant of a portfolio, and swap it while it answers.

    POST /predict takes raw float32, .npy or JSON, GET /status and /variants tell, POST /switch asks
    for a variant. Every decision is told on standard error. Ctrl-C ends it once running requests
    have their answer.
    """

    EXTRA: ClassVar = "serve"

    bundle: Annotated[Path, Setting("Folder of `hdap portfolio build`.", argument=True)]
    host: Annotated[
        str,
        Setting("Address to listen on; 0.0.0.0 is every network (with a token).", reach="address"),
    ] = "127.0.0.1"
    port: Annotated[int, Setting("Port; 0 takes any that is free.", low=0, high=65535)] = 8000
    token_file: Annotated[
        Path | None,
        Setting(
            "File with a token that every request must carry: Authorization: Bearer TOKEN; or "
            "HDAP_TOKEN. Beyond this machine's own addresses there must be one.",
            there="file",
        ),
    ] = None
    patience: Annotated[
        float, Setting("Seconds in which a request must have come in whole.", low=0.1)
    ] = 10.0
    policy: Annotated[
        tuple[str, ...],
        Setting(
            "What chooses the variant: latency:30ms, load:0.7, memory:300MB, available:500MB, "
            "battery:20, temperature:80, schedule:8-20=v0,20-8=v2 or fixed:v1. Given several "
            "times, the most restrictive counts."
        ),
    ] = ()
    start: Annotated[str | None, Setting("First variant; default: the fastest with a policy.")] = (
        None
    )
    workers: Annotated[
        int | None, Setting("Inferences at once; default: what cores allow.", low=1)
    ] = None
    threads: Annotated[int, Setting("Threads of each inference.", low=1)] = 1
    dwell: Annotated[float, Setting("Seconds of room before a more accurate variant.", low=0)] = 5.0
    cache: Annotated[
        Path | None, Setting("Where this machine's own files go; default: the bundle.")
    ] = None
