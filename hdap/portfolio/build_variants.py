"""From candidates to a portfolio: judged, exported, selected, stored, bundled."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.atomic_files import require_free_folder, whole_folder
from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import PortfolioRecord, VariantRecord
from hdap.networks.counting import NetworkSize, size_of
from hdap.networks.exporting import export
from hdap.networks.forward_pass import one_tensor, run_once
from hdap.portfolio.candidates import Candidate, Candidates
from hdap.portfolio.deadline_selection import serve_deadline
from hdap.portfolio.fleet_latency import FleetLatency, FleetPredictor
from hdap.portfolio.portfolio_bundle import (
    Files,
    PortfolioFile,
    bundle_files,
    file_entries,
    portfolio_file,
    write_rest,
)
from hdap.portfolio.variant_selection import LeftOut, Selection, select
from hdap.portfolio.variant_timing import measured_here_ms
from hdap.training.datasets import Data
from hdap.training.network_quality import evaluate
from hdap.training.training_loop import best_device

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class BuildOrder:
    """What a person asks of a portfolio beside where its networks come from.

    `most` is how many variants it may have (None: any), `deadline_ms` what the devices of the
    fleet are to keep with them (None: nothing is asked), `data` what accuracy is judged on (None:
    nothing), `asked` the request as it is stored. With `measure_here` each variant is timed on this
    machine.
    """

    out: Path
    most: int | None = None
    deadline_ms: float | None = None
    data: Data | None = None
    measure_here: bool = False
    force: bool = False
    seed: int = 0
    asked: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Judged:
    candidate: Candidate
    size: NetworkSize
    accuracy: float

    @property
    def label(self) -> str:
        return self.candidate.label


@dataclass(frozen=True)
class Built:
    """A portfolio that is stored and written; `document` is the content of its manifest.

    The record's settings say what variants were `compared_by`, and which were `left_out` and why.
    """

    record: PortfolioRecord
    document: PortfolioFile


def require_free_bundle(out: Path, force: bool) -> None:
    """Raises `InputError` where `out` holds anything (with `force`: anything but a bundle)."""
    require_free_folder(out, force, bundle_files(out), "portfolio")


def build(
    store: "Store",
    candidates: Candidates,
    fleet: FleetPredictor | None,
    order: BuildOrder,
    progress: Progress = lambda done, total, note: None,
) -> Built:
    """Export, judge and compare all candidates; store and bundle those that none dominates.

    The bundle appears whole or not at all. Candidates are named v0, v1, ... by FLOPs, so a name
    that is missing is one that was left out.

    Raises:
        InputError: `order.out` is not free or not writable, or the data does not fit the networks.
        UnsupportedModelError: a network cannot be exported, or computes something else when it is.
    """
    require_free_bundle(order.out, order.force)
    every = _judge(candidates, order.data, progress)
    repeated = _repeated(every)
    named = {name: one for name, one in every.items() if name not in repeated}
    with whole_folder(order.out) as folder:
        files = _export(named, candidates.architecture, folder, progress)
        here = _time(named, candidates.architecture, order, folder, progress)
        selection = _selected(_variants(named, candidates, fleet, files, here), fleet, order)
        for left in selection.left_out:
            for name in files.pop(left.variant):
                (folder / name).unlink()
        selection = _with_repeated(selection, repeated)
        record = _record(store, candidates, fleet, order, selection, every)
        record = store.portfolio(store.save_portfolio(record))
        shape = candidates.architecture.one_input("a portfolio")
        document = portfolio_file(record, shape, _classes(candidates), files)
        write_rest(folder, document)
    return Built(record, document)


def _selected(
    variants: Sequence[VariantRecord], fleet: FleetPredictor | None, order: BuildOrder
) -> Selection:
    if order.deadline_ms is None or fleet is None:
        return select(variants, order.most)
    return serve_deadline(select(variants), fleet.devices, order.deadline_ms, order.most)


def _judge(candidates: Candidates, data: Data | None, progress: Progress) -> dict[str, _Judged]:
    """Candidates by name, FLOPs ascending; of equals the first named first."""
    if not candidates.networks:
        raise InputError("a portfolio needs networks, but got none")
    found = []
    for done, one in enumerate(candidates.networks):
        progress(done, len(candidates.networks), f"judging {one.label}")
        accuracy = one.accuracy if data is None else _accuracy(one.module, data)
        found.append(_Judged(one, size_of(one.module, candidates.architecture), accuracy))
    ordered = sorted(found, key=lambda one: one.size.flops)
    return {f"v{place}": one for place, one in enumerate(ordered)}


def _accuracy(module: nn.Module, data: Data) -> float:
    try:
        return evaluate(module.to(best_device()), data.validation).accuracy
    finally:
        module.cpu()


def _repeated(named: Mapping[str, _Judged]) -> dict[str, str]:
    """Names whose channels another has too that is no less accurate, and the name of that one.

    They are known before anything is exported: of many sparse levels the first differ in nothing
    but accuracy.
    """
    best: dict[bytes, str] = {}
    for name, one in named.items():
        key = one.candidate.counts.tobytes()
        if key not in best or one.accuracy > named[best[key]].accuracy:
            best[key] = name
    winners = {name: best[one.candidate.counts.tobytes()] for name, one in named.items()}
    return {name: winner for name, winner in winners.items() if name != winner}


def _with_repeated(selection: Selection, repeated: Mapping[str, str]) -> Selection:
    told = tuple(
        LeftOut(name, f"has the channels of {winner} and is no more accurate")
        for name, winner in repeated.items()
    )
    return replace(selection, left_out=told + selection.left_out)


def _export(
    named: Mapping[str, _Judged], architecture: Architecture, folder: Path, progress: Progress
) -> dict[str, Files]:
    found: dict[str, Files] = {}
    for done, (name, one) in enumerate(named.items()):
        progress(done, len(named), f"exporting {one.label}")
        file = folder / f"{name}.onnx"
        written = export(one.candidate.module, architecture.input_shape, "onnx", file)
        found[name] = file_entries(written.files)
    return found


def _time(
    named: Mapping[str, _Judged],
    architecture: Architecture,
    order: BuildOrder,
    folder: Path,
    progress: Progress,
) -> Mapping[str, float]:
    if not order.measure_here:
        return {}
    progress(0, len(named), "measuring here")
    networks = {name: folder / f"{name}.onnx" for name in named}
    return measured_here_ms(networks, architecture.one_input("a portfolio"), order.seed)


def _variants(
    named: Mapping[str, _Judged],
    candidates: Candidates,
    fleet: FleetPredictor | None,
    files: Mapping[str, Files],
    here: Mapping[str, float],
) -> list[VariantRecord]:
    """Everything that is known of each network."""
    counts = np.stack([one.candidate.counts for one in named.values()])
    texts = format_channels(candidates.architecture, counts)
    kept = candidates.importance.kept(counts).tolist()
    latencies = [FleetLatency()] * len(counts) if fleet is None else fleet.latencies(counts)
    return [
        VariantRecord(
            variant=name,
            channels=text,
            parameters=one.size.parameters,
            bytes=sum(entry.bytes for entry in files[name].values()),
            flops=one.size.flops,
            kept_importance=importance,
            accuracy=one.accuracy,
            fleet_mean_ms=latency.mean_ms,
            fleet_mean_low_ms=latency.low_ms,
            fleet_mean_high_ms=latency.high_ms,
            measured_here_ms=here.get(name, math.nan),
            provenance={**one.candidate.provenance, "label": one.label},
            clusters=latency.clusters,
        )
        for (name, one), text, importance, latency in zip(
            named.items(), texts, kept, latencies, strict=True
        )
    ]


def _classes(candidates: Candidates) -> int:
    output = run_once(candidates.networks[0].module, candidates.architecture.input_shape)
    return int(one_tensor(output, "a portfolio").shape[-1])


def _record(
    store: "Store",
    candidates: Candidates,
    fleet: FleetPredictor | None,
    order: BuildOrder,
    selection: Selection,
    named: Mapping[str, _Judged],
) -> PortfolioRecord:
    left_out = [
        {"variant": x.variant, "label": named[x.variant].label, "why": x.why}
        | {"flops": named[x.variant].size.flops}
        for x in selection.left_out
    ]
    settings = {**order.asked, "compared_by": list(selection.compared_by), "left_out": left_out}
    return PortfolioRecord(
        model=candidates.architecture.model,
        architecture_digest=candidates.architecture.digest,
        clustering_id=None if fleet is None else fleet.clustering.id,
        source=candidates.source,
        bundle=str(order.out.absolute()),
        settings=settings,
        simulated=fleet is not None and store.has_simulated(),
        created_at=datetime.now(UTC),
        variants=selection.kept,
    )
