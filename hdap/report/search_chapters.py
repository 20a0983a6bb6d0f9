"""The chapters on a search: its answer, what was measured of it, how it came to it."""

from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.wording import UNKNOWN, interval, latency
from hdap.report.pictures.html_page import Chapter
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.registry import draw
from hdap.search.analysis.judgement import stored_verdicts
from hdap.search.analysis.single_cluster_baseline import single_cluster_baseline
from hdap.workflows.text_cells import arms_comparison, comparison


def answer(source: PictureSource) -> Chapter:
    """What was found beside dense and uniform pruning, and where its speed comes from."""
    section = Chapter("answer", "The answer")
    found = section.attempt(lambda: source.answer)
    if found is None:
        return section
    study = source.searched
    word = "simulated" if source.simulated else "measured"
    section.parts.append(
        comparison(
            f"{study.name}: {study.model} within {format_flops(study.flops_low)} to "
            f"{format_flops(study.flops_high)} FLOPs, predicted unless it says {word}",
            found,
            word,
        )
    )
    arms = section.attempt(lambda: source.arms)
    if arms:
        section.parts.append(arms_comparison(arms))
    _awareness(section, source)
    draw(section, source, "latency", "layers", "sizes")
    return section


def search(source: PictureSource) -> Chapter:
    """How the search came to its answer, and what else it looked at."""
    section = Chapter("search", "The search")
    draw(section, source, "history", "pareto")
    _studies(section, source)
    return section


def _awareness(section: Chapter, source: PictureSource) -> None:
    study = source.searched
    worth = section.attempt(
        lambda: single_cluster_baseline(source.problem, source.answer.found.counts, study.seed)
    )
    if worth is not None:
        section.parts.append(f"What it was worth to know the fleet: {worth.words}.")


def _studies(section: Chapter, source: PictureSource) -> None:
    found = source.store.query(
        "SELECT study, model, sampler, flops_high, trials, feasible, best_fleet_mean_ms, state "
        "FROM trial_summary ORDER BY study_id"
    )
    section.tabulate(
        "All studies",
        [
            *("study", "best fleet mean (predicted)|", "budget|", "trials|", "feasible|"),
            *("state", "model", "sampler"),
        ],
        [
            [
                str(row[0]),
                UNKNOWN if row[6] is None else latency(row[6]),
                format_flops(row[3]),
                *(f"{v:,}" for v in row[4:6]),
                str(row[7]),
                *(str(v) for v in row[1:3]),
            ]
            for row in found.rows
        ],
        newest_last=True,
    )


def verification(source: PictureSource) -> Chapter:
    """What was promised against what was measured."""
    section = Chapter("verification", "Verification")
    found = section.attempt(lambda: source.verifications)
    for verdict in stored_verdicts(found or ()):
        word = "simulated" if verdict.simulated else "measured"
        section.tabulate(
            f"Trial {verdict.number}: the promise {verdict.words}",
            [
                *("cluster|", "predicted|", f"{word}|", "latency", "predicted, 90 % interval|"),
                *(f"{word}, 90 % interval|", "devices|"),
            ],
            [
                [
                    str(check.cluster),
                    latency(check.predicted.value),
                    latency(check.measured.value),
                    check.words,
                    interval(check.predicted.low, check.predicted.high),
                    interval(check.measured.low, check.measured.high),
                    str(check.devices),
                ]
                for check in verdict.clusters
            ],
        )
    draw(section, source, "promise")
    return section
