"""`hdap prune`: from a trial to the network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hdap.cli.options.shared_options import DEFAULT_DB, AsJson, Db, Debug, Seed

if TYPE_CHECKING:
    from hdap.networks.prune_plan import PrunePlan, WeightsSource
    from hdap.networks.pruned_network import PrunedNetwork

NAME = "prune"


def run(
    out: Annotated[Path, typer.Option("--out", help="Folder for the checkpoint; must be new.")],
    trial: Annotated[
        int | None,
        typer.Option("--trial", min=0, help="Trial of the study; its best if left out."),
    ] = None,
    study: Annotated[
        str | None, typer.Option("--study", help="Which study; the latest if left out.")
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(
            "--channels",
            help="Instead of a trial: a file, or conv1=56;fc=40 itself (empty: dense).",
        ),
    ] = None,
    flops: Annotated[
        str | None,
        typer.Option("--flops", help="Instead of a trial: search --model at this budget first."),
    ] = None,
    search_trials: Annotated[
        int, typer.Option("--search-trials", min=1, help="Trials of the search of --flops.")
    ] = 2000,
    model: Annotated[
        str | None, typer.Option("--model", help="A timm name, or package.module:factory.")
    ] = None,
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
    criterion: Annotated[
        str,
        typer.Option("--criterion", help="Which channels stay: l1, l2, bn_scale, taylor, random."),
    ] = "l2",
    data: Annotated[
        str | None,
        typer.Option("--data", help="For taylor: a folder of images, or package.module:factory."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a checkpoint that is there.")
    ] = False,
    db: Db = DEFAULT_DB,
    seed: Seed = 0,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Remove exactly the planned channels and keep the smaller network as a checkpoint.

    The network is run and counted: FLOPs and parameters are those of the trial, to the last digit.
    The checkpoint is read back with hdap.load_pruned(folder), which executes nothing in it.
    """
    from hdap.cli.terminal.output import emit_json, say
    from hdap.fleet_data.atomic_files import require_free_folder
    from hdap.fleet_data.errors import InputError

    _check_source(trial, study, channels, flops, model)
    if (data is not None) != (criterion == "taylor"):
        raise InputError(
            f"`--data` and `--criterion taylor` need each other, but got {criterion=} and {data=}; "
            "give both or neither"
        )
    from hdap.networks.checkpoint import FILES, save_checkpoint

    require_free_folder(out, force, FILES)
    from hdap.networks.criteria import Evidence
    from hdap.networks.criteria import criterion as known
    from hdap.networks.prune_plan import WeightsSource
    from hdap.networks.pruned_network import prune_planned
    from hdap.training.criterion_batches import load_batches
    from hdap.training.datasets import DataOptions

    if weights is not None and pretrained:
        raise InputError("`--weights` and `--pretrained` exclude each other; give one of them")
    source = WeightsSource(weights, pretrained, seed)
    known(criterion)
    if channels is not None:
        plan = _from_channels(str(model), channels)
    elif flops is not None:
        plan = _from_search(db, str(model), flops, search_trials, source, as_json)
    else:
        plan = _from_trial(db, study, trial, model)
    source = _weights(source, plan)
    batches = None
    if data is not None:
        options = DataOptions.of_model(plan.architecture.model, plan.architecture.input_shape, seed)
        batches = load_batches(data, options)
    say(f"pruning {plan.architecture.model} by {criterion}")
    made = prune_planned(plan, source, criterion, Evidence(seed, batches))
    save_checkpoint(out, made.module, made.manifest, force=force)
    emit_json(document(made, out)) if as_json else show(made, out)


def _check_source(
    trial: int | None, study: str | None, channels: str | None, flops: str | None, model: str | None
) -> None:
    from hdap.fleet_data.errors import InputError

    given = [
        name
        for name, there in (
            ("--trial or --study", trial is not None or study is not None),
            ("--channels", channels is not None),
            ("--flops", flops is not None),
        )
        if there
    ]
    if len(given) > 1:
        raise InputError(f"a network comes from one place, but got {', '.join(given)}; give one")
    if model is None and (channels is not None or flops is not None):
        raise InputError(f"`{given[0]}` needs a model, but got none; give --model")


def _from_channels(model: str, channels: str) -> "PrunePlan":
    from hdap.cli.terminal.output import say
    from hdap.networks.prune_plan import plan_from_channels
    from hdap.networks.tracing import trace

    say(f"tracing {model}")
    return plan_from_channels(trace(model), channels)


def _from_trial(db: str, study: str | None, trial: int | None, model: str | None) -> "PrunePlan":
    from hdap.cli.terminal.open_store import open_store
    from hdap.cli.terminal.output import say
    from hdap.networks.prune_plan import plan_from_trial

    with open_store(db, create=False) as store:
        plan = plan_from_trial(store, study, trial, model)
    if plan.origin is not None:
        best = "" if trial is not None else " (its best)"
        say(f"trial {plan.origin.trial} of study {plan.origin.study}{best}")
    return plan


def _from_search(
    db: str, model: str, flops: str, trials: int, source: "WeightsSource", as_json: bool
) -> "PrunePlan":
    from hdap.cli.tables import answer_table as answer
    from hdap.cli.terminal.open_store import open_store
    from hdap.cli.terminal.output import number, progress_bar, say
    from hdap.networks.prune_plan import plan_from_trial
    from hdap.workflows.search_fleet import SearchRequest, new_search, run, summarize_search

    file = None if source.file is None else str(source.file.resolve())
    request = SearchRequest(
        model,
        flops,
        trials=trials,
        seed=source.seed,
        weights=file,
        pretrained=source.pretrained,
    )
    with open_store(db, create=False) as store:
        search = new_search(store, request, None, say)
        with progress_bar("searching") as bar:
            result = run(
                store,
                search,
                None,
                lambda p: bar(p.done, p.trials, f"best so far {number(p.best_ms, 4)} ms"),
            )
        found, worth = summarize_search(search, result)
        if result.stopped == "interrupted":
            raise KeyboardInterrupt
        if not as_json:
            answer.show(search, result, found, worth)
        return plan_from_trial(store, search.record.name, int(found.numbers[0]))


def _weights(given: "WeightsSource", plan: "PrunePlan") -> "WeightsSource":
    """The weights to prune: those given, else the study's, else random ones."""
    from hdap.fleet_data.errors import InputError

    if not given.random or plan.weights is None:
        source, whose = given, ""
    else:
        source, whose = plan.weights, " (those of the study)"
        if source.file is not None and not source.file.is_file():
            raise InputError(
                f"the weights that the study was searched with must be there, but {source.file} is "
                "not; give --weights FILE or --pretrained"
            )
    tell_weights(source, whose)
    return source


def tell_weights(source: "WeightsSource", whose: str = "") -> None:
    """Where the weights are from, and a warning where nobody trained them."""
    from hdap.cli.terminal.output import say, warn

    if source.random:
        warn(
            f"the weights are random (seed {source.seed}): the network is right in shape and speed "
            "and knows nothing; give --weights FILE or --pretrained for a trained one"
        )
    else:
        say(f"weights: {source.words}{whose}")


def document(made: "PrunedNetwork", out: Path) -> dict[str, Any]:
    """What was pruned as `--json` prints it; latencies are predicted."""
    from dataclasses import asdict

    found = made.manifest
    return {
        "model": found.model,
        "out": str(out),
        "criterion": found.criterion,
        "weights": found.weights,
        "dense": asdict(made.dense),
        "pruned": asdict(made.pruned),
        "surgery_seconds": made.seconds,
        "origin": None if found.origin is None else asdict(found.origin),
        "channels": found.channels,
    }


def show(made: "PrunedNetwork", out: Path) -> None:
    """What was pruned as a person reads it."""
    from hdap.cli.terminal.output import next_steps, table
    from hdap.cli.terminal.output import out as page

    dense, pruned, origin = made.dense, made.pruned, made.manifest.origin
    predicted = "-" if origin is None else f"{origin.predicted_fleet_mean_ms:.2f} ms"
    table(
        [("", "left"), ("dense", "right"), ("pruned", "right"), ("left", "right")],
        [
            [
                "FLOPs",
                f"{dense.flops:,}",
                f"{pruned.flops:,}",
                f"{pruned.flops / dense.flops:.1%}",
            ],
            [
                "parameters",
                f"{dense.parameters:,}",
                f"{pruned.parameters:,}",
                f"{pruned.parameters / dense.parameters:.1%}",
            ],
            [
                "weights",
                f"{dense.bytes / 1e6:.1f} MB",
                f"{pruned.bytes / 1e6:.1f} MB",
                f"{pruned.bytes / dense.bytes:.1%}",
            ],
            ["fleet mean, predicted", "-", predicted, "-"],
        ],
        title=f"{made.manifest.model} pruned by {made.manifest.criterion}",
    )
    if origin is not None:
        page().print(
            f"predicted for trial {origin.trial} of {origin.study}, with 90 %: "
            f"{origin.predicted_fleet_mean_low_ms:.2f}-{origin.predicted_fleet_mean_high_ms:.2f} "
            "ms; measure it: "
            f"hdap verify --study {origin.study} --trial {origin.trial} --out check",
            markup=False,
            soft_wrap=True,
        )
    page().print(
        f"run and counted: FLOPs and parameters are as promised; surgery took {made.seconds:.2f} s",
        soft_wrap=True,
    )
    named = f" --model {made.manifest.model}" if ":" in made.manifest.model else ""
    next_steps(f"hdap export {out} --format onnx --out {out}.onnx{named}")
