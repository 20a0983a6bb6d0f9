"""From a database to a report."""

from collections.abc import Callable
from dataclasses import dataclass

from hdap.report.decide import decide
from hdap.report.fleet_chapters import clusters, drift, fleet, surrogates
from hdap.report.network_chapters import elastic, portfolio, training
from hdap.report.pictures.html_page import Chapter, report_page
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.provenance import provenance
from hdap.report.search_chapters import answer, search, verification
from hdap.workflows.decision import ShippingDecision

SECTIONS: dict[str, Callable[[PictureSource], Chapter]] = {
    "answer": answer,
    "verification": verification,
    "fleet": fleet,
    "clusters": clusters,
    "surrogates": surrogates,
    "search": search,
    "training": training,
    "elastic": elastic,
    "portfolio": portfolio,
    "drift": drift,
    "provenance": provenance,
}
"""What a reader of the decision asks next stands first."""


@dataclass(frozen=True)
class Report:
    """`title`, the decision, and the evidence in chapters, as far as the database goes."""

    title: str
    decision: ShippingDecision
    sections: tuple[Chapter, ...]
    simulated: bool

    def html(self) -> str:
        """One self-contained HTML document."""
        return report_page(self.title, self.decision, self.sections, simulated=self.simulated)


def report(source: PictureSource, progress: Callable[[int, int], None] | None = None) -> Report:
    """Everything there is to show of a database and its study; `progress` gets chapters done and
    in all. What is not there yet is said, so nothing is too empty to report."""
    sections = []
    for done, make in enumerate(SECTIONS.values()):
        if progress:
            progress(done, len(SECTIONS))
        sections.append(make(source))
    of = f"study {source.study.name}" if source.study else source.store.name
    return Report(f"hdap report: {of}", decide(source), tuple(sections), source.simulated)
