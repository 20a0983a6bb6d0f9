"""`hdap compress`: the whole loop from a trained network to one that meets a budget."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hdap.cli.options import recipe_options as options
from hdap.cli.options.shared_options import DEFAULT_DB, AsJson, Db, Debug

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store
    from hdap.requests.compression_request import CompressRequest

NAME = "compress"


def run(
    model: Annotated[str, typer.Option("--model", help="A timm name, or package.module:factory.")],
    flops: Annotated[
        str, typer.Option("--flops", help="Budget: 1.0G, 300M, 1e9, or 25% of the dense model.")
    ],
    data: options.DataName,
    out: Annotated[Path, typer.Option("--out", help="Folder for the networks of all steps.")],
    steps: Annotated[
        int, typer.Option("--steps", min=1, help="Steps to the budget; 1 goes there at once.")
    ] = 5,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            exists=True,
            dir_okay=False,
            help="State dict (.pt, .pth, .safetensors) of the dense network.",
        ),
    ] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="timm's own weights.")] = False,
    min_accuracy_ratio: Annotated[
        float,
        typer.Option(
            "--min-accuracy-ratio",
            help="What a step's pruned network must keep of its accuracy before it is tuned.",
        ),
    ] = 0.9,
    guard_share: Annotated[
        float,
        typer.Option("--guard-share", help="Part of the training images that the guard judges by."),
    ] = 0.1,
    max_cut: Annotated[
        float | None,
        typer.Option(
            "--max-cut",
            help="Most a step may take of a group's channels.  [default: 0.2, as HDAP, or twice "
            "what uniform pruning would take; with one step: any]",
        ),
    ] = None,
    candidates: Annotated[
        int,
        typer.Option(
            "--candidates", min=1, max=10, help="Trials of a step's short list that may try."
        ),
    ] = 10,
    criterion: Annotated[
        str,
        typer.Option("--criterion", help="Which channels stay: l1, l2, bn_scale, taylor, random."),
    ] = "l2",
    objective: Annotated[
        str, typer.Option("--objective", help="What the searches minimise: mean, p95, worst.")
    ] = "mean",
    flops_tol: Annotated[
        float, typer.Option("--flops-tol", help="How far below its budget a step may end.")
    ] = 0.03,
    search_trials: Annotated[
        int, typer.Option("--search-trials", min=1, help="Trials of each step's search.")
    ] = 2000,
    teacher: options.Teacher = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    accumulation: options.Accumulation = None,
    optimizer: options.Optimizer = None,
    lr: options.Lr = None,
    momentum: options.Momentum = None,
    weight_decay: options.WeightDecay = None,
    schedule: options.Schedule = None,
    warmup_epochs: options.WarmupEpochs = None,
    label_smoothing: options.LabelSmoothing = None,
    distillation: options.Distillation = None,
    temperature: options.Temperature = None,
    clip_norm: options.ClipNorm = None,
    amp: options.Amp = None,
    validation_share: options.ValidationShare = 0.1,
    unreadable: options.Unreadable = "stop",
    workers: options.Workers = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what --out holds; done steps stay.")
    ] = False,
    db: Db = DEFAULT_DB,
    seed: options.TrainingSeed = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Search, prune and tune in steps until the budget is met, as HDAP does.

    No step takes more of a group than --max-cut allows, and its pruned network must pass the
    accuracy guard before it is tuned. The recipe is that of every step.
    """
    from hdap.cli.terminal.open_store import open_store
    from hdap.fleet_data.errors import InputError
    from hdap.networks.criteria import criterion as known
    from hdap.requests.compression_request import CompressRequest

    known(criterion)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            "a compression is one process, but torchrun started several; compress with few "
            "--epochs and tune the result: torchrun -m hdap finetune"
        )
    recipe = options.recipe_of(
        epochs=epochs,
        batch_size=batch_size,
        accumulation=accumulation,
        optimizer=optimizer,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        schedule=schedule,
        warmup_epochs=warmup_epochs,
        label_smoothing=label_smoothing,
        distillation=distillation,
        temperature=temperature,
        clip_norm=clip_norm,
        amp=amp,
        seed=seed,
    )
    request = CompressRequest(
        model=model,
        flops=flops,
        data=data,
        recipe=recipe,
        steps=steps,
        min_accuracy_ratio=min_accuracy_ratio,
        guard_share=guard_share,
        candidates=candidates,
        max_cut=max_cut,
        criterion=criterion,
        objective=objective,
        tolerance=flops_tol,
        trials=search_trials,
        weights="" if weights is None else str(weights.resolve()),
        pretrained=pretrained,
        teacher=teacher or "",
        validation_share=validation_share,
        unreadable=unreadable,
    )
    with open_store(db, create=False) as store:
        _compress(store, request, out, resume, options.readers(workers, data), as_json)


def _compress(
    store: "Store", request: "CompressRequest", out: Path, resume: bool, workers: int, as_json: bool
) -> None:
    from hdap.cli.tables import compression_table as compressed
    from hdap.cli.terminal.output import emit_json, percent, say
    from hdap.training.load_data import load_data
    from hdap.workflows.artifacts import measured_architecture
    from hdap.workflows.compress_network import Compression

    shape = measured_architecture(store, request.model, say).input_shape
    reading = options.data_options(
        request.model, shape, request.recipe.seed, request.validation_share, request.unreadable
    )
    data = load_data(request.data, reading)
    options.tell_data(data)
    work = Compression.begin(store, request, data, out, say, resume=resume, workers=workers)
    with compressed.watching(store, work, request.recipe.epochs) as watch:
        for done in work.remaining(watch):
            say(
                f"step {done.step} of {request.steps}: accuracy {percent(done.accuracy_before)} "
                f"before, {percent(done.accuracy_pruned)} pruned, "
                f"{percent(done.accuracy_after or 0.0)} tuned"
            )
    if as_json:
        emit_json(compressed.document(work.journal, out))
    else:
        compressed.show(work.journal, work.schedule, out)
