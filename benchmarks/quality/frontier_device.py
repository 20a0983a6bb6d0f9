"""This machine as the one device of a fleet: what is learned of it, and what is measured on it.

Latencies are timed by ONNX Runtime with one thread, each network between slices of the dense one;
they are told as shares of the dense network's latency, which a busy machine disturbs least.
"""

import csv
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.proof.conditions import CONDITIONS, Device, Quotas, run_on
from benchmarks.proof.loop import Loop
from benchmarks.proof.loop import Settings as LoopSettings
from benchmarks.quality.frontier_plan import Settings, Work, model_of
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.store import Store
from hdap.networks.loading import load_model
from hdap.networks.tracing import trace
from hdap.surrogate.models.base import FleetSurrogate
from hdap.workflows.fleet_artifacts import ensure_clustering, ensure_surrogates
from hdap.workflows.write_bundle import PlannedConfiguration, write_bundle

DEVICE = Device("here", CONDITIONS[0], 1.0)
LEARNED_BELOW, LEARNED_TO = 0.6, 0.9
"""What is learned from spans 0.6 of the narrowest point to 0.9 of the dense network's FLOPs."""
RUNS = 20
"""Least inferences a measurement."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Rig:
    """A network on this device: rows in `store`, and every configuration measured so far."""

    network: str
    work: Work
    settings: Settings
    store: Store
    architecture: Architecture
    say: Say

    @classmethod
    def open(cls, network: str, work: Work, settings: Settings, store: Store, say: Say) -> "Rig":
        """With a store that has rows to learn from; measures them where it has none."""
        folder = work.folder / "device" / network
        own = LoopSettings(
            model=model_of(network),
            flops_range=f"{LEARNED_BELOW * min(settings.shares):.1%}-{LEARNED_TO:.0%}",
            first=settings.learned,
            rounds=0,
            learn_s=settings.seconds,
        )
        loop = Loop(own, folder, store, [DEVICE], Quotas(), say)
        loop.telemetry()
        loop.learn(0)
        ensure_clustering(store, _silent)
        return cls(network, work, settings, store, trace(model_of(network)), say)

    def surrogate(self, kind: str = "fleet") -> FleetSurrogate:
        """What the rows say of every configuration."""
        clustering = ensure_clustering(self.store, _silent)
        return ensure_surrogates(self.store, self.architecture, clustering, _silent, kind)

    def measured(self, rows: Sequence[Counts]) -> list[float]:
        """Each configuration's latency as a share of dense; nothing is measured twice."""
        name = f"device/{self.network}/measured"
        known: dict[str, float] = self.work.read(name) or {}
        texts = format_channels(self.architecture, np.stack(rows)) if len(rows) else []
        new = {text: row for text, row in zip(texts, rows, strict=True) if text not in known}
        if new:
            found = self.time(new.values(), 1)
            known |= {text: float(np.median(found[text])) for text in new}
            self.work.write(name, known)
        return [known[text] for text in texts]

    def time(self, rows: Iterable[Counts], rounds: int) -> dict[str, list[float]]:
        """Shares of dense, a number a round, by the text of the configuration; all interleaved."""
        bundle = self.work.folder / "device" / self.network / "bundle"
        shutil.rmtree(bundle, ignore_errors=True)
        plan = [PlannedConfiguration(tuple(int(n) for n in row)) for row in rows]
        module = load_model(model_of(self.network)).module
        write_bundle(bundle, self.architecture, module, plan)
        out = bundle / "measured.csv"
        command: list[str | Path] = [sys.executable, bundle / "measure.pyz", "--out", out]
        command += ["--device-id", DEVICE.name, "--threads", "1", "--rounds", str(rounds)]
        command += ["--min-seconds", str(self.settings.seconds), "--runs", str(RUNS)]
        run_on(DEVICE, Quotas(), command)
        found: dict[str, list[float]] = defaultdict(list)
        with out.open(newline="") as file:
            for line in csv.DictReader(file):
                found[line["channels"]].append(float(line["relative_latency"]))
        shutil.rmtree(bundle)
        self.say(f"{self.network}: measured {len(plan)} configurations, {rounds} time(s)")
        return found


def _silent(message: str) -> None:
    pass
