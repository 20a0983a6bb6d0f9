"""Chapters on networks that were made: trained, elastic, and as portfolios of variants."""

import numpy as np

from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.records import EpochRecord
from hdap.fleet_data.wording import amount, interval, kept, latency, megabytes, number, percent
from hdap.report.pictures.html_page import Chapter
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.registry import draw


def training(source: PictureSource) -> Chapter:
    """What was trained, and how well it went."""
    section = Chapter("training", "Training")
    draw(section, source, "training")
    epochs = section.attempt(lambda: source.epochs) or ()
    runs: dict[str, list[EpochRecord]] = {}
    for epoch in epochs:
        runs.setdefault(epoch.run, []).append(epoch)
    section.tabulate(
        "All runs",
        [
            *("run", "model", "epochs|", "accuracy|", "best accuracy|", "validation loss|"),
            *("images a second|", "seed|", "checkpoint"),
        ],
        [
            [
                name,
                mine[-1].model,
                str(mine[-1].epoch),
                percent(mine[-1].accuracy),
                percent(float(np.nanmax([e.accuracy for e in mine]))),
                number(mine[-1].validation_loss),
                number(float(np.median([e.images_per_second for e in mine]))),
                str(mine[-1].seed),
                mine[-1].checkpoint,
            ]
            for name, mine in runs.items()
        ],
    )
    for name in source.store.training_runs():
        _compression(section, source, name)
    return section


def _compression(section: Chapter, source: PictureSource, run: str) -> None:
    section.tabulate(
        f"Compression {run}, step by step (latency predicted)",
        [
            *("step|", "trial|", "FLOPs|", "fleet mean|", "90 % interval|"),
            *("accuracy before|", "pruned|", "after|"),
        ],
        [
            [
                str(s.step),
                str(s.trial),
                format_flops(s.flops),
                latency(s.predicted_ms),
                interval(s.predicted_low_ms, s.predicted_high_ms),
                percent(s.accuracy_before),
                percent(s.accuracy_pruned),
                percent(s.accuracy_after),
            ]
            for s in source.store.compression_steps(run)
        ],
    )


def elastic(source: PictureSource) -> Chapter:
    """One set of weights at several levels, and which serves where."""
    section = Chapter("elastic", "Elastic levels")
    draw(section, source, "levels")
    plan = section.attempt(lambda: source.level_plan)
    if plan is None:
        return section
    served = {
        level.level: [p for p in plan.points if p.chosen and p.level == level.level]
        for level in plan.levels
    }
    section.tabulate(
        f"Levels of {plan.model} for {latency(plan.target_ms)}, each a prefix of the next",
        ["level|", "FLOPs|", "parameters|", "kept importance|", "accuracy|", "serves (predicted)"],
        [
            [
                str(level.level),
                format_flops(level.flops),
                amount(level.parameters),
                kept(level.kept_importance),
                percent(level.accuracy),
                "; ".join(
                    f"cluster {p.cluster} at {percent(p.clock, 0)} in {latency(p.latency_ms)}"
                    for p in served[level.level]
                )
                or "-",
            ]
            for level in plan.levels
        ],
    )
    return section


def portfolio(source: PictureSource) -> Chapter:
    """Variants that a runtime swaps."""
    section = Chapter("portfolio", "The portfolio")
    draw(section, source, "portfolio")
    found = section.attempt(lambda: source.portfolio)
    if found is None:
        return section
    section.tabulate(
        f"Portfolio {found.id} of {found.model}, from {found.source}, in {found.bundle}",
        [
            *("variant", "FLOPs|", "parameters|", "MB|", "accuracy|", "kept importance|"),
            *("fleet mean, predicted|", "90 % interval|", "measured where made|"),
        ],
        [
            [
                v.variant,
                format_flops(v.flops),
                amount(v.parameters),
                megabytes(v.bytes),
                percent(v.accuracy),
                kept(v.kept_importance),
                latency(v.fleet_mean_ms),
                interval(v.fleet_mean_low_ms, v.fleet_mean_high_ms),
                latency(v.measured_here_ms),
            ]
            for v in found.variants
        ],
    )
    return section
