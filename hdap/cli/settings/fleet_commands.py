"""Commands on the fleet and its telemetry."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar

from hdap.cli.settings.shared_flags import WithBoth, WithDatabase, WithJson
from hdap.fleet_data.reduction.dialects import DIALECT_NAMES
from hdap.requests.clustering_choice import ClusteringChoice
from hdap.requests.history_span import DEFAULT_KEEP, parse_span
from hdap.requests.ingest_request import IngestRequest
from hdap.requests.plan_request import PlanRequest
from hdap.requests.setting import Rest, Setting
from hdap.requests.shared_settings import Input, Keep, Seed, SurrogateKind

BY_DENSITY = ClusteringChoice("hdbscan")


@dataclass(frozen=True, kw_only=True)
class IngestCommand(WithBoth):
    """Load telemetry: one row a measurement, of dense and of pruned networks.

    Required columns: device_id, model, latency_ms, or what --map makes one. A bad row never enters
    and never stops the file: it goes to FILE.rejected.csv with line, column and reason. The same
    rows again add nothing. Each file lands whole or not at all. The exit status is 1 where all rows
    of one were rejected.
    """

    source: Annotated[
        str | None,
        Setting("Read as table source.NAME of hdap.toml says: map, unit, ...", table="source"),
    ] = None
    request: IngestRequest = field(default_factory=IngestRequest)

    via: Annotated[
        str | None,
        Setting(
            "Reduce in this engine and load a row a device and network: duckdb, spark, "
            "duckdb://FILE, spark://HOST:PORT, clickhouse://..., postgres://...; FILES are tables."
        ),
    ] = None
    after: Annotated[str | None, Setting("With --via: only rows after this moment, ISO 8601.")] = (
        None
    )

    files: Annotated[
        tuple[str, ...],
        Setting(
            "Files, folders, pipes, s3://, gs:// and az:// URLs: CSV, Parquet, JSON lines, Avro, "
            "plain or packed by gzip or zstd; measurement logs; - is standard input.",
            argument=True,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class ReduceCommand:
    """Print the SQL that reduces telemetry to a row a device and network, for who may not connect.

    Run it where the telemetry is, write its result as Parquet, and load that: hdap ingest
    reduced.parquet. Where hdap may connect, hdap ingest --via does all of it.
    """

    EXTRA: ClassVar = "ibis"

    sql: Annotated[str, Setting("Dialect of the statement.", choices=DIALECT_NAMES)]
    column: Annotated[
        tuple[str, ...],
        Setting("A column that the table has: NAME, or THEIRS=NAME; repeatable."),
    ] = ("device_id", "model", "latency_ms", "channels", "timestamp")
    after: Annotated[str | None, Setting("Only rows after this moment, ISO 8601.")] = None
    table: Annotated[str, Setting("The table: NAME or SCHEMA.NAME.", argument=True)]


@dataclass(frozen=True, kw_only=True)
class DevicesCommand(WithBoth):
    """List the devices: outliers first, then the slowest against their own cluster.

    A device whose runtime, precision, threads or firmware changed is two states of one device: what
    it runs, since when, and what it ran before.
    """

    cluster: Annotated[int | None, Setting("Only the devices of this cluster.", low=0)] = None
    outliers: Annotated[bool, Setting("Only devices that behave like no other.")] = False
    changed: Annotated[
        bool, Setting("Only devices that run other software than before: two states of each.")
    ] = False
    limit: Annotated[int, Setting("Devices to list at most.", low=1)] = 50


@dataclass(frozen=True, kw_only=True)
class ModelCommand(WithBoth):
    """Trace a network once, store its architecture and print its width groups.

    Channels that cannot be followed stay whole, by layer and reason. Refused is a network of which
    nothing can be pruned, or that does not run.
    """

    name: Annotated[
        str,
        Setting(
            "A timm name, package.module:factory or network.pt2; NAME@3x288x288 takes that input.",
            argument=True,
            reach="code",
        ),
    ]
    input: Input = None
    weights: Annotated[
        Path | None,
        Setting(
            "State dict (.pt, .pth, .safetensors) whose channel importance the search keeps.",
            there="file",
        ),
    ] = None
    pretrained: Annotated[bool, Setting("Take the importance from timm's own weights.")] = False
    compare: Annotated[
        str | None,
        Setting(
            "With --weights: network they were made for (package.module:factory); outputs must "
            "agree.",
            reach="code",
        ),
    ] = None
    keep: Keep = ()
    layers: Annotated[bool, Setting("Print the layers as well.")] = False


@dataclass(frozen=True, kw_only=True)
class ClusterCommand(WithBoth):
    """Group devices that behave alike, from telemetry alone, and name the outliers."""

    choice: ClusteringChoice = BY_DENSITY


@dataclass(frozen=True, kw_only=True)
class PlanCommand(WithBoth):
    """Choose pruned networks for the representatives to measure, and write them as bundles.

    A first batch fills the space; later ones go where the surrogates are unsure or the search wants
    to go. A bundle runs on a device that has Python, numpy and its runtime, nothing else.
    """

    request: PlanRequest
    out: Annotated[Path, Setting("Folder for the bundles; must be new.")]


@dataclass(frozen=True, kw_only=True)
class MeasureCommand(WithDatabase):
    """Measure the networks of a bundle on this machine, as `python3 measure.pyz` in it does.

    Options of measure.pyz follow the bundle: --device-id, --threads, --runtime, --precision,
    --runs, --rounds, --provider, --max-seconds, --out, --sustained 20m (the dense network without
    rest: first minute, last), --list, --dry-run. Stopped, it goes on where it was when started
    again. With --on, devices measure: each gets its bundle over SSH or adb, and its rows are
    ingested.
    """

    bundle: Annotated[
        Path,
        Setting(
            "A bundle of `hdap plan` or `hdap verify`; with --on all of a plan.", argument=True
        ),
    ]
    on: Annotated[
        Path | None,
        Setting(
            "hosts.toml: host, user, port, key and python, or adb, of each device.",
            there="file",
            reach="devices",
        ),
    ] = None
    give_up: Annotated[
        float,
        Setting("With --on: minutes without an answer after which a device is given up.", low=0.0),
    ] = 30.0
    rest: Rest = field(default_factory=Rest)


@dataclass(frozen=True, kw_only=True)
class FitCommand(WithBoth):
    """Learn how long a pruned network takes on each cluster, and say how well that is known.

    Errors are on held-out configurations: what was fitted is never judged. They are against the
    medians of each cluster, and of single devices, which shows a cluster that mixes two kinds. With
    --what-if the surrogates say what the fleet would take in other circumstances, as far as its
    telemetry tells.
    """

    model: Annotated[str, Setting("The model whose latency is learned.", reach="code")]
    kind: SurrogateKind = "fleet"
    what_if: Annotated[
        tuple[str, ...],
        Setting("Predict for clock=0.6 (of today's), temperature=+10 or load=+20 instead."),
    ] = ()
    seed: Seed = 0


@dataclass(frozen=True, kw_only=True)
class SqlCommand(WithBoth):
    """Ask the database in SQL: one SELECT, WITH, VALUES or EXPLAIN. Nothing else is ever run.

    Tables: devices, configurations, measurements, ingests, clusterings, clusters, cluster_devices,
    surrogates, studies, trials, trial_channels, trial_clusters, verifications, epochs, levels,
    operating_points, portfolios, variants. Views: telemetry, best_trials, pareto_trials,
    trial_summary, variant_latencies and trials_MODEL with one column a width group.
    """

    query: Annotated[
        str, Setting("One SQL statement; - reads it from standard input.", argument=True)
    ]
    param: Annotated[
        tuple[str, ...], Setting("NAME=VALUE for :NAME in the statement; repeatable.")
    ] = ()
    as_csv: Annotated[bool, Setting("Print CSV with a header.", flag="csv")] = False
    as_md: Annotated[bool, Setting("Print a Markdown table.", flag="md")] = False
    limit: Annotated[int, Setting("Rows to print at most; says so when it cuts.", low=1)] = 1000
    timeout: Annotated[
        float, Setting("Seconds that the database may work on it; then it is stopped.", low=0.1)
    ] = 60.0


@dataclass(frozen=True, kw_only=True)
class StatusCommand(WithBoth):
    """Say what the database holds, what is stale, and what to do next."""

    model: Annotated[str | None, Setting("Only this model.")] = None


@dataclass(frozen=True, kw_only=True)
class WatchCommand(WithDatabase):
    """Ingest telemetry as it keeps coming, once each, and say when the fleet is no more as it was.

    After every look the rules of `hdap status` are applied: devices that moved or became outliers,
    clusters that grew slower or faster, predictions that no longer hold. With --once the exit
    status is 0 where all is well, 3 where a finding asks for something, 1 where a file or the place
    could not be read. SIGTERM and Ctrl-C end it with status 0 after the file that is being read.
    """

    place: Annotated[
        str,
        Setting(
            "A folder, a prefix (s3://bucket/prefix/, gs://, az://), or - for lines on standard "
            "input: JSON, or CSV with a header.",
            argument=True,
        ),
    ]
    as_json: Annotated[bool, Setting("Print one JSON object a line and event.", flag="json")] = (
        False
    )
    source: Annotated[
        str | None,
        Setting("Read as table source.NAME of hdap.toml says: map, unit, ...", table="source"),
    ] = None
    request: IngestRequest = field(default_factory=IngestRequest)
    once: Annotated[bool, Setting("Look once and end, for cron and Kubernetes.")] = False
    every: Annotated[
        float, Setting("Seconds between looks; of a stream, rows wait so long at most.", low=0.1)
    ] = 60.0
    rest: Annotated[
        float, Setting("Seconds that a file must not have been written to; others wait.", low=0.0)
    ] = 5.0
    metrics_port: Annotated[
        int | None,
        Setting("Answer Prometheus at /metrics on this port; 0 is any.", low=0, high=65535),
    ] = None
    metrics_host: Annotated[
        str,
        Setting("Address for --metrics-port; 0.0.0.0 is every network.", reach="address"),
    ] = "127.0.0.1"
    metrics_file: Annotated[
        Path | None, Setting("Write the metrics into this file, for node_exporter (NAME.prom).")
    ] = None


@dataclass(frozen=True, kw_only=True)
class PruneHistoryCommand(WithBoth):
    """Make old dense telemetry fewer rows: what clusters need of it is kept.

    Of each device, network and software the rows from before --keep become at most nine: their
    latencies' quantiles, each a row with the medians of its like. Measurements of pruned networks,
    rows without a time and rows that are set aside stay. Says what would go; --yes does it. Of
    these devices rows that are so old come in no more.
    """

    keep: Annotated[
        timedelta,
        Setting("How much history stays as it is: 90d, 12w, 36h.", read=parse_span, written="90d"),
    ] = DEFAULT_KEEP
    agreed: Annotated[bool, Setting("Do it.", flag="yes")] = False


@dataclass(frozen=True, kw_only=True)
class SimulateCommand(WithJson):
    """Simulate a fleet: throttling, contention, ageing, spread, heavy-tailed noise, broken rows.

    Every row says simulated, and so does every output that comes from it. The machine is calibrated
    on the measured fleets; heat, ageing and the mix of kinds of cameras and phones are assumed.
    """

    out: Annotated[Path, Setting("Folder for telemetry and hidden truth.")]
    preset: Annotated[
        str,
        Setting(
            "microfleet (as measured), cameras or phones.",
            choices=("microfleet", "cameras", "phones"),
        ),
    ] = "cameras"
    devices: Annotated[int, Setting("Devices of the fleet.", low=1)] = 1000
    model: Annotated[
        tuple[str, ...], Setting("As --model of hdap search; repeatable.", reach="code")
    ] = ("resnet50",)
    rows: Annotated[int, Setting("Dense rows a device sends.", low=1)] = 20
    configurations: Annotated[int, Setting("Pruned networks that are tried.", low=0)] = 200
    measuring_devices: Annotated[int, Setting("Devices that try pruned networks.", low=0)] = 20
    measured_rows: Annotated[int, Setting("Pruned networks that each of them tries.", low=0)] = 50
    broken: Annotated[float, Setting("Share of rows broken on purpose.", low=0.0, high=0.99)] = 0.0
    form: Annotated[
        str,
        Setting("csv, csv.gz or parquet.", flag="format", choices=("csv", "csv.gz", "parquet")),
    ] = "csv.gz"
    answer: Annotated[
        Path | None,
        Setting(
            "Answer this bundle of `hdap plan` with the fleet in --out instead.", there="folder"
        ),
    ] = None
    device: Annotated[tuple[str, ...], Setting("Which devices answer; repeatable.")] = ()
    seed: Seed = 0
