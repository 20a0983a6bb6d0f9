"""From a database to a report."""

from collections.abc import Callable
from dataclasses import dataclass

from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.errors import HdapError, StoreError
from hdap.report.fleet_chapters import (
    clusters,
    drift,
    fleet,
    search,
    surrogates,
    verification,
)
from hdap.report.network_chapters import elastic, portfolio, training
from hdap.report.pictures.html_page import Chapter, report_page
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.provenance import provenance
from hdap.workflows.text_cells import interval

SECTIONS: dict[str, Callable[[PictureSource], Chapter]] = {
    "fleet": fleet,
    "clusters": clusters,
    "surrogates": surrogates,
    "search": search,
    "verification": verification,
    "training": training,
    "elastic": elastic,
    "portfolio": portfolio,
    "drift": drift,
    "provenance": provenance,
}


@dataclass(frozen=True)
class Report:
    """`title`, what was found in one sentence, and the chapters, as far as the database goes."""

    title: str
    lead: str
    sections: tuple[Chapter, ...]
    simulated: bool

    def html(self) -> str:
        """One self-contained HTML document."""
        return report_page(self.title, self.lead, self.sections, simulated=self.simulated)


def report(source: PictureSource, progress: Callable[[int, int], None] | None = None) -> Report:
    """Everything there is to show of a database and its study; `progress` gets chapters done and
    in all. What is not there yet is said in its chapter, so nothing is too empty to report."""
    sections = []
    for done, make in enumerate(SECTIONS.values()):
        if progress:
            progress(done, len(SECTIONS))
        sections.append(make(source))
    of = f"study {source.study.name}" if source.study else source.store.name
    return Report(f"hdap report: {of}", _lead(source), tuple(sections), source.simulated)


def _lead(source: PictureSource) -> str:
    try:
        found = source.answer.found
    except StoreError:
        raise
    except HdapError:
        return "No search has an answer here yet; what there is to see stands below."
    return (
        f"Found for {source.model}: trial {int(source.answer.numbers[0])} with "
        f"{format_flops(found.flops)} FLOPs, predicted {found.fleet_mean_ms:.2f} ms in the fleet's "
        f"mean ({interval(found.fleet_mean_low_ms, found.fleet_mean_high_ms)} with 90 %), "
        f"{found.over_uniform:.2f} times as fast as uniform pruning on the same grid and "
        f"{found.over_dense:.2f} times as fast as dense."
    )
