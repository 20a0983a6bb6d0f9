"""From training to a bundle: every way to make a portfolio, and what is refused."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch
from typer.testing import Result

from hdap.fleet_data.store import Store
from hdap.networks.checkpoint import load_checkpoint
from hdap.networks.loading import load_model
from hdap.portfolio.portfolio_bundle import read_bundle

Hdap = Callable[..., Result]
MODEL, OTHER = "portfolionets:small", "portfolionets:other"
CODE = """
import torch
from torch import nn
from torch.utils.data import TensorDataset

def small(last=32):
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, last, 3, padding=1), nn.BatchNorm2d(last), nn.ReLU(),
        nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(), nn.Linear(2 * last, 3),
    )
    network.input_shape = (1, 8, 8)
    return network

def other():
    return small(24)

def rows(count=160, seed=0):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=rng)
    images = 0.5 * torch.randn(count, 1, 8, 8, generator=rng)
    images[torch.arange(count), 0, labels * 2] += 1.0
    return TensorDataset(images, labels), None
"""
DATA = ("--data", "portfolionets:rows")
BUILD = ("portfolio", "build", "--model", MODEL)
TRAIN = ("--epochs", "2", "--batch-size", "16", "--lr", "0.05", *DATA)
FLEET = ("--devices", "16", "--rows", "4", "--configurations", "24", "--measured-rows", "12")


@pytest.fixture(scope="module")
def place(hdap: Hdap, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A simulated fleet that measured the small network, sparse levels and dense weights of it."""
    folder = tmp_path_factory.mktemp("portfolio")
    (folder / "portfolionets.py").write_text(CODE)
    sys.path.insert(0, str(folder))
    db, fleet = str(folder / "hdap.db"), str(folder / "fleet")
    levels = (
        "--sparse-levels",
        "3",
        "--rate",
        "0.7",
        "--model",
        MODEL,
        "--out",
        str(folder / "sparse"),
    )
    for step in (
        ("simulate", "--out", fleet, "--model", MODEL, *FLEET),
        ("model", MODEL, "--db", db),
        ("ingest", f"{fleet}/telemetry.csv.gz", "--db", db),
        ("portfolio", "train", *levels, *TRAIN, "--json", "--db", db),
    ):
        done = hdap(*step)
        assert done.exit_code == 0, done.output
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("portfolionets", None)


@pytest.fixture(scope="module")
def from_sparse(hdap: Hdap, place: Path) -> Result:
    asked = ("--sparse", str(place / "sparse"), "--out", str(place / "bundle"), "--json")
    done = hdap(*BUILD, *asked, db=place / "hdap.db")
    assert done.exit_code == 0, done.output
    return done


def _error(done: Result) -> str:
    assert done.exit_code == 1, done.output
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("error:")]
    assert "Traceback" not in done.output
    return line


def test_sparse_levels_become_smaller_networks_that_compute_the_same(
    place: Path, from_sparse: Result
) -> None:
    document = json.loads(from_sparse.stdout)
    assert document["simulated"] is True
    bundle = read_bundle(place / "bundle")
    assert [v.name for v in bundle.portfolio.variants] == [v["name"] for v in document["variants"]]
    image = np.random.default_rng(0).standard_normal((1, 1, 8, 8)).astype(np.float32)
    for variant in document["variants"]:
        level = place / "sparse" / variant["provenance"]["level"]
        sparse = load_checkpoint(level, model=MODEL).module
        session = onnxruntime.InferenceSession(place / "bundle" / f"{variant['name']}.onnx")
        with torch.no_grad():
            expected = sparse(torch.from_numpy(image)).numpy()
        assert session.run(None, {"input": image})[0] == pytest.approx(expected, rel=1e-3, abs=1e-4)
    smallest, *_, widest = document["variants"]
    assert widest["channels"] == ""
    assert smallest["parameters"] < widest["parameters"] / 2
    levels = json.loads((place / "sparse" / "portfolio-training.json").read_text())["levels"]
    accuracies = {level["name"]: level["accuracy"] for level in levels}
    for variant in document["variants"]:
        assert variant["accuracy"] == accuracies[variant["provenance"]["level"]]


def test_sql_knows_what_each_variant_costs_and_where_it_is_from(
    hdap: Hdap, place: Path, from_sparse: Result
) -> None:
    document = json.loads(from_sparse.stdout)
    db = place / "hdap.db"
    figures = "variant, parameters, bytes, flops, accuracy, fleet_mean_ms, provenance"
    of = f"WHERE portfolio_id = {document['portfolio']}"
    asked = hdap("sql", f"SELECT {figures} FROM variants {of} ORDER BY flops", "--json", db=db)
    rows = json.loads(asked.stdout)
    assert [(r["variant"], r["bytes"], r["accuracy"]) for r in rows] == [
        (v["name"], v["bytes"], v["accuracy"]) for v in document["variants"]
    ]
    assert all(json.loads(r["provenance"])["from"] == "sparse" for r in rows)
    asked = hdap("sql", f"SELECT * FROM variant_latencies {of} ORDER BY 1, 3, 4", "--json", db=db)
    latencies = json.loads(asked.stdout)
    with Store.open(str(db)) as store:
        clusters = len(store.clustering().clusters)
    assert len(latencies) == clusters * len(rows)
    for row in latencies:
        known = next(v for v in document["variants"] if v["name"] == row["variant"])
        cluster = known["latency_ms"][str(row["cluster"])]
        assert (cluster["predicted"], cluster["measured"]) == (
            row["predicted_ms"],
            row["measured_ms"],
        )
        assert row["predicted_low_ms"] < row["predicted_ms"] < row["predicted_high_ms"]


def test_budgets_are_searched_once_and_batch_norms_set_anew(hdap: Hdap, place: Path) -> None:
    db, out = place / "hdap.db", place / "searched"
    grid = ("--flops-tol", "0.2", "--step", "8")  # three groups have few other networks
    budgets = ("--flops", "50%,100%", "--search-trials", "20", *grid)
    start = ("--checkpoint", str(place / "sparse" / "level-00"))
    done = hdap(*BUILD, *budgets, *start, *DATA, "--out", str(out), db=db)
    assert done.exit_code == 0, done.output
    assert "simulated data" in done.stdout
    assert "fleet mean, predicted" in done.stdout
    assert f"next: hdap portfolio serve {out}" in done.stdout
    with Store.open(str(db)) as store:
        studies, first = store.studies(), store.portfolio()
    assert first.settings["flops"] == ["50%", "100%"]
    narrow = first.variants[0]
    assert narrow.provenance["recalibrated"] is True
    assert narrow.flops <= 0.5 * 894_144
    again = hdap(*BUILD, *budgets, *start, "--out", str(place / "again"), "--json", db=db)
    assert again.exit_code == 0, again.output
    assert f"study {studies[-1].name} is current" in again.stderr
    with Store.open(str(db)) as store:
        assert len(store.studies()) == len(studies)
    found, dense = json.loads(again.stdout)["variants"]
    assert found["channels"] == narrow.channels
    assert found["provenance"]["trial"] == narrow.provenance["trial"]
    assert (dense["channels"], dense["kept_importance"]) == ("", pytest.approx(1.0))
    # the fleet measured the dense network, so that stands beside what is predicted
    for cluster in dense["latency_ms"].values():
        assert cluster["measured"] == pytest.approx(cluster["predicted"], rel=0.2)


def test_elastic_levels_need_no_fleet(
    hdap: Hdap, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    levels = ("--flops", "30%,100%", "--epochs", "1", "--out", "elastic")
    trained = hdap("elastic", "train", "--model", MODEL, *DATA, *levels, db="new.db")
    assert trained.exit_code == 0, trained.output
    done = hdap(*BUILD, "--elastic", "elastic", "--measure-here", "--out", "out", db="new.db")
    assert done.exit_code == 0, done.output
    assert "nothing was measured of portfolionets:small, so no latency is predicted" in done.stderr
    assert "measured here" in done.stdout
    with Store.open("new.db") as store:
        record = store.portfolio()
    assert (record.source, record.clustering_id, record.simulated) == ("elastic", None, False)
    assert all(v.clusters == () and np.isnan(v.fleet_mean_ms) for v in record.variants)
    assert {v.provenance["mode"] for v in record.variants} == {"nested"}
    read_bundle(Path("out"))


def test_searches_need_a_fleet(hdap: Hdap, place: Path, tmp_path: Path) -> None:
    budgets = (*BUILD, "--flops", "50%", "--out", str(tmp_path / "out"))
    assert "hdap ingest" in _error(hdap(*budgets, db=tmp_path / "none.db"))
    assert not (tmp_path / "none.db").exists()
    Store.open(str(tmp_path / "empty.db")).close()
    assert "hdap ingest telemetry.csv" in _error(hdap(*budgets, db=tmp_path / "empty.db"))
    assert not (tmp_path / "out").exists()


def test_a_dense_network_is_no_sparse_one(hdap: Hdap, place: Path, tmp_path: Path) -> None:
    build = ("portfolio", "build", "--out", str(tmp_path / "out"), "--model", MODEL)
    dense = str(place / "sparse" / "level-00")
    line = _error(hdap(*build, "--sparse", dense, db=tmp_path / "new.db"))
    assert "must have at least 1% of its weights at zero" in line
    assert "0.00%" in line


def test_masks_of_another_model_are_refused_with_the_first_tensor(
    hdap: Hdap, place: Path, tmp_path: Path
) -> None:
    state = {name: torch.zeros_like(t) for name, t in load_model(OTHER).module.state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / "masks.safetensors")
    build = ("portfolio", "build", "--out", str(tmp_path / "out"), "--model", MODEL)
    masks = str(tmp_path / "masks.safetensors")
    line = _error(hdap(*build, "--sparse", masks, db=tmp_path / "new.db"))
    assert "6.weight (24, 32, 3, 3) instead of (32, 32, 3, 3)" in line


def test_a_cut_level_is_named(hdap: Hdap, place: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(place / "sparse", tmp_path / "sparse")
    weights = tmp_path / "sparse" / "level-02" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    build = (*BUILD, "--sparse", str(tmp_path / "sparse"), "--out", str(tmp_path / "out"))
    assert str(weights) in _error(hdap(*build, db=tmp_path / "new.db"))


def test_devices_can_measure_the_variants_of_a_portfolio(
    hdap: Hdap, place: Path, from_sparse: Result, tmp_path: Path
) -> None:
    document = json.loads(from_sparse.stdout)
    number = str(document["portfolio"])
    plan = ("plan", "--model", MODEL, "--out")
    done = hdap(*plan, str(tmp_path / "bundles"), "--portfolio", number, db=place / "hdap.db")
    assert done.exit_code == 0, done.output
    assert f"Variants of portfolio {number}" in done.stdout
    manifest = json.loads((tmp_path / "bundles" / "bundle-1" / "manifest.json").read_text())
    planned = {entry["channels"] for entry in manifest["configurations"]}
    assert planned == {variant["channels"] for variant in document["variants"]} | {""}
    with Store.open(str(place / "hdap.db")) as store:
        missing = store.portfolio().id + 1
    none = hdap(*plan, str(tmp_path / "none"), "--portfolio", str(missing), db=place / "hdap.db")
    assert "hdap portfolio build" in _error(none)


WRONG = {
    "no source": ((), "one of --sparse, --flops, --elastic, but got none"),
    "two sources": (("--flops", "1G", "--elastic", "x"), "but got --flops and --elastic"),
    "slim without sparse": (("--flops", "1G", "--slim", "50%"), "for sparse networks"),
    "slim without data": (("--sparse", "x", "--slim", "50%"), "give --data"),
    "weights of what has its own": (("--elastic", "x", "--pretrained"), "brings its own weights"),
    "two starts": (("--flops", "1G", "--pretrained", "--checkpoint", "x"), "but got 2 of them"),
    "taylor without images": (("--flops", "1G", "--criterion", "taylor"), "give --data"),
    "unknown criterion": (("--flops", "50%", "--criterion", "size"), "a criterion is one of"),
    "no budget": (("--flops", "50%,much"), "a FLOPs budget must be a number"),
    "nothing there": (
        ("--elastic", "nowhere"),
        "a folder with model.json and model.safetensors, but it cannot be read",
    ),
    "no elastic network": (("--elastic", "sparse/level-00"), "must be of an elastic network"),
    "strange slimming": (("--sparse", "sparse", "--slim", "thin", *DATA), "a share (50%), FLOPs"),
    "a folder in use": (("--elastic", "x", "--out", "sparse"), "must be new, empty or a portfolio"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_usage_is_one_line(
    hdap: Hdap,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(place)
    out = () if "--out" in arguments else ("--out", "wrong")
    assert message in _error(hdap(*BUILD, *arguments, *out, db="hdap.db"))
    assert not (place / "wrong").exists()
