"""Options of training that several commands share; left out, they are the recipe's defaults."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hdap.requests.recipe import Recipe
    from hdap.training.datasets import Data, DataOptions

RECALIBRATION = 20
"""Batches that set a pruned network's batch norms anew, unless told."""

DataName = Annotated[
    str,
    typer.Option(
        "--data",
        help="A folder with one folder of images a class (or train/ and val/ with those), or "
        "package.module:factory.",
    ),
]
StartWeights = Annotated[
    Path | None,
    typer.Option("--weights", exists=True, dir_okay=False, help="State dict to start from."),
]
StartPretrained = Annotated[bool, typer.Option("--pretrained", help="Start from timm's weights.")]
Teacher = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        help="Learn from the dense model too: its weights (a file), or `pretrained` (timm's).",
    ),
]
ValidationShare = Annotated[
    float,
    typer.Option(
        "--validation-share",
        help="Part of the training images to judge by where the data has no validation part.",
    ),
]
Unreadable = Annotated[
    str,
    typer.Option("--unreadable", help="What unreadable images do: stop, or skip (and be counted)."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        help="Processes that read images.  [default: one a core, at most 8, for a folder; else 0]",
    ),
]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Epochs.  [default: 10]")]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", help="Images at once, over all processes.  [default: 128]"),
]
Accumulation = Annotated[
    int | None,
    typer.Option("--accumulation", help="Batches whose gradients make one step.  [default: 1]"),
]
Optimizer = Annotated[str | None, typer.Option("--optimizer", help="sgd or adamw.  [default: sgd]")]
Lr = Annotated[float | None, typer.Option("--lr", help="Learning rate.  [default: 0.01]")]
Momentum = Annotated[
    float | None, typer.Option("--momentum", help="Momentum; of adamw: beta 1.  [default: 0.9]")
]
WeightDecay = Annotated[
    float | None, typer.Option("--weight-decay", help="Decay of weights.  [default: 1e-4]")
]
Schedule = Annotated[
    str | None,
    typer.Option(
        "--schedule",
        help="How the rate falls: cosine, step (x0.1 every 10 epochs, as HDAP), constant.  "
        "[default: cosine]",
    ),
]
WarmupEpochs = Annotated[
    float | None,
    typer.Option("--warmup-epochs", help="Epochs in which the rate rises.  [default: 0]"),
]
LabelSmoothing = Annotated[
    float | None, typer.Option("--label-smoothing", help="0..1.  [default: 0]")
]
Distillation = Annotated[
    float | None,
    typer.Option("--distillation", help="Weight of the teacher's opinion, 0..1.  [default: 0.5]"),
]
Temperature = Annotated[
    float | None,
    typer.Option("--temperature", help="At which the teacher is read.  [default: 4]"),
]
ClipNorm = Annotated[
    float | None,
    typer.Option("--clip-norm", help="Longest gradient of a step; 0: any.  [default: 0]"),
]
Recalibration = Annotated[
    int | None,
    typer.Option(
        "--recalibration",
        help="Batches that reset the batch norms before the first epoch; 0: none.  [default: 20]",
    ),
]
TrainingSeed = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="The same seed gives the same result.  [default: 0]"),
]
Amp = Annotated[
    bool | None,
    typer.Option("--amp/--no-amp", help="Mixed precision where there is a GPU.  [default: amp]"),
]


def recipe_of(stored: "Recipe | None" = None, **given: Any) -> "Recipe":
    """The recipe with the options that were given; others as `stored`, else by default."""
    from hdap.requests.recipe import Recipe

    wanted = {name: value for name, value in given.items() if value is not None}
    return replace(stored or Recipe(recalibration=RECALIBRATION), **wanted)


def readers(workers: int | None, data: str) -> int:
    """How many processes read images: as asked, else as many as a folder can use."""
    import os

    if workers is not None:
        return workers
    return min(8, os.cpu_count() or 1) if Path(data).is_dir() else 0


def data_options(
    model: str,
    input_shape: tuple[int, int, int],
    seed: int,
    validation_share: float,
    unreadable: str,
) -> "DataOptions":
    """How the network called `model` has its images read."""
    from dataclasses import replace

    from hdap.training.datasets import DataOptions

    return replace(
        DataOptions.of_model(model, input_shape, seed),
        validation_share=validation_share,
        on_unreadable=unreadable,
    )


def tell_data(data: "Data") -> None:
    """What the data is, and what was left out of it."""
    from hdap.cli.terminal.output import say, warn

    say(
        f"{len(data.train):,} images to learn from, {len(data.validation):,} to judge by, "
        f"{data.classes} classes"
    )
    if data.skipped:
        first = ", ".join(data.skipped[:3]) + (", ..." if len(data.skipped) > 3 else "")
        warn(f"{len(data.skipped):,} unreadable images were left out: {first}")
