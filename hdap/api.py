"""The Python API: a fleet, what a search found on it, and the network to ship.

    import hdap

    fleet = hdap.Fleet("fleet.db")
    fleet.ingest("telemetry.csv")
    found = fleet.search("resnet50", flops="1.0G")
    print(found.table())
    network = found.prune(weights="resnet50.pt")

What is said on the way goes to the logger `hdap`, at level INFO. Every error is an `HdapError`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from hdap.fleet_data.atomic_files import require_place_of, writable
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.extras import require
from hdap.fleet_data.ingest.reject_limit import reject_limit
from hdap.fleet_data.store import Store
from hdap.fleet_data.store.engine import can_be_written, parse_url
from hdap.found import Found
from hdap.requests.clustering_choice import ClusteringChoice
from hdap.requests.ingest_request import IngestRequest
from hdap.requests.plan_request import PlanRequest
from hdap.requests.search_request import AUTO, SearchRequest, settled
from hdap.requests.setting import check_settings
from hdap.search.analysis.answer import answer
from hdap.surrogate.validation.fit_surrogates import FitResult
from hdap.workflows.answer_search import answer_of
from hdap.workflows.artifacts import measured_architecture
from hdap.workflows.assign_devices import assign_devices, sized_study
from hdap.workflows.build_problem import measured_dense, stored_problem
from hdap.workflows.compare_networks import compare_networks
from hdap.workflows.data_frames import (
    Ingested,
    clusters_frame,
    ingest_telemetry,
    query_frame,
    trials_frame,
)
from hdap.workflows.fleet_artifacts import ensure_clustering, fit_surrogates
from hdap.workflows.list_devices import list_devices
from hdap.workflows.plan_measurements import PlannedBatch, make_plan
from hdap.workflows.search_fleet import new_search, run
from hdap.workflows.search_sizes import SizedFleet, search_sizes
from hdap.workflows.write_plan import require_free, write_plan

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from hdap.report.pictures.figure import Figure

say = logging.getLogger("hdap").info
Progress = Callable[[str, int, int | None], None]
"""Is told what is being done, how much of it is done, and how much there is (None: unknown)."""


@dataclass(frozen=True)
class Fleet:
    """What is known of a fleet: a database and everything that is asked of it.

    `url` is the path of an SQLite file, which the first `ingest` makes, or a postgresql:// URL. It
    is opened when it is first needed and again after `close`; as a context manager a fleet closes
    itself. Whatever a method needs and finds missing or stale, it makes first.
    """

    url: str | Path = "hdap.db"
    progress: Progress | None = None
    _open: list[Store] = field(default_factory=list, init=False, repr=False, compare=False)

    def ingest(
        self,
        telemetry: "str | Path | pl.DataFrame | pd.DataFrame | pa.Table",
        *,
        max_rejected: str | None = None,
        unit: str | Sequence[str] = (),
        sure: bool = False,
        device_id: str | None = None,
        model: str | None = None,
        channels: str | None = None,
        timestamp: str | None = None,
        columns: Mapping[str, str] | None = None,
        models: Mapping[str, str] | None = None,
        agreed: bool = False,
    ) -> Ingested:
        """Load telemetry, one row a measurement: a file of any format that is read (CSV, Parquet,
        JSON lines, Avro), a folder of Parquet, a measurement log, or a frame.

        Columns are at least device_id, model and latency_ms. A bad row does not enter, and comes
        back in `rejected_rows`; the same rows again add nothing. Where more rows than
        `max_rejected` (`5%`, or a number of rows) are bad, nothing is stored.

        Latencies are milliseconds, or what `unit` says (`us`, or `cam-7=us` for one device), also
        of rows that were stored in another unit. Rows that look as if they were in another one are
        in `set_aside` and count nowhere; `sure` that they are right, they do.

        `device_id`, `model`, `channels` and `timestamp` are what a measurement log does not say.
        `columns` are columns by their names in the telemetry (`{"deviceId": "device_id"}`),
        `models` are models by theirs (`{"ResNet-50": "resnet50"}`). Common names (`serial`,
        `inference_us`, `ts`) are proposed by the error where they are not `agreed` to.

        Raises InputError for what is no such table or holds too many bad rows.
        """
        asked = IngestRequest(
            max_rejected=None if max_rejected is None else reject_limit(max_rejected),
            unit=(unit,) if isinstance(unit, str) else tuple(unit),
            sure=sure,
            device_id=device_id,
            model=model,
            channels=channels,
            timestamp=timestamp,
            columns=tuple(f"{theirs}={ours}" for theirs, ours in (columns or {}).items()),
            models=tuple(f"{theirs}={ours}" for theirs, ours in (models or {}).items()),
            agreed=agreed,
        )
        store, tell = self.store(create=True), self._tell("ingest")
        return ingest_telemetry(store, telemetry, asked, say, tell)

    def search(
        self,
        model: str,
        flops: str | float | None = None,
        *,
        study: str | None = None,
        timeout: float | None = None,
        workers: int = 1,
        storage: str | None = None,
        **settings: Any,
    ) -> Found:
        """Find the network that is fastest on the fleet within `flops` (1e9, `1.0G`, `25%`).

        `settings` are those of `SearchRequest`: trials, objective, latency, floor, sampler, seed,
        weights, ... `study` names what is stored, `timeout` is in seconds. With `workers`, or with
        a `storage` that Optuna opens, several processes search. An interrupt ends the search and
        gives the best so far.

        Raises:
            InputError: a setting that is not there or out of range.
            NotEnoughDataError: too little was measured of the model.
            InfeasibleError: no network meets the budget, or none that was tried keeps the floor.
        """
        request = _request(model, flops, settings)
        if request.networks is not None:
            raise InputError("several `networks` for one deadline are found by `Fleet.sizes`")
        store, tell = self.store(), self._tell("search")
        search = new_search(store, request, study, say, storage, workers)
        result = run(
            store, search, timeout, lambda p: tell(p.done, p.trials), workers, storage, say
        )
        found = answer_of(search, result)
        several = None
        if request.per_cluster:
            compare = self._tell("compare")
            several = compare_networks(store, search, result, found.found.counts, compare)
        trials = store.trials(search.record.id)
        return Found(self, search.record, search.problem, trials, found, several)

    def sizes(
        self,
        model: str,
        latency: str,
        networks: int | None = None,
        *,
        study: str | None = None,
        **settings: Any,
    ) -> SizedFleet:
        """Find at most so many `networks` (None: as many as pay) that share a deadline, and assign
        every device the largest that it runs in time.

        `latency` is the deadline (`20ms`); `settings` are those of `SearchRequest`: share,
        confidence, network_cost, flops, floor, ... `found.words` is the advice in a sentence, each
        network a trial of the stored study.

        Raises InfeasibleError where too many devices run no allowed network in time, else as
        `search`.
        """
        asked = settings | {"latency": latency, "networks": AUTO if networks is None else networks}
        request = _request(model, asked.pop("flops", None), asked)
        return search_sizes(self.store(), request, study, say, self._tell("sizes"))

    def assignments(self, study: str | None = None, *, apply: bool = False) -> pl.DataFrame:
        """One row a device: which of several networks it should run by the telemetry of now, and
        which it ran before; with `apply` that is stored.

        Raises NotFoundError where no study has several networks.
        """
        store = self.store()
        record = sized_study(store, study)
        found = assign_devices(store, record)
        if apply:
            store.save_assignments(record.id, found.now)
        return pl.DataFrame(
            {f.name: getattr(found.now, f.name).tolist() for f in fields(found.now)}
        )

    def study(self, name: str | None = None) -> Found:
        """What a stored search found; the newest one's where none is named.

        Raises NotFoundError where there is no such study, InfeasibleError where it found nothing.
        """
        store = self.store()
        record = store.study(name)
        problem, _ = stored_problem(store, record)
        trials = store.trials(record.id)
        found = answer(problem, trials, measured_dense(store, record))
        return Found(self, record, problem, trials, found)

    def clusters(self, algorithm: str | None = None, clusters: int | None = None) -> pl.DataFrame:
        """One row a cluster of devices that are alike; clustered anew only where that is stale, or
        an `algorithm` (hdbscan, dbscan, kmeans, gmm) or a number of `clusters` is asked for."""
        asked = ClusteringChoice(algorithm, clusters) if algorithm or clusters else None
        return clusters_frame(ensure_clustering(self.store(), say, asked, self._tell("cluster")))

    def devices(self, cluster: int | None = None, *, outliers: bool = False) -> pl.DataFrame:
        """One row a device: outliers first, then the slowest against their own cluster."""
        return query_frame(list_devices(self.store(), cluster, outliers))

    def fit(self, model: str, kind: str = "fleet", seed: int = 0) -> FitResult:
        """Learn what a pruned network takes on each cluster, with errors on held-out networks.

        Raises NotEnoughDataError where too little was measured.
        """
        store = self.store()
        architecture = measured_architecture(store, model, say)
        return fit_surrogates(store, architecture, ensure_clustering(store, say), kind, seed)

    def plan(self, model: str, out: str | Path, **settings: Any) -> PlannedBatch:
        """Choose networks to measure next and write them into the new folder `out`, a bundle for
        each group of devices. `settings` are those of `PlanRequest`: budget, from_study, ...

        Raises InputError where `out` is not free or a setting does not fit.
        """
        require_free(Path(out))
        _check_names(PlanRequest, settings)
        wanted = PlanRequest(model, **settings)
        check_settings(wanted)
        batch = make_plan(self.store(), wanted, say)
        write_plan(batch, Path(out), self._tell("export"))
        return batch

    def trials(self, study: str | None = None) -> pl.DataFrame:
        """One row a trial of a study, the newest where none is named: figures, then channels."""
        store = self.store()
        record = store.study(study)
        return trials_frame(store.architecture(record.model), store.trials(record.id))

    def sql(self, query: str, **parameters: Any) -> pl.DataFrame:
        """Rows of one statement, which can change nothing; `parameters` fill `:name` in it.

        Raises InputError for a statement that does more than read, of which nothing ran, and, in
        the database's own words, for one that is wrong.
        """
        return query_frame(self.store().ask(query, parameters))

    def picture(self, kind: str, study: str | None = None, model: str | None = None) -> "Figure":
        """One picture of what is known; a notebook shows it, `write` keeps it in a file.

        Kinds are those of `hdap plot`: fleet, clusters, latency, parity, pareto, ...
        """
        require("report")
        from hdap.report.pictures.registry import picture

        return picture(self.store(), kind, study, model)

    def report(self, out: str | Path = "report.html", study: str | None = None) -> Path:
        """Write everything there is to see as one page that opens offline; its path.

        Raises InputError where it cannot be written there.
        """
        require("report")
        require_place_of(Path(out))
        from hdap.report.pictures.picture_source import PictureSource
        from hdap.report.write_report import report

        made = report(PictureSource.of(self.store(), study), self._tell("report"))
        with writable(Path(out)):
            Path(out).write_text(made.html(), encoding="utf-8")
        return Path(out)

    def store(self, *, create: bool = False) -> Store:
        """The database itself: records in, records out; only out where it cannot be written.

        Raises StoreError where there is none.
        """
        if not self._open:
            url = str(self.url)
            read_only = not create and not can_be_written(parse_url(url))
            self._open.append(Store.open(url, create=create, read_only=read_only))
        return self._open[0]

    def close(self) -> None:
        """Close all connections."""
        while self._open:
            self._open.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tell(self, what: str) -> Callable[[int, int | None], None]:
        """Takes how much of `what` is done, and how much there is; for `progress`."""

        def tell(done: int, total: int | None) -> None:
            if self.progress is not None:
                self.progress(what, done, total)

        return tell


def _request(model: str, flops: str | float | None, settings: dict[str, Any]) -> SearchRequest:
    _check_names(SearchRequest, settings)
    if isinstance(settings.get("weights"), Path):
        settings["weights"] = str(settings["weights"].resolve())
    budget = flops if flops is None or isinstance(flops, str) else f"{flops:.0f}"
    request = SearchRequest(model, budget, **settings)
    check_settings(request)
    if flops is None and request.latency is None and "flops" not in request.objective.split(","):
        raise InputError("a search needs a budget, but got none: give flops='1.0G', or latency")
    return settled(request, settings)


def _check_names(request: type[Any], settings: dict[str, Any]) -> None:
    names = [f.name for f in fields(request)]
    for name in settings:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(names)}"
            raise InputError(f"a setting must be one of {request.__name__}, got `{name}`: {hint}")
