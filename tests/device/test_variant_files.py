"""Files of variants that are changed, cut, gone or mapped, under a switcher that runs."""

import hashlib
import json
import mmap
import os
import sys
from pathlib import Path

import onnx
import pytest

from hdap.device.messages import DeviceError
from hdap.device.process import page_in
from hdap.device.switcher import Switcher
from hdap.fleet_data.documents import document_digest
from tests.device.switcher_clients import Image, clients, until


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_file_that_is_not_as_built_is_refused_and_the_running_variant_keeps_serving(
    portfolio_bundle: Path, image: Image, expected: dict[str, Image], damage: str
) -> None:
    path = portfolio_bundle / "v0.onnx"
    good = path.read_bytes()
    if damage == "changed":
        path.write_bytes(good[:-9] + bytes(1) + good[-8:])
    elif damage == "cut":
        path.write_bytes(good[: len(good) // 2])
    else:
        path.unlink()
    lines: list[str] = []
    with Switcher(str(portfolio_bundle), log=lines.append) as switcher:
        with clients(switcher, image, expected, 2) as told:
            switcher.switch("v0")
            assert switcher.wait(30)
            asked = told.asked
            assert until(lambda: told.asked > asked)
        stats = switcher.stats()
        assert (stats.current, stats.refused, stats.failures, told.lost) == ("v2", 1, 0, [])
        assert "v0.onnx must" in lines[-1]
        assert "v2 keeps serving" in lines[-1]
        assert "\n" not in lines[-1]
        if damage != "gone":
            digest = json.loads((portfolio_bundle / "portfolio.json").read_text())
            assert digest["variants"][0]["files"]["v0.onnx"]["sha256"] in lines[-1]
        path.write_bytes(good)
        switcher.switch("v0")
        assert switcher.wait(30)
        assert switcher.current == "v0"


def test_a_file_changed_under_a_running_variant_is_noticed_when_it_is_opened_again(
    portfolio_bundle: Path, image: Image, expected: dict[str, Image]
) -> None:
    with Switcher(str(portfolio_bundle), start="v0") as switcher:
        path = portfolio_bundle / "v0.onnx"
        times = path.stat()
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert switcher.run(image)[0] == pytest.approx(expected["v0"], rel=1e-4, abs=1e-4)
        for name, now in (("v1", "v1"), ("v0", "v1")):
            switcher.switch(name)
            assert switcher.wait(30)
            assert switcher.current == now


def test_what_this_machine_keeps_is_checked_too_and_made_again(
    portfolio_bundle: Path, image: Image, expected: dict[str, Image], tmp_path: Path
) -> None:
    cache, lines = tmp_path / "cache", list[str]()
    with Switcher(str(portfolio_bundle), start="v1", cache=str(cache)):
        (kept,) = cache.glob("*/v1.bin")
    kept.write_bytes(kept.read_bytes()[:-100])
    with Switcher(
        str(portfolio_bundle), start="v1", cache=str(cache), log=lines.append
    ) as switcher:
        assert switcher.run(image)[0] == pytest.approx(expected["v1"], rel=1e-4, abs=1e-4)
    assert "made again" in lines[0]
    made = kept.stat().st_mtime_ns
    with Switcher(str(portfolio_bundle), start="v1", cache=str(cache)):
        assert kept.stat().st_mtime_ns == made


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_weights_are_mapped_and_unmapped_when_their_variant_is_released(
    portfolio_bundle: Path,
) -> None:
    def mapped() -> set[str]:
        rows = Path(f"/proc/{os.getpid()}/maps").read_text().splitlines()
        return {Path(r.split()[-1]).name for r in rows if str(portfolio_bundle) in r}

    with Switcher(str(portfolio_bundle), start="v2") as switcher:
        assert mapped() == {"v2.bin"}
        switcher.switch("v1")
        assert switcher.wait(30)
        assert mapped() == {"v1.bin"}
    assert mapped() == set()


def test_what_onnx_runtime_does_not_open_is_one_line(portfolio_bundle: Path) -> None:
    path = portfolio_bundle / "portfolio.json"
    document = json.loads(path.read_text())
    del document["digest"]
    content = b"no network"
    (portfolio_bundle / "v2.onnx").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    document["variants"][2]["files"] = {"v2.onnx": {"bytes": len(content), "sha256": digest}}
    path.write_text(json.dumps(document | {"digest": document_digest(document)}))
    with pytest.raises(DeviceError, match=r"v2\.onnx must be a network that onnxruntime") as raised:
        Switcher(str(portfolio_bundle))
    assert "\n" not in str(raised.value)
    lines: list[str] = []
    with Switcher(str(portfolio_bundle), start="v0", log=lines.append) as switcher:
        assert "v2.onnx must be a network that onnxruntime runs" in lines[0]
        switcher.switch("v2")
        assert switcher.wait(30)
        assert switcher.current == "v0"
    (portfolio_bundle / "file").touch()
    with pytest.raises(DeviceError, match="Not a directory"):
        Switcher(str(portfolio_bundle), start="v0", cache=str(portfolio_bundle / "file" / "x"))


def test_manifests_that_are_not_as_built_are_one_line(portfolio_bundle: Path) -> None:
    path = portfolio_bundle / "portfolio.json"
    document = json.loads(path.read_text())
    del document["digest"]

    def refused(match: str, **change: object) -> None:
        changed = document | change
        path.write_text(json.dumps(changed | {"digest": document_digest(changed)}))
        with pytest.raises(DeviceError, match=match) as raised:
            Switcher(str(portfolio_bundle))
        assert "\n" not in str(raised.value)

    refused("must have format 1", format=2)
    refused("must be a file of `hdap portfolio build`", kind="other")
    refused("one variant or more", variants=[])
    refused(r"is damaged \(KeyError: 'shape'\)", input={"name": "input"})
    outside = document["variants"][0] | {"files": {"../v0.onnx": {"bytes": 1, "sha256": ""}}}
    refused("files of its own folder", variants=[outside])
    path.write_text(json.dumps(document | {"digest": document_digest(document), "model": "x"}))
    with pytest.raises(DeviceError, match="damaged or was changed by hand"):
        Switcher(str(portfolio_bundle))
    with pytest.raises(DeviceError, match="can be read"):
        Switcher(str(portfolio_bundle / "nowhere"))


def test_weights_in_a_file_of_their_own_are_checked_and_served(
    portfolio_bundle: Path, image: Image, expected: dict[str, Image]
) -> None:
    network = onnx.load(portfolio_bundle / "v2.onnx")
    onnx.save(
        network,
        portfolio_bundle / "v2.onnx",
        save_as_external_data=True,
        location="v2.bin",
        size_threshold=1024,
    )
    path = portfolio_bundle / "portfolio.json"
    document = json.loads(path.read_text())
    del document["digest"]
    document["variants"][2]["files"] = {
        name: {
            "bytes": (portfolio_bundle / name).stat().st_size,
            "sha256": hashlib.sha256((portfolio_bundle / name).read_bytes()).hexdigest(),
        }
        for name in ("v2.onnx", "v2.bin")
    }
    path.write_text(json.dumps(document | {"digest": document_digest(document)}))
    with Switcher(str(portfolio_bundle)) as switcher:
        assert switcher.run(image)[0] == pytest.approx(expected["v2"], rel=1e-4, abs=1e-4)
    weights = portfolio_bundle / "v2.bin"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(DeviceError, match=r"v2\.bin must have"):
        Switcher(str(portfolio_bundle))


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_pages_of_a_mapped_file_are_entered_at_once(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(range(256)) * 4096)

    def resident() -> int:
        found, here = 0, False
        for row in Path("/proc/self/smaps").read_text().splitlines():
            if "-" in row.split(maxsplit=1)[0]:
                here = row.endswith(str(path))
            elif here and row.startswith("Rss:"):
                found += int(row.split()[1])
        return found

    assert not page_in(str(path))  # nobody maps it
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        assert resident() == 0
        could = page_in(str(path))
        assert could == (resident() == len(view) // 1024)
