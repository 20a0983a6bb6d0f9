"""The whole loop on emulated devices, through hdap's own stages, each of which can be resumed."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.proof.conditions import Device, Quotas, measure_on
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.configuration import format_channels, parse_channels
from hdap.fleet_data.costs import parameters
from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.records import Floats
from hdap.fleet_data.store import Store
from hdap.networks.loading import load_model
from hdap.networks.model_tracer import ModelTracer
from hdap.requests.plan_request import PlanRequest
from hdap.requests.search_request import SearchRequest
from hdap.search.analysis.answer import Answer, answer
from hdap.search.problem.search_problem import SearchProblem
from hdap.workflows.artifacts import ensure_architecture
from hdap.workflows.build_problem import measured_dense, stored_problem
from hdap.workflows.fleet_artifacts import ensure_clustering, fit_surrogates
from hdap.workflows.plan_measurements import dense_baselines, make_plan
from hdap.workflows.search_fleet import Search, new_search, resumed_search, run
from hdap.workflows.write_bundle import PlannedConfiguration, write_bundle
from hdap.workflows.write_plan import write_plan

DENSE, ANY_WIDTH, EIGHTS = "dense", "uniform, any width", "uniform, multiples of 8"
UNIFORM, OURS = "best uniform", "ours"
NAMES = (DENSE, ANY_WIDTH, EIGHTS, UNIFORM, OURS)
NETWORKS = "networks.json"
RUNS = 5
"""Least inferences a measurement; the time bounds them from below as well."""


@dataclass(frozen=True)
class Settings:
    """How much of everything; `learn_s` and `prove_s` are measure.pyz's --min-seconds."""

    model: str = "resnet50"
    flops: str = "1.0G"
    flops_range: str = "0.6G-1.6G"
    step: int = 8
    devices: int = 3
    dense_rows: int = 3
    first: int = 26
    short: int = 8
    rounds: int = 2
    seeds: int = 2
    repeats: int = 3
    learn_s: float = 0.25
    prove_s: float = 0.4


QUICK = Settings(
    model="resnet18",
    flops="0.45G",
    flops_range="0.25G-0.8G",
    devices=2,
    dense_rows=2,
    first=12,
    short=4,
    rounds=1,
    seeds=2,
    repeats=2,
    learn_s=0.1,
    prove_s=0.1,
)


@dataclass(frozen=True)
class Network:
    """What is measured at the end; `predicted_ms` by condition, of the dense network what its
    telemetry said. `seed` is the search's (None for networks that no search made)."""

    name: str
    seed: int | None
    channels: str
    flops: int
    parameters: int
    kept_importance: float
    predicted_ms: dict[str, float]


@dataclass
class Loop:
    """A run in `folder`; every method does what is left of its stage."""

    settings: Settings
    folder: Path
    store: Store
    devices: Sequence[Device]
    quotas: Quotas
    say: Callable[[str], None]

    def telemetry(self) -> None:
        """Dense rows of every device, as it sends them every day."""
        bundle = self.folder / "dense"
        architecture = self._architecture()
        if not bundle.exists():
            write_bundle(bundle, architecture, load_model(self.settings.model).module, [])
        for device in self.devices:
            out = self._measure(device, bundle, self.settings.learn_s, self.settings.dense_rows)
            self._ingest(out)

    def learn(self, number: int) -> None:
        """Round `number`: plan a batch (from the search before it, if any), measure it, fit."""
        folder = self.folder / f"plan-{number}"
        if not folder.exists():
            request = PlanRequest(
                self.settings.model,
                per_cluster=self.settings.short if number else self.settings.first,
                from_study=_study(number - 1, 0) if number else None,
                flops_range=self.settings.flops_range,
                seed=number,
            )
            batch = make_plan(self.store, request, self.say)
            write_plan(batch, folder, lambda done, total: None)
            self.say(f"round {number}: {batch.measurements} measurements planned")
        by_name = {device.name: device for device in self.devices}
        for bundle in json.loads((folder / "plan.json").read_text())["bundles"]:
            for name in bundle["devices"]:
                path = folder / Path(bundle["folder"]).name
                self._ingest(self._measure(by_name[name], path, self.settings.learn_s, 1))

    def fit(self) -> None:
        """Fit surrogates to all that was measured, and say how good they are."""
        clustering = ensure_clustering(self.store, self.say)
        found = fit_surrogates(self.store, self._architecture(), clustering, "fleet", 0)
        errors = ", ".join(f"{100 * r.mape:.1f} %" for r in found.records)
        rows = sum(r.rows for r in found.records)
        self.say(f"fitted to {rows} rows; error on held-out configurations by cluster: {errors}")

    def search(self, number: int, seed: int) -> None:
        """Search with what round `number` left, unless it is stored."""
        name = _study(number, seed)
        states = {study.name: study.state for study in self.store.studies()}
        if states.get(name) == "finished":
            return
        if name in states:
            search: Search = resumed_search(self.store, name, None, self.say)
        else:
            request = SearchRequest(
                self.settings.model,
                self.settings.flops,
                step=self.settings.step,
                seed=seed,
            )
            search = new_search(self.store, request, name, _silent)
        run(self.store, search, None, lambda progress: None)
        found = self._answer(name)[1].found
        self.say(
            f"{name}: predicted {found.over_dense:.2f}x over dense, {found.over_uniform:.2f}x over "
            "the best uniform"
        )

    @property
    def chosen(self) -> bool:
        """Whether all was searched and only the end is left."""
        return (self.folder / NETWORKS).exists()

    def networks(self) -> list[Network]:
        """Dense, uniform and what the last searches found, with what is predicted of them."""
        file = self.folder / NETWORKS
        if not self.chosen:
            file.write_text(json.dumps([asdict(n) for n in self._networks()], indent=1))
        return [Network(**item) for item in json.loads(file.read_text())]

    def prove(self, networks: Sequence[Network]) -> list[Path]:
        """Export the networks with their weights; measure all on a device of each condition."""
        bundle = self.folder / "final"
        shown = self._shown()
        if not bundle.exists():
            baselines = dense_baselines(
                self.store.measurements(self.settings.model), [d.name for d in shown]
            )
            architecture = self._architecture()
            plan = [PlannedConfiguration(_counts(architecture, n.channels)) for n in networks]
            write_bundle(
                bundle,
                architecture,
                load_model(self.settings.model).module,
                plan,
                weights="own",
                baselines=baselines,
            )
        return [
            self._measure(device, bundle, self.settings.prove_s, self.settings.repeats)
            for device in shown
        ]

    def network_files(self, networks: Sequence[Network]) -> dict[str, Path]:
        """The exported file of each network by its name (ours: of the first seed)."""
        bundle = self.folder / "final"
        entries = json.loads((bundle / "manifest.json").read_text())["configurations"]
        files = {entry["channels"]: bundle / entry["file"] for entry in entries}
        return {n.name: files[n.channels] for n in networks if not n.seed}

    def _architecture(self) -> Architecture:
        return ensure_architecture(self.store, self.settings.model, self.say)

    def _measure(self, device: Device, bundle: Path, seconds: float, rounds: int) -> Path:
        options = ["--min-seconds", str(seconds), "--runs", str(RUNS), "--rounds", str(rounds)]
        return measure_on(device, self.quotas, bundle, options, self.say)

    def _ingest(self, file: Path) -> None:
        report = ingest(self.store, file, trace=ModelTracer(self.say))
        if report.rejected:
            sys.exit(f"{file}: rows were rejected, see {report.rejected_path}")

    def _answer(self, study: str) -> tuple[SearchProblem, Answer]:
        record = self.store.study(study)
        problem, _ = stored_problem(self.store, record)
        dense = measured_dense(self.store, record)
        return problem, answer(problem, self.store.trials(record.id), dense)

    def _shown(self) -> list[Device]:
        """The device of each condition that measures at the end."""
        return [d for d in self.devices if d.name.endswith("-1")]

    def _networks(self) -> list[Network]:
        last, seeds = self.settings.rounds, range(self.settings.seeds)
        found = [self._answer(_study(last, seed)) for seed in seeds]
        problem = found[0][0]
        uniform = {network.step: network.counts for network in problem.uniform_networks}
        plan = [
            (DENSE, None, problem.architecture.widths),
            (ANY_WIDTH, None, uniform[1]),
            (EIGHTS, None, uniform[8]),
            (UNIFORM, None, problem.best_uniform.counts),
            *((OURS, seed, result.found.counts) for seed, (_, result) in enumerate(found)),
        ]
        counts = np.stack([row for _, _, row in plan])
        ms = self._predicted(problem, counts)
        texts = format_channels(problem.architecture, counts)
        flops = problem.repair.flops(counts).astype(np.int64)
        size, kept = parameters(problem.architecture, counts), problem.importance.kept(counts)
        return [
            Network(
                name,
                seed,
                texts[i],
                int(flops[i]),
                int(size[i]),
                float(kept[i]),
                {d.condition.name: float(ms[i, j]) for j, d in enumerate(self._shown())},
            )
            for i, (name, seed, _) in enumerate(plan)
        ]

    def _predicted(self, problem: SearchProblem, counts: Counts) -> Floats:
        """ms of n networks on the devices that measure at the end; dense as it was measured."""
        record = self.store.study(_study(self.settings.rounds, 0))
        clustering = self.store.clustering(record.clustering_id)
        place = {str(device): i for i, device in enumerate(clustering.device_ids)}
        rows = np.array([place[device.name] for device in self._shown()])
        cluster = clustering.cluster[rows]
        ms: Floats = problem.latency.predict(counts).ms[:, cluster]
        ms[0] = measured_dense(self.store, record)[cluster]
        result: Floats = ms * clustering.factor[rows]
        return result


def _study(number: int, seed: int) -> str:
    return f"round-{number}-seed-{seed}"


def _counts(architecture: Architecture, channels: str) -> tuple[int, ...]:
    return tuple(parse_channels(architecture, [channels]).counts[0].tolist())


def _silent(message: str) -> None:
    pass
