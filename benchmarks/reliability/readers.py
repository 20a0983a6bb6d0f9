"""Every reader of something that a person or another machine wrote, by what it reads.

A reader is given damaged content and may return, or raise the one error that is shown in a line.
"""

import atexit
import io
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import safetensors.torch
import torch

from benchmarks.reliability.attack import ROOT
from benchmarks.reliability.garbage import damaged, damaged_bytes, odd_value
from hdap.cli.app import COMMANDS
from hdap.cli.options.config_file import read_config
from hdap.device.controller import Budget, Controller
from hdap.device.measure.bundle_manifest import read_manifest
from hdap.device.measure.results_file import COLUMNS, ResultsFile
from hdap.device.messages import DeviceError
from hdap.device.operating_table import core_maps, read_table
from hdap.device.sensors import Sensors, governor
from hdap.device.variant_files import read_portfolio
from hdap.elastic.level_file import LevelFile
from hdap.elastic.levels import read_levels
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.configuration import parse_channels
from hdap.fleet_data.documents import JsonDocument, read_document
from hdap.fleet_data.errors import HdapError
from hdap.fleet_data.ingest import check_source, ingest
from hdap.fleet_data.ingest.readers.row_facts import RowFacts
from hdap.fleet_data.measuring_bundle import MeasuringBundle
from hdap.fleet_data.plan_file import PlanFile
from hdap.fleet_data.store import Store
from hdap.networks.manifest import NetworkManifest
from hdap.networks.weights import load_weights
from hdap.portfolio.portfolio_bundle import PortfolioFile
from hdap.portfolio.sparse_training import TrainingRecord
from hdap.simulation.calibrated import Calibration
from hdap.simulation.fleet_folder import SimulationFile
from hdap.workflows.compression_journal import Journal

DOCUMENTS = ROOT / "tests" / "data" / "documents"
LOGS = ROOT / "tests" / "data" / "logs"
KNOWN = (HdapError, DeviceError)
Read = Callable[[Path, random.Random], None]
"""Makes garbage in an empty folder from the generator, and reads it."""

_HOST: Mapping[str, type[JsonDocument]] = {
    "manifest.json": MeasuringBundle,
    "portfolio.json": PortfolioFile,
    "levels.json": LevelFile,
    "model.json": NetworkManifest,
    "elastic-model.json": NetworkManifest,
    "compression.json": Journal,
    "plan.json": PlanFile,
    "portfolio-training.json": TrainingRecord,
    "simulation.json": SimulationFile,
    "calibrated.json": Calibration,
}


@dataclass(frozen=True)
class Reader:
    """A reader and how many in a hundred cases it gets: the slow ones few."""

    name: str
    read: Read
    share: int


@cache
def _valid(name: str) -> bytes:
    return (DOCUMENTS / name).read_bytes()


def _document(name: str) -> Read:
    def read(folder: Path, rng: random.Random) -> None:
        path = folder / name
        path.write_bytes(damaged(_valid(name), rng))
        read_document(path, _HOST[name])

    return read


def _manifest_on_a_device(folder: Path, rng: random.Random) -> None:
    (folder / "manifest.json").write_bytes(damaged(_valid("manifest.json"), rng))
    read_manifest(str(folder))


def _portfolio_on_a_device(folder: Path, rng: random.Random) -> None:
    (folder / "portfolio.json").write_bytes(damaged(_valid("portfolio.json"), rng))
    read_portfolio(str(folder))


def _table_on_a_device(folder: Path, rng: random.Random) -> None:
    path = folder / "levels.json"
    path.write_bytes(damaged(_valid("levels.json"), rng))
    table = read_table(str(path), 0)
    controller = Controller(table, Budget(latency_ms=table.target_ms))
    controller.decide()


@cache
def _architecture() -> Architecture:
    return Architecture.from_json(_architecture_text())


@cache
def _architecture_text() -> str:
    return (ROOT / "tests" / "data" / "mobilenetv1_100.architecture.json").read_text()


def _described(folder: Path, rng: random.Random) -> None:
    text = damaged(_architecture_text().encode(), rng).decode(errors="replace")
    made = Architecture.from_json(text)
    assert made.digest


def _levels(folder: Path, rng: random.Random) -> None:
    path = folder / "levels.json"
    one, two, three = (group.name for group in _architecture().groups[:3])
    levels = [{one: 8, two: 8}, f"{two}=8;{three}=16", {"channels": {one: 16}}]
    text = json.dumps({"levels": levels})
    path.write_bytes(damaged(text.encode(), rng))
    read_levels(_architecture(), path)


def _channels(folder: Path, rng: random.Random) -> None:
    names = [group.name for group in _architecture().groups[:5]]
    text = ";".join(f"{name}={8 * i}" for i, name in enumerate(names, 1))
    texts = [damaged_bytes(text.encode(), rng).decode(errors="replace") for _ in range(3)]
    parse_channels(_architecture(), texts)


def _settings(folder: Path, rng: random.Random) -> None:
    path = folder / "hdap.toml"
    path.write_bytes(damaged_bytes(b'db = "f.db"\n[search]\nflops = "1G"\nseed = 3\n', rng))
    read_config(path, COMMANDS)


_ROW = "d%d,resnet50,%s,,2026-11-0%dT00:00:00Z,1500,40.5\n"
_HEAD = "device_id,model,latency_ms,channels,timestamp,cpu_freq_mhz,temperature_c\n"


def _csv_text(rng: random.Random) -> bytes:
    rows = [_ROW % (i, 50 + i / 7, 1 + i % 9) for i in range(12)]
    return (_HEAD + "".join(rows)).encode()


def _telemetry_header(folder: Path, rng: random.Random) -> None:
    path = folder / "telemetry.csv"
    path.write_bytes(damaged_bytes(_csv_text(rng), rng))
    check_source(path)


def _telemetry(folder: Path, rng: random.Random) -> None:
    path = folder / rng.choice(("telemetry.csv", "a.csv.gz", "a.parquet"))
    path.write_bytes(damaged_bytes(_csv_text(rng), rng))
    _ingest(path)


def _logs(folder: Path, rng: random.Random) -> None:
    sample = rng.choice(sorted(LOGS.iterdir()))
    path = folder / sample.name
    path.write_bytes(damaged_bytes(sample.read_bytes(), rng))
    check_source(path, RowFacts("cam-7", rng.choice(("resnet50", ""))))


def _parquet(folder: Path, rng: random.Random) -> None:
    path = folder / "telemetry.parquet"
    table = {
        "device_id": pa.array(["a", "b", "c"]),
        "model": pa.array(["resnet50"] * 3),
        "latency_ms": pa.array([1.0, 2.0, 3.0]),
    }
    for _ in range(rng.choice((0, 1, 1, 2))):
        name = rng.choice((*table, "timestamp", "runs", "channels", "extra", "", "\n", "é" * 300))
        table[name] = rng.choice(_ODD_COLUMNS)()
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(table), sink)
    content = sink.getvalue()
    path.write_bytes(damaged_bytes(content, rng) if rng.random() < 0.5 else content)
    _ingest(path)


_ODD_COLUMNS: tuple[Callable[[], pa.Array], ...] = (
    lambda: pa.array([1, 2, 3], pa.duration("us")),
    lambda: pa.array([b"\xff", b"\xfe\x00", b"ok"]),
    lambda: pa.array([b"abcd"] * 3, pa.binary(4)),
    lambda: pa.array([b"\xff\xff\xff\xff"] * 3, pa.large_binary()),
    lambda: pa.array([1, None, 3], pa.time64("ns")),
    lambda: pa.array([1, 2, 3], pa.date32()),
    lambda: pa.array([2**52] * 3, pa.timestamp("ms")),
    lambda: pa.array([2**62] * 3, pa.timestamp("us", "Europe/Berlin")),
    lambda: pa.array([1, 2, 3], pa.timestamp("ms", "+01:00")),
    lambda: pa.array([None] * 3, pa.null()),
    lambda: pa.array([float("nan"), float("inf"), -1.0], pa.float32()),
    lambda: pa.array([1.0, 2.0, 3.0]).cast(pa.decimal128(10, 3)),
    lambda: pa.array([True, False, None]),
    lambda: pa.array(["a", "b", "a"]).dictionary_encode(),
    lambda: pa.array([[1], [2], []]),
    lambda: pa.array([{"a": 1}] * 3),
    lambda: pa.array([2**64 - 1] * 3, pa.uint64()),
    lambda: pa.array(["\0", "\n", "é"]),
    lambda: pa.array([1, 2, 3], pa.duration("ns")),
    lambda: pa.array(["x"] * 3, pa.large_string()),
    lambda: pa.array(["x"] * 3, pa.string_view()),
    lambda: pa.array([1, 2, 3], pa.time32("ms")),
)  # fmt: skip


@cache
def _store() -> Store:
    folder = tempfile.mkdtemp(prefix="hdap-garbage-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    store = Store.open(f"{folder}/fleet.db")
    atexit.register(store.close)
    return store


def _ingest(path: Path) -> None:
    ingest(_store(), path, rejected_path=path.with_name("rejected.csv"))


def _weights(folder: Path, rng: random.Random) -> None:
    network = torch.nn.Linear(2, 3)
    state: dict[str, torch.Tensor] = dict(network.state_dict())
    path = folder / rng.choice(("w.pt", "w.safetensors"))
    if path.suffix == ".pt":
        for _ in range(rng.randrange(3)):
            name = rng.choice((*state, "more", "weight_orig", "weight_mask"))
            state[name] = rng.choice(_ODD_TENSORS)()
        torch.save(rng.choice((state, {"state_dict": state}, [state], odd_value(rng))), path)
    else:
        safetensors.torch.save_file(state, path)
    if rng.random() < 0.5:
        path.write_bytes(damaged_bytes(path.read_bytes(), rng))
    load_weights(network, path)


_ODD_TENSORS: tuple[Callable[[], torch.Tensor], ...] = (
    lambda: torch.zeros(3, 2, device="meta"),
    lambda: torch.eye(3)[:, :2].to_sparse(),
    lambda: torch.zeros(3, 2, dtype=torch.complex64),
    lambda: torch.zeros(3, 2, dtype=torch.int8),
    lambda: torch.zeros(3, 2, dtype=torch.bool),
    lambda: torch.full((3, 2), torch.nan),
    lambda: torch.zeros(0),
    lambda: torch.zeros(3, 2, dtype=torch.float8_e4m3fn),
    lambda: torch.zeros(3, device="meta"),
    lambda: torch.quantize_per_tensor(torch.zeros(3, 2), 0.1, 0, torch.qint8),
)


def _results(folder: Path, rng: random.Random) -> None:
    path = folder / "measured.csv"
    row = ",".join("1.5" for _ in COLUMNS)
    path.write_bytes(damaged_bytes((",".join(COLUMNS) + "\n" + f"{row}\n" * 4).encode(), rng))
    results = ResultsFile(str(path))
    try:
        results.open()
        results.finish(("1.5", "1.5", "1.5", "1.5"), None)
    finally:
        results.close()


_SENSOR_FILES = {
    "proc/stat": b"cpu  100 0 100 1000 5 0 0 0\n",
    "proc/meminfo": b"MemTotal: 100 kB\nMemAvailable: 2000 kB\n",
    "proc/loadavg": b"0.5 0.4 0.3 1/100 1\n",
    "proc/cpuinfo": b"cpu MHz\t: 2000.0\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": b"1500000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": b"schedutil\n",
    "sys/devices/system/cpu/cpu0/cpu_capacity": b"1024\n",
    "sys/class/thermal/thermal_zone0/temp": b"45000\n",
    "sys/class/thermal/thermal_zone0/type": b"cpu-thermal\n",
    "sys/class/power_supply/BAT0/type": b"Battery\n",
    "sys/class/power_supply/BAT0/status": b"Discharging\n",
    "sys/class/power_supply/BAT0/capacity": b"80\n",
    "sys/class/power_supply/BAT0/charge_full": b"4000\n",
    "sys/class/power_supply/BAT0/charge_full_design": b"5000\n",
    "sys/class/power_supply/BAT0/voltage_now": b"4000000\n",
    "sys/class/power_supply/BAT0/current_now": b"1000000\n",
    "sys/class/devfreq/gpu/cur_freq": b"800000000\n",
}
_ODD_READINGS = (
    b"", b"nan", b"inf", b"-inf", b"1e999", b"-1", b"0", b"1e-320", b"\xff\xfe", b"\0", b"a b c",
    b"9" * 400, b"<unsupported>", b"cpu  nan inf 1 2 3 4", b"cpu", b"MemAvailable:",
    b"MemAvailable: nan kB", b"MemAvailable: 1e400 kB", b"cpu MHz :", b"cpu MHz : inf", b"\n\n",
)  # fmt: skip


def _sensors(folder: Path, rng: random.Random) -> None:
    for name, content in rng.sample(sorted(_SENSOR_FILES.items()), rng.randint(3, 12)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        odd = rng.choice(_ODD_READINGS) if rng.random() < 0.5 else damaged_bytes(content, rng)
        path.write_bytes(odd)
    sensors = Sensors(str(folder), typical_mhz=1000.0)
    for _ in range(2):
        reading = sensors.read()
    for value in vars(reading).values():
        assert value is None or -1e9 < value < 1e12, f"{value} is told as known"
    governor(str(folder))
    core_maps(str(folder))


READERS = (
    *(Reader(name, _document(name), 5) for name in _HOST),
    Reader("manifest on a device", _manifest_on_a_device, 6),
    Reader("portfolio on a device", _portfolio_on_a_device, 6),
    Reader("table on a device", _table_on_a_device, 6),
    Reader("description of a network", _described, 3),
    Reader("levels by hand", _levels, 5),
    Reader("channel list", _channels, 5),
    Reader("hdap.toml", _settings, 5),
    Reader("header of telemetry", _telemetry_header, 5),
    Reader("telemetry", _telemetry, 2),
    Reader("Parquet", _parquet, 2),
    Reader("measurement logs", _logs, 5),
    Reader("weights", _weights, 5),
    Reader("results of a device", _results, 5),
    Reader("sensors", _sensors, 5),
)


def tried(folder: Path, seed: int, reader: Reader | None = None) -> str:
    """What was answered badly in the case of this seed; empty where nothing was."""
    rng = random.Random(seed)
    chosen = reader or rng.choices(READERS, [one.share for one in READERS])[0]
    case = folder / "case"
    shutil.rmtree(case, ignore_errors=True)
    case.mkdir(parents=True)
    try:
        chosen.read(case, rng)
    except KNOWN as error:
        if "\n" in str(error):
            return f"seed {seed}, {chosen.name}: more than one line: {str(error)[:200]!r}"
    except Exception as error:
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        at = "" if where is None else f" at {where.tb_frame.f_code.co_filename}:{where.tb_lineno}"
        return f"seed {seed}, {chosen.name}: {type(error).__name__}: {str(error)[:120]!r}{at}"
    return ""
