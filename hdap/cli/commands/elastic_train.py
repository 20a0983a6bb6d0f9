"""`hdap elastic train`: all levels of one network, from one set of weights."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np

from hdap.cli.settings.training_commands import ElasticTrainCommand
from hdap.cli.tables.training_watch import read_data, store_of_first, watching
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.output import emit_json, line, say, table
from hdap.elastic.elastic_checkpoint import read_elastic_manifest
from hdap.elastic.elastic_training import ElasticResult, go_on, train_elastic, unfinished
from hdap.elastic.levels import Levels, read_levels, uniform_levels
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.atomic_files import require_free_folder
from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.wording import number, percent, times
from hdap.networks.checkpoint import FILES, Checkpoint, start_network
from hdap.networks.manifest import NetworkManifest
from hdap.networks.prune_plan import WeightsSource
from hdap.networks.tracing import describe
from hdap.requests.setting import build
from hdap.requests.training_request import ElasticTraining
from hdap.training.datasets import Data
from hdap.training.distributed import processes
from hdap.training.training_session import BEGINS, TrainingWatch, begun_tuning
from hdap.workflows.next_commands import command_line, export_command, free_name, model_flag

Train = Callable[[Data, ElasticTraining, TrainingWatch], ElasticResult]


def run(asked: ElasticTrainCommand) -> None:
    """Train from the start, or go on with what `--out` holds, and print what came of it."""
    wanted = asked.wanted
    begun = begun_tuning(wanted.out) if asked.resume else None
    if begun is not None:
        mode = read_elastic_manifest(wanted.out).mode
        stored = replace(wanted, recipe=begun.recipe, mode=mode)
        wanted = build(ElasticTraining, asked.given, default=stored)
    with processes():
        if begun is not None:
            there = unfinished(wanted, model=asked.model)
            _require_same_levels(asked, there.checkpoint.model.levels)
            manifest: NetworkManifest = there.checkpoint.manifest
            train: Train = partial(go_on, there)
        else:
            source = WeightsSource(asked.weights, asked.pretrained, wanted.recipe.seed)
            start = start_network(asked.checkpoint, asked.model, source, wanted.recipe.seed)
            manifest = start.manifest
            levels = _levels(asked, _described(start))
            if asked.resume:
                say(BEGINS.format(wanted.out))
            require_free_folder(wanted.out, asked.force, FILES)
            train = partial(train_elastic, start.module, manifest, levels, replace_out=asked.force)
        with store_of_first(asked.db) as store:
            data = read_data(wanted, manifest.model, manifest.input_shape, wanted.recipe.seed)
            with watching(wanted, store) as watch:
                if begun is not None:
                    say(f"resuming after epoch {begun.epochs}")
                done = train(data, wanted, watch)
        emit_json(document(done, wanted)) if asked.as_json else show(done, wanted)


def _described(start: Checkpoint) -> Architecture:
    manifest = start.manifest
    return describe(start.module, manifest.model, manifest.input_shape, manifest.channels)


def _require_same_levels(asked: ElasticTrainCommand, begun: Levels) -> None:
    if asked.levels is None and asked.flops is None:
        return
    now = _levels(asked, begun.architecture)
    if not np.array_equal(now.counts, begun.counts):
        one, other = (", ".join(map(format_flops, x.flops.tolist())) for x in (begun, now))
        raise InputError(
            f"a training goes on as it began, with levels of {one} FLOPs, but got {other}; leave "
            "the option out or begin anew in another --out"
        )


def _levels(asked: ElasticTrainCommand, architecture: Architecture) -> Levels:
    if asked.levels is not None and asked.flops is not None:
        raise InputError("levels come from --levels or --flops, but got both; leave one out")
    if asked.levels is not None:
        return read_levels(architecture, asked.levels)
    return uniform_levels(architecture, (asked.flops or "25%,50%,75%,100%").split(","))


def document(done: ElasticResult, wanted: ElasticTraining) -> dict[str, Any]:
    """What was trained as `--json` prints it."""
    model, manifest = done.checkpoint.model, done.checkpoint.manifest
    return {
        "model": manifest.model,
        "out": str(wanted.out),
        "mode": manifest.mode,
        "run": manifest.tunings[-1].run,
        "recipe": asdict(wanted.recipe),
        "levels": [
            {"level": i, "channels": channels, "flops": int(flops), **asdict(quality)}
            for i, (channels, flops, quality) in enumerate(
                zip(manifest.levels, model.levels.flops, done.qualities, strict=True)
            )
        ],
        "extra_bytes": model.extra_bytes,
        "storage_ratio": model.storage_ratio,
        "epochs": [asdict(epoch) for epoch in done.epochs],
    }


def show(done: ElasticResult, wanted: ElasticTraining) -> None:
    """What was trained as a person reads it."""
    model, manifest = done.checkpoint.model, done.checkpoint.manifest
    table(
        [("level", "right"), ("FLOPs", "right"), ("accuracy", "right"), ("loss", "right")],
        [
            [str(level), format_flops(int(flops)), percent(quality.accuracy), number(quality.loss)]
            for level, (flops, quality) in enumerate(
                zip(model.levels.flops, done.qualities, strict=True)
            )
        ],
        title=f"{manifest.model} on validation images, trained {manifest.mode}",
    )
    line(
        f"run {manifest.tunings[-1].run}: all levels take {times(model.storage_ratio)} the bytes "
        f"of the dense network, {model.extra_bytes:,} more"
    )
    folder = free_name(f"{wanted.out}-deployed")
    deploy = ("elastic", "deploy", wanted.out, "--out", folder, *model_flag(manifest.model))
    next_steps(export_command(wanted.out, manifest.model, "--level", 0), command_line(*deploy))
