"""`hdap prune`: from a trial to the network."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from hdap.cli.settings.search_commands import PruneCommand
from hdap.cli.tables import answer_table as answer
from hdap.cli.tables.answer_document import ToldAnswer
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, note, progress_bar, say, table, warn
from hdap.fleet_data.atomic_files import require_free_folder
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.wording import UNKNOWN, interval, latency, megabytes, percent, seconds
from hdap.networks.checkpoint import FILES, save_checkpoint
from hdap.networks.prune_plan import (
    PrunePlan,
    WeightsSource,
    plan_from_channels,
    plan_from_trial,
)
from hdap.networks.pruned_network import PrunedNetwork
from hdap.networks.tracing import trace
from hdap.requests.search_request import SearchRequest
from hdap.workflows.answer_search import summarize_search
from hdap.workflows.next_commands import command_line, export_command, free_name
from hdap.workflows.prune_network import check_criterion, prune_network, weights_to_prune
from hdap.workflows.search_fleet import find_or_run


def run(asked: PruneCommand) -> None:
    """Prune, keep the network and print what is left of it."""
    _check_source(asked)
    check_criterion(asked.criterion, asked.data)
    require_free_folder(asked.out, asked.force, FILES)
    given = WeightsSource(asked.weights, asked.pretrained, asked.seed)
    if asked.channels is not None:
        plan = _from_channels(str(asked.model), asked.channels)
    elif asked.flops is not None:
        plan = _from_search(asked)
    else:
        plan = _from_trial(asked)
    source = weights_to_prune(given, plan)
    tell_weights(source, "" if source == given else " (those of the study)")
    made = prune_network(plan, source, asked.criterion, asked.data, say)
    save_checkpoint(asked.out, made.module, made.manifest, force=asked.force)
    emit_json(document(made, asked.out)) if asked.as_json else show(made, asked.out)


def _check_source(asked: PruneCommand) -> None:
    sources = {
        "--trial or --study": asked.trial is not None or asked.study is not None,
        "--channels": asked.channels is not None,
        "--flops": asked.flops is not None,
    }
    given = [name for name, there in sources.items() if there]
    if len(given) > 1:
        raise InputError(f"a network comes from one place, but got {', '.join(given)}; give one")
    if asked.model is None and (asked.channels is not None or asked.flops is not None):
        raise InputError(f"`{given[0]}` needs a model, but got none; give --model")


def _from_channels(model: str, channels: str) -> PrunePlan:
    say(f"tracing {model}")
    return plan_from_channels(trace(model), channels)


def _from_trial(asked: PruneCommand) -> PrunePlan:
    with open_store(asked.db, create=False, read_only=True) as store:
        plan = plan_from_trial(store, asked.study, asked.trial, asked.model)
    if plan.origin is not None:
        best = "" if asked.trial is not None else " (its best)"
        say(f"trial {plan.origin.trial} of study {plan.origin.study}{best}")
    return plan


def _from_search(asked: PruneCommand) -> PrunePlan:
    request = SearchRequest(
        str(asked.model),
        asked.flops,
        trials=asked.trials,
        seed=asked.seed,
        weights=None if asked.weights is None else str(asked.weights.resolve()),
        pretrained=asked.pretrained,
    )
    with open_store(asked.db, create=False) as store:
        with progress_bar("searching") as bar:
            search, result = find_or_run(
                store,
                request,
                say,
                lambda p: bar(p.done, p.trials, f"best so far {latency(p.best_ms)}"),
            )
        found, worth = summarize_search(search, result)
        if not asked.as_json:
            answer.show(ToldAnswer(search, result, found, worth))
        return plan_from_trial(store, search.record.name, int(found.numbers[0]))


def tell_weights(source: WeightsSource, whose: str = "") -> None:
    """Where the weights are from, and a warning where nobody trained them."""
    if source.random:
        warn(
            f"the weights are random (seed {source.seed}): the network is right in shape and speed "
            "and knows nothing; give --weights FILE or --pretrained for a trained one"
        )
    else:
        say(f"weights: {source.words}{whose}")


def document(made: PrunedNetwork, out: Path) -> dict[str, Any]:
    """What was pruned as `--json` prints it; latencies are predicted."""
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


def show(made: PrunedNetwork, out: Path) -> None:
    """What was pruned as a person reads it."""
    dense, pruned, origin = made.dense, made.pruned, made.manifest.origin
    predicted = UNKNOWN if origin is None else latency(origin.predicted_fleet_mean_ms)
    table(
        [("", "left"), ("dense", "right"), ("pruned", "right"), ("left", "right")],
        [
            [
                "FLOPs",
                f"{dense.flops:,}",
                f"{pruned.flops:,}",
                percent(pruned.flops / dense.flops),
            ],
            [
                "parameters",
                f"{dense.parameters:,}",
                f"{pruned.parameters:,}",
                percent(pruned.parameters / dense.parameters),
            ],
            [
                "weights",
                megabytes(dense.bytes),
                megabytes(pruned.bytes),
                percent(pruned.bytes / dense.bytes),
            ],
            ["fleet mean, predicted", "-", predicted, "-"],
        ],
        title=f"{made.manifest.model} pruned by {made.manifest.criterion}",
    )
    if origin is not None:
        ends = interval(origin.predicted_fleet_mean_low_ms, origin.predicted_fleet_mean_high_ms)
        note(f"predicted for trial {origin.trial} of {origin.study}, with 90 %: {ends} ms")
    note(
        "run and counted: FLOPs and parameters are as promised; surgery took "
        f"{seconds(made.seconds)}"
    )
    check = () if origin is None else ("--study", origin.study, "--trial", origin.trial)
    proof = ("verify", *check, "--out", free_name("proof"))
    next_steps(export_command(out, made.manifest.model), *([command_line(*proof)] if check else []))
