"""Portfolios of networks that are made here: what is bundled is what was judged."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from hdap.fleet_data.errors import InputError, UnsupportedModelError
from hdap.fleet_data.store import Store
from hdap.networks.surgery import prune
from hdap.networks.tracing import describe
from hdap.portfolio.build_variants import BuildOrder, Built, build
from hdap.portfolio.candidates import Candidate, Candidates, importance_in
from hdap.portfolio.portfolio_bundle import read_bundle
from hdap.training.datasets import Data
from hdap.training.network_quality import evaluate

SHAPE = (1, 6, 6)


def _network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3),
        ).eval()  # fmt: skip


class _Flipping(nn.Module):
    """Another answer each time: no file can compute the same."""

    def __init__(self) -> None:
        super().__init__()
        self.network = _network()
        self.sign = 1.0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.sign = -self.sign
        found: torch.Tensor = self.sign * self.network(images)
        return found


@pytest.fixture(scope="module")
def candidates() -> Candidates:
    """The dense network, two that are cut, and two that none needs."""
    dense = _network()
    architecture = describe(dense, "net", SHAPE)
    networks = []
    for label, row, accuracy in (
        ("dense", (16, 16), 0.9),
        ("half", (8, 8), 0.8),
        ("quarter", (4, 4), 0.6),
        ("odd", (12, 12), 0.7),
        ("half again", (8, 8), 0.75),
    ):
        counts = np.array(row)
        network = prune(dense, architecture, counts)
        networks.append(Candidate(label, network, counts, {"from": "sparse"}, accuracy))
    importance = importance_in(dense, architecture)
    return Candidates("sparse", architecture, importance, tuple(networks))


@dataclass(frozen=True)
class Made:
    """A portfolio, where it lies, and the store that knows it."""

    built: Built
    folder: Path
    database: Path


def _make(candidates: Candidates, order: BuildOrder) -> Made:
    database = order.out.parent / "hdap.db"
    with Store.open(str(database)) as store:
        built = build(store, candidates, None, order)
    return Made(built, order.out, database)


@pytest.fixture(scope="module")
def made(candidates: Candidates, tmp_path_factory: pytest.TempPathFactory) -> Made:
    out = tmp_path_factory.mktemp("made") / "out"
    return _make(candidates, BuildOrder(out, asked={"seed": 0}))


@pytest.fixture(scope="module")
def judged(candidates: Candidates, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two at most, timed here, and judged."""
    out = tmp_path_factory.mktemp("judged") / "out"
    data = Data(TensorDataset(torch.zeros(1, *SHAPE), torch.zeros(1)), _samples(candidates), 3)
    return _make(candidates, BuildOrder(out, most=2, data=data, measure_here=True))


def _samples(candidates: Candidates) -> TensorDataset:
    """Images that the dense network gets right by definition."""
    images = 5 * torch.randn(50, *SHAPE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return TensorDataset(images, candidates.networks[0].module(images).argmax(1))


@pytest.fixture
def bundle(made: Made, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(made.folder, tmp_path / "out"))


def test_every_variant_of_the_bundle_answers_as_the_network_that_it_is(
    made: Made, candidates: Candidates
) -> None:
    bundle = read_bundle(made.folder)
    assert [v.name for v in bundle.portfolio.variants] == ["v0", "v1", "v4"]
    by_label = {one.label: one.module for one in candidates.networks}
    image = np.random.default_rng(0).standard_normal((1, *SHAPE)).astype(np.float32)
    for variant in bundle.document.variants:
        session = onnxruntime.InferenceSession(made.folder / f"{variant.name}.onnx")
        with torch.no_grad():
            wanted = by_label[variant.provenance["label"]](torch.from_numpy(image)).numpy()
        assert session.run(None, {"input": image})[0] == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    assert bundle.document == made.built.document
    assert (bundle.portfolio.shape, bundle.document.classes) == (SHAPE, 3)


def test_the_table_in_the_store_is_that_of_the_manifest(made: Made) -> None:
    with Store.open(str(made.database)) as store:
        record = store.portfolio()
    assert (record.id, record.clustering_id) == (made.built.document.portfolio, None)
    assert Path(record.bundle) == made.folder
    listed = made.built.document.variants
    assert [v.variant for v in record.variants] == [v.name for v in listed]
    for stored, manifest in zip(record.variants, listed, strict=True):
        same = ("channels", "parameters", "bytes", "flops", "kept_importance", "accuracy")
        assert [getattr(stored, name) for name in same] == [
            getattr(manifest, name) for name in same
        ]
        sizes = [file.bytes for file in manifest.files.values()]
        file = made.folder / f"{stored.variant}.onnx"
        assert sum(sizes) == stored.bytes == file.stat().st_size
        assert manifest.latency_ms == {}
    assert record.variants[-1].kept_importance == pytest.approx(1.0)
    assert record.settings["seed"] == 0


def test_a_dominated_network_is_named_and_its_file_gone(made: Made) -> None:
    told = [(x["label"], x["why"]) for x in made.built.record.settings["left_out"]]
    assert told == [
        ("half again", "has the channels of v1 and is no more accurate"),
        ("odd", "is dominated by v1"),
    ]
    assert sorted(path.name for path in made.folder.glob("*.onnx")) == [
        "v0.onnx",
        "v1.onnx",
        "v4.onnx",
    ]
    assert made.built.record.settings["compared_by"] == ["FLOPs", "bytes", "accuracy"]


def test_accuracy_is_judged_on_the_validation_part_where_there_is_data(
    judged: Made, candidates: Candidates
) -> None:
    by_label = {one.label: one.module for one in candidates.networks}
    samples = _samples(candidates)
    for variant in judged.built.record.variants:
        network = by_label[variant.provenance["label"]]
        assert variant.accuracy == evaluate(network, samples).accuracy
    assert judged.built.record.variants[-1].accuracy == 1.0


def test_no_more_variants_than_asked_for(judged: Made) -> None:
    kept = [v.variant for v in judged.built.record.variants]
    assert len(kept) <= 2
    files = {path.name for path in judged.folder.glob("*.onnx")}
    assert files == {f"{name}.onnx" for name in kept}


def test_networks_are_timed_here_when_asked(judged: Made) -> None:
    assert judged.built.record.settings["compared_by"][0] == "latency measured here"
    assert all(0 < (v.measured_here_ms or 0) < 1000 for v in judged.built.document.variants)


def test_the_same_networks_give_the_same_files(made: Made, judged: Made) -> None:
    first, second = (
        {v.name: v.files for v in one.built.document.variants} for one in (made, judged)
    )
    both = first.keys() & second.keys()
    assert both
    assert [first[name] for name in both] == [second[name] for name in both]


def _refused(bundle: Path) -> str:
    with pytest.raises(InputError) as refused:
        read_bundle(bundle)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_variant_that_was_changed_or_cut_is_named_with_its_hash(bundle: Path) -> None:
    file = bundle / "v1.onnx"
    whole = file.read_bytes()
    (entry,) = [v for v in json.loads((bundle / "portfolio.json").read_text())["variants"]
                if v["name"] == "v1"]  # fmt: skip
    promised = entry["files"]["v1.onnx"]["sha256"]
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    changed = _refused(bundle)
    assert str(file) in changed
    assert promised in changed
    file.write_bytes(whole[:-7])
    assert f"{file} must have {len(whole)} bytes" in _refused(bundle)
    file.unlink()
    assert str(file) in _refused(bundle)


def test_a_manifest_that_was_changed_is_refused(bundle: Path) -> None:
    manifest = bundle / "portfolio.json"
    manifest.write_text(manifest.read_text().replace('"accuracy": 0.9', '"accuracy": 0.99'))
    assert "portfolio.json" in _refused(bundle)
    manifest.unlink()
    assert "portfolio.json" in _refused(bundle)


def test_a_bundle_is_replaced_only_when_asked_and_nothing_else_ever(
    candidates: Candidates, bundle: Path
) -> None:
    dense = replace(candidates, networks=candidates.networks[:1])
    with pytest.raises(InputError, match="holds a portfolio; name another folder, or replace"):
        _make(dense, BuildOrder(bundle))
    _make(dense, BuildOrder(bundle, force=True))
    assert [v.name for v in read_bundle(bundle).portfolio.variants] == ["v0"]
    assert not (bundle / "v1.onnx").exists()
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        _make(dense, BuildOrder(bundle, force=True))


def test_what_fails_leaves_the_bundle_that_was_there(
    candidates: Candidates, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (bundle / "portfolio.json").read_bytes()
    wrong = TensorDataset(torch.zeros(4, 2, 6, 6), torch.zeros(4, dtype=torch.long))
    with pytest.raises(InputError, match="must take images of"):
        _make(candidates, BuildOrder(bundle, data=Data(wrong, wrong, 3), force=True))
    backwards = replace(candidates.networks[1], module=_Flipping())
    with pytest.raises(UnsupportedModelError):
        _make(replace(candidates, networks=(backwards,)), BuildOrder(bundle, force=True))
    assert (bundle / "portfolio.json").read_bytes() == before
    assert [path.name for path in bundle.parent.iterdir() if "writing" in path.name] == []
    with Store.open(str(bundle.parent / "hdap.db")) as store:
        assert store.query("SELECT * FROM portfolios").rows == ()
    read_bundle(bundle)


def test_a_portfolio_of_nothing_is_refused(candidates: Candidates, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs networks"):
        _make(replace(candidates, networks=()), BuildOrder(tmp_path / "out"))
