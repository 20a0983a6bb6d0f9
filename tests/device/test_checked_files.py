"""What manifests on a device may say: files of their own folder, numbers that are numbers."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from hdap.device.checked_files import FileChecker, inside
from hdap.device.measure.bundle_manifest import check_files, read_manifest
from hdap.device.messages import DeviceError
from hdap.device.operating_table import read_table
from hdap.device.variant_files import read_portfolio

OUTSIDE = (
    "/etc/passwd",
    "../secret",
    "a/../../secret",
    "..",
    ".",
    "",
    "C:secret",
    "C:\\secret",
    "c:/secret",
    "\\\\host\\share\\secret",
    "a\\..\\secret",
    "link",
    "folder/secret",
    "a\0b",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    outside, folder = tmp_path / "outside", tmp_path / "bundle"
    for each in (outside, folder):
        each.mkdir()
    (outside / "secret").write_text("secret")
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(outside / "secret")
    (folder / "folder").symlink_to(outside)
    (folder / "circle").symlink_to("circle")
    (folder / "own").write_text("own")
    (folder / "alias").symlink_to("own")
    return folder


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str, folder: Path) -> None:
    with pytest.raises(DeviceError, match="of its own folder"):
        inside(str(folder), name)
    with pytest.raises(DeviceError, match="of its own folder"):
        FileChecker().check(str(folder), {name: (6, hashlib.sha256(b"secret").hexdigest())})


def test_files_of_the_folder_and_links_within_are_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    through = folder.with_name("through")
    through.symlink_to(folder)
    monkeypatch.chdir(folder)
    for name in ("own", "alias", "not there yet"):
        assert inside(str(folder), name) == str(folder / name)
        assert inside(str(through), name) == str(through / name)
        assert inside(".", name) == os.path.join(".", name)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["/etc/passwd", "../secret", "link", "C:secret"])
def test_a_measuring_bundle_names_its_own_files(name: str, shared: bool, folder: Path) -> None:
    mine = {"file": "own", "sha256": hashlib.sha256(b"own").hexdigest()}
    foreign = {"file": name, "sha256": hashlib.sha256(b"secret").hexdigest()}
    reference = {**mine, "channels": "", "role": "reference"}
    manifest: dict[str, Any] = {
        "format": 1,
        "bundle": "b",
        "model": "m",
        "input_shape": [1, 3, 8, 8],
        "configurations": [reference],
        "shared": [mine],
    }
    path = folder / "manifest.json"
    path.write_text(json.dumps(manifest))
    assert check_files(read_manifest(str(folder)))[1] == []
    if shared:
        manifest["shared"].append(foreign)
    else:
        manifest["configurations"].append({**reference, **foreign, "role": "candidate"})
    path.write_text(json.dumps(manifest))
    with pytest.raises(DeviceError, match="of its own folder"):
        read_manifest(str(folder))


@pytest.mark.parametrize("shape", [[1, 16000], [1, 1, 16000], [4, 3, 8, 8, 8]])
def test_a_measuring_bundle_takes_inputs_of_any_rank(shape: list[int], folder: Path) -> None:
    reference = {"file": "own", "sha256": "", "channels": "", "role": "reference"}
    manifest = {"format": 1, "bundle": "b", "model": "m", "configurations": [reference]}
    path = folder / "manifest.json"
    path.write_text(json.dumps({**manifest, "input_shape": shape}))
    assert read_manifest(str(folder)).input_shape == tuple(shape)
    for wrong in ([1], [1] * 6, [1, 0]):
        path.write_text(json.dumps({**manifest, "input_shape": wrong}))
        with pytest.raises(DeviceError, match="is damaged"):
            read_manifest(str(folder))


@pytest.mark.parametrize("shape", [[16000], [1, 16000], [3, 8, 8, 8]])
def test_a_portfolio_takes_inputs_of_any_rank(shape: list[int], folder: Path) -> None:
    entry = {"bytes": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}
    variant = {"name": "v", "files": {"v.onnx": entry}, "parameters": 1, "bytes": 6, "flops": 1}
    document: dict[str, Any] = {"kind": "hdap portfolio", "format": 1, "model": "m"}
    document["variants"] = [variant]
    for sizes in (shape, [], [1] * 5, [3, 0]):
        given = {**document, "input": {"name": "input", "shape": sizes}}
        _sealed(folder / "portfolio.json", given)
        if sizes == shape:
            assert read_portfolio(str(folder)).shape == tuple(shape)
        else:
            with pytest.raises(DeviceError, match="its shape is"):
                read_portfolio(str(folder))


def _sealed(path: Path, document: dict[str, Any]) -> Path:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    path.write_text(json.dumps({**document, "digest": hashlib.sha256(text.encode()).hexdigest()}))
    return path


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret", "link", "folder/secret"])
def test_a_portfolio_names_its_own_files(name: str, folder: Path) -> None:
    entry = {"bytes": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}
    variant = {"name": "v", "files": {"v.onnx": entry}, "parameters": 1, "bytes": 6, "flops": 1}
    document = {
        "kind": "hdap portfolio",
        "format": 1,
        "model": "m",
        "input": {"name": "input", "shape": [3, 8, 8]},
        "variants": [variant],
    }
    _sealed(folder / "portfolio.json", document)
    assert read_portfolio(str(folder)).variants[0].name == "v"
    variant["files"] = {"v.onnx": entry, name: entry}
    _sealed(folder / "portfolio.json", document)
    with pytest.raises(DeviceError, match="of its own folder"):
        read_portfolio(str(folder))


@pytest.mark.parametrize("clock", [float("inf"), float("nan"), 1e400, 0.0, -1.0, None, [], "x"])
def test_clocks_of_a_table_are_numbers_above_zero(clock: Any, tmp_path: Path) -> None:
    point = {"clock": clock, "level": 0, "latency_ms": [1.0], "low_ms": [1.0], "high_ms": [1.0]}
    cluster = {"cluster": 0, "points": [point], "typical_mhz": 1000.0, "clock_column": None}
    level = {"accuracy": 0.5, "kept_importance": 0.5}
    document = {"kind": "hdap levels", "format": 1, "model": "m", "target_ms": 1.0}
    document |= {"clusters": [cluster], "levels": [level]}
    path = _sealed(tmp_path / "levels.json", document)
    with pytest.raises(DeviceError):
        read_table(str(path), 0)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff\xfe",
        b"[]",
        b"null",
        b"1",
        b'{"format": NaN}',
    ],
)
def test_what_is_no_document_is_one_line(content: bytes, tmp_path: Path) -> None:
    for name in ("manifest.json", "portfolio.json", "levels.json"):
        (tmp_path / name).write_bytes(content)
    for read in (
        lambda: read_manifest(str(tmp_path)),
        lambda: read_portfolio(str(tmp_path)),
        lambda: read_table(str(tmp_path / "levels.json"), 0),
    ):
        with pytest.raises(DeviceError) as told:
            read()
        assert "\n" not in str(told.value)
