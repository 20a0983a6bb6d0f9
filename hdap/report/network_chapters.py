"""Chapters on networks that were made: trained, elastic, and as portfolios of variants."""

import numpy as np

from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.records import EpochRecord
from hdap.fleet_data.wording import amount, interval, kept, latency, megabytes, number, percent
from hdap.report.pictures.html_page import Chapter
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.registry import draw
from hdap.report.pictures.training_picture import MOST_RUNS, training_label


def training(source: PictureSource) -> Chapter:
    """What was trained, and how well it went."""
    section = Chapter("training", "Training")
    epochs = section.attempt(lambda: source.epochs) or ()
    runs: dict[str, list[EpochRecord]] = {}
    for epoch in epochs:
        runs.setdefault(epoch.run, []).append(epoch)
    section.tabulate(
        "All runs",
        [
            *("run", "best accuracy|", "accuracy|", "epochs|", "validation loss|"),
            *("images a second|", "model", "checkpoint", "seed|"),
        ],
        [
            [
                training_label(mine[-1]),
                percent(float(np.fmax.reduce([e.accuracy for e in mine]))),
                percent(mine[-1].accuracy),
                str(mine[-1].epoch),
                number(mine[-1].validation_loss),
                number(float(np.median([e.images_per_second for e in mine]))),
                mine[-1].model,
                mine[-1].checkpoint,
                str(mine[-1].seed),
            ]
            for mine in runs.values()
        ],
        newest_last=True,
    )
    for name in source.store.training_runs()[-MOST_RUNS:]:
        _compression(section, source, name)
    draw(section, source, "training")
    return section


def _compression(section: Chapter, source: PictureSource, run: str) -> None:
    section.tabulate(
        f"Compression {run}, step by step (latency predicted)",
        [
            *("step|", "fleet mean|", "accuracy after|", "before|", "pruned|"),
            *("90 % interval|", "FLOPs|", "trial|"),
        ],
        [
            [
                str(s.step),
                latency(s.predicted_ms),
                percent(s.accuracy_after),
                percent(s.accuracy_before),
                percent(s.accuracy_pruned),
                interval(s.predicted_low_ms, s.predicted_high_ms),
                format_flops(s.flops),
                str(s.trial),
            ]
            for s in source.store.compression_steps(run)
        ],
    )


def elastic(source: PictureSource) -> Chapter:
    """One set of weights at several levels, and which serves where."""
    section = Chapter("elastic", "Elastic levels")
    plan = section.attempt(lambda: source.level_plan)
    if plan is None:
        return section
    served = {
        level.level: [p for p in plan.points if p.chosen and p.level == level.level]
        for level in plan.levels
    }
    section.tabulate(
        f"Levels of {plan.model} for {latency(plan.target_ms)}, each a prefix of the next",
        ["level|", "serves (predicted)", "kept importance|", "accuracy|", "FLOPs|", "parameters|"],
        [
            [
                str(level.level),
                "; ".join(
                    f"cluster {p.cluster} at {percent(p.clock, 0)} in {latency(p.latency_ms)}"
                    for p in served[level.level]
                )
                or "-",
                kept(level.kept_importance),
                percent(level.accuracy),
                format_flops(level.flops),
                amount(level.parameters),
            ]
            for level in plan.levels
        ],
    )
    draw(section, source, "levels")
    return section


def portfolio(source: PictureSource) -> Chapter:
    """Variants that a runtime swaps."""
    section = Chapter("portfolio", "The portfolio")
    found = section.attempt(lambda: source.portfolio)
    if found is None:
        return section
    section.tabulate(
        f"Portfolio {found.id} of {found.model}, from {found.source}, in {found.bundle}",
        [
            *("variant", "fleet mean, predicted|", "accuracy|", "kept importance|", "size|"),
            *("90 % interval|", "measured where made|", "FLOPs|", "parameters|"),
        ],
        [
            [
                v.variant,
                latency(v.fleet_mean_ms),
                percent(v.accuracy),
                kept(v.kept_importance),
                megabytes(v.bytes),
                interval(v.fleet_mean_low_ms, v.fleet_mean_high_ms),
                latency(v.measured_here_ms),
                format_flops(v.flops),
                amount(v.parameters),
            ]
            for v in found.variants
        ],
    )
    draw(section, source, "portfolio")
    return section
