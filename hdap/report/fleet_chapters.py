"""The chapters of a report, each from a source that may hold much, little or nothing."""

import numpy as np

from hdap.fleet_data.records import ClusteringRecord
from hdap.fleet_data.wording import latency, number, percent, times
from hdap.report.pictures.html_page import Chapter
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.pictures.registry import draw


def fleet(source: PictureSource) -> Chapter:
    """Who the devices are, and who among them is sick."""
    section = Chapter("fleet", "The fleet")
    counts = source.counts
    devices = source.store.device_count()
    if counts:
        rows = sum(c.measurements for c in counts)
        section.parts.append(
            f"{devices:,} devices sent {rows:,} measurements of "
            f"{', '.join(c.model for c in counts)}."
        )
    draw(section, source, "fleet")
    found = source.clustering
    if found is not None and found.outlier.any():
        section.tabulate(*_outliers(found))
    return section


def _outliers(found: ClusteringRecord) -> tuple[str, list[str], list[list[str]]]:
    order = np.flatnonzero(found.outlier)
    order = order[np.abs(np.log(found.factor[order])).argsort()[::-1]]
    return (
        "Outliers, devices that behave like no other, the oddest first",
        ["device", "latency over its cluster's|", "nearest cluster|"],
        [[str(found.device_ids[i]), times(found.factor[i]), str(found.cluster[i])] for i in order],
    )


def clusters(source: PictureSource) -> Chapter:
    """What groups there are, what is special about each, how sure that is."""
    section = Chapter("clusters", "The clusters")
    found = source.clustering
    if found is None:
        draw(section, source, "clusters")  # says what to do first
        return section
    if np.isfinite(found.stability):
        section.parts.append(
            f"Clustering {found.id} by {found.algorithm}; clusterings of resampled devices agree "
            f"with it by an adjusted Rand index of {found.stability:.2f}."
        )
    section.tabulate(
        "What is special about each",
        [
            *("cluster|", "devices|", "latency|", "what is special", "weight|"),
            *("spread inside|", "stability|", "representatives"),
        ],
        [
            [
                str(c.cluster),
                f"{c.devices:,}",
                times(c.relative_latency),
                c.description,
                percent(c.weight_share),
                percent(c.spread),
                f"{c.stability:.2f}" if np.isfinite(c.stability) else "-",
                ", ".join(
                    str(d)
                    for d in found.device_ids[found.representative & (found.cluster == c.cluster)]
                ),
            ]
            for c in found.clusters
        ],
    )
    draw(section, source, "clusters")
    return section


def surrogates(source: PictureSource) -> Chapter:
    """How well latencies of networks that were never measured are known."""
    section = Chapter("surrogates", "The surrogates")
    found = section.attempt(lambda: source.surrogates)
    if found:
        word = "simulated" if source.simulated else "measured"
        section.tabulate(
            f"Surrogates of {found[0].model} (kind {found[0].kind}), on held-out configurations",
            [
                *("cluster|", "mean error|", "in 90 % interval|", "rank correlation|"),
                *(f"dense, {word}|", "rows|", "configurations|", "warning"),
            ],
            [
                [
                    str(r.cluster),
                    percent(r.mape),
                    percent(r.coverage, 0),
                    number(r.kendall_tau),
                    latency(r.dense_ms),
                    f"{r.rows:,}",
                    f"{r.configurations:,}",
                    r.warning or "-",
                ]
                for r in found
            ],
        )
    draw(section, source, "parity", "learning")
    return section


def drift(source: PictureSource) -> Chapter:
    """What telemetry since the clustering says of what it assumed."""
    section = Chapter("drift", "Drift")
    if source.clustering is not None:
        section.tabulate(
            "What came since the clustering, against what it assumed",
            ["what is to do", "what came", "command"],
            [[f.action, f.says, f.command or "-"] for f in source.findings],
        )
    draw(section, source, "drift")
    return section
