import hashlib
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import hdap
from hdap.fleet_data.documents import write_document
from hdap.fleet_data.errors import InputError
from hdap.networks.checkpoint import load_checkpoint, save_checkpoint
from hdap.networks.manifest import Origin, read_manifest
from hdap.networks.pruned_network import PrunedNetwork

Load = Callable[[], Any]
FullDisk = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def load(checkpoint: Path, tiny_model: str) -> Load:
    return lambda: hdap.load_pruned(checkpoint, model=tiny_model)


def _edit(checkpoint: Path, **changes: Any) -> None:
    file = checkpoint / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _edit_weights(checkpoint: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the tensors and make the hash right, as somebody who means it would."""
    file = checkpoint / "model.safetensors"
    tensors = safetensors.torch.load(file.read_bytes())
    change(tensors)
    file.write_bytes(safetensors.torch.save(tensors))
    _edit(checkpoint, safetensors_sha256=hashlib.sha256(file.read_bytes()).hexdigest())


def test_what_comes_back_is_what_went_in(load: Load, pruned: PrunedNetwork) -> None:
    back = load()
    assert not back.training
    left, right = pruned.module.state_dict(), back.state_dict()
    assert list(left) == list(right)
    assert all(torch.equal(left[k], right[k]) and left[k].dtype == right[k].dtype for k in left)
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(back(image), pruned.module(image))


def test_the_manifest_comes_back(checkpoint: Path, pruned: PrunedNetwork, tiny_model: str) -> None:
    found = load_checkpoint(checkpoint, model=tiny_model).manifest
    assert replace(found, safetensors_sha256="") == pruned.manifest


def test_an_origin_comes_back(pruned: PrunedNetwork, tmp_path: Path) -> None:
    origin = Origin("s-1", 7, "sqlite:///x.db", 2, 900, 31.5, 30.25, 32.0)
    manifest = replace(pruned.manifest, origin=origin)
    write_document(tmp_path / "model.json", manifest)
    assert read_manifest(tmp_path) == manifest


def test_the_same_network_writes_the_same_bytes(pruned: PrunedNetwork, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_checkpoint(tmp_path / name, pruned.module, pruned.manifest)
    for file in ("model.json", "model.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_checkpoint_holds_nothing_but_tensors_and_json(checkpoint: Path) -> None:
    assert sorted(p.name for p in checkpoint.iterdir()) == ["model.json", "model.safetensors"]
    head = (checkpoint / "model.safetensors").read_bytes()[8:9]
    assert head == b"{"


def test_tensors_that_share_memory_are_kept(pruned: PrunedNetwork, tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    network[1].weight = network[0].weight
    save_checkpoint(tmp_path / "tied", network, pruned.manifest)
    found = safetensors.torch.load_file(tmp_path / "tied" / "model.safetensors")
    assert torch.equal(found["0.weight"], found["1.weight"])


def test_user_code_runs_only_when_it_is_named(checkpoint: Path) -> None:
    with pytest.raises(InputError, match=r'load_pruned\(path, model="tinynets:tiny"\)'):
        hdap.load_pruned(checkpoint)
    _edit(checkpoint, model="os:abort")
    with pytest.raises(InputError, match="runs only when you name it"):
        hdap.load_pruned(checkpoint)
    with pytest.raises(InputError, match="must be one of tinynets:tiny, but is of os:abort"):
        hdap.load_pruned(checkpoint, model="tinynets:tiny")


def test_a_cut_file_is_refused(checkpoint: Path, load: Load) -> None:
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="cut or changed"):
        load()


def test_a_changed_number_is_refused(checkpoint: Path, load: Load) -> None:
    file = checkpoint / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="cut or changed"):
        load()


def test_missing_and_extra_tensors_are_named(checkpoint: Path, load: Load) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["surplus"] = tensors.pop("fc.bias")

    _edit_weights(checkpoint, change)
    with pytest.raises(InputError, match=r"1 missing \(fc\.bias\), 1 too many \(surplus\)"):
        load()


@pytest.mark.parametrize("value", [torch.zeros(11), torch.zeros(10, dtype=torch.float16)])
def test_a_tensor_of_another_shape_or_type_is_named(
    checkpoint: Path, load: Load, value: torch.Tensor
) -> None:
    _edit_weights(checkpoint, lambda tensors: tensors.update({"fc.bias": value}))
    with pytest.raises(InputError, match=r"of another shape or type \(fc\.bias"):
        load()


def test_a_file_that_is_no_safetensors_is_refused(checkpoint: Path, load: Load) -> None:
    file = checkpoint / "model.safetensors"
    file.write_bytes(b"nonsense")
    _edit(checkpoint, safetensors_sha256=hashlib.sha256(b"nonsense").hexdigest())
    with pytest.raises(InputError, match="must be a safetensors file"):
        load()


def test_another_architecture_is_refused_and_both_are_named(checkpoint: Path, load: Load) -> None:
    _edit(checkpoint, architecture="f" * 64)
    with pytest.raises(InputError, match=r"hdap .*, torch .* is of architecture ffffffffffff"):
        load()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "its format is 2, not 1"),
        ({"format": None}, "its format is null, not 1"),
        ({"channels": {"conv1": 64}}, "differs in layer1.0.conv1"),
        (
            {"channels": {"stem": 5, "conv1": "64"}},
            r"`\$.channels\[\"conv1\"\]` is \"64\": expected `int`, got `str`",
        ),
        ({"flops": True}, r"`\$.flops` is true: expected `int`, got `bool`"),
        ({"input_shape": []}, r"`\$.input_shape` is \[\]: expected `array` of length >= 1"),
        ({"input_shape": [1] * 5}, "expected `array` of length <= 4"),
        ({"input_shape": [3, 32, 0]}, r"`\$.input_shape\[2\]` is 0: expected `int` >= 1"),
        ({"model": 5}, r"`\$.model` is 5: expected `str`"),
        ({"origin": {"study": "x"}}, "missing required field `trial`"),
        ({"colour": "red"}, r"a key that is unknown, `\$.colour`"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused(
    checkpoint: Path, load: Load, changes: dict[str, Any], message: str
) -> None:
    _edit(checkpoint, **changes)
    with pytest.raises(InputError, match=message):
        load()


def test_counts_that_no_group_can_have_are_refused(checkpoint: Path, load: Load) -> None:
    channels = json.loads((checkpoint / "model.json").read_text())["channels"]
    _edit(checkpoint, channels=channels | {"conv1": 10**6})
    with pytest.raises(InputError, match="conv1"):
        load()


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00"])
def test_a_manifest_that_is_no_object_is_refused(checkpoint: Path, load: Load, text: str) -> None:
    (checkpoint / "model.json").write_text(text)
    with pytest.raises(InputError, match=r"model\.json must be of a checkpoint"):
        load()


@pytest.mark.parametrize("file", ["model.json", "model.safetensors"])
def test_a_missing_file_is_named(checkpoint: Path, load: Load, file: str) -> None:
    (checkpoint / file).unlink()
    with pytest.raises(InputError, match=file.replace(".", r"\.")):
        load()


def test_what_is_there_is_not_replaced_unless_told(checkpoint: Path, pruned: PrunedNetwork) -> None:
    with pytest.raises(InputError, match="--force"):
        save_checkpoint(checkpoint, pruned.module, pruned.manifest)
    other = replace(pruned.manifest, seed=99)
    save_checkpoint(checkpoint, pruned.module, other, force=True)
    assert json.loads((checkpoint / "model.json").read_text())["seed"] == 99
    assert [p.name for p in checkpoint.parent.iterdir()] == [checkpoint.name]


def test_force_never_throws_other_things_away(checkpoint: Path, pruned: PrunedNetwork) -> None:
    (checkpoint / "thesis.tex").write_text("years")
    with pytest.raises(InputError, match=r"holds thesis\.tex"):
        save_checkpoint(checkpoint, pruned.module, pruned.manifest, force=True)
    file = checkpoint / "thesis.tex"
    with pytest.raises(InputError, match="is a file"):
        save_checkpoint(file, pruned.module, pruned.manifest, force=True)
    assert file.read_text() == "years"


def test_a_full_disk_is_one_line_and_the_last_good_checkpoint_survives(
    checkpoint: Path, pruned: PrunedNetwork, load: Load, full_disk: FullDisk
) -> None:
    for folder in (checkpoint, checkpoint.with_name("new")):
        with full_disk(), pytest.raises(InputError, match=r"must be writable, but .*free space"):
            save_checkpoint(folder, pruned.module, pruned.manifest, force=True)
    assert [p.name for p in checkpoint.parent.iterdir()] == [checkpoint.name]
    load()


def test_the_last_good_checkpoint_comes_back_when_the_last_step_fails(
    checkpoint: Path, pruned: PrunedNetwork, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if ".writing-" in self.name:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(InputError, match="Input/output error"):
        save_checkpoint(checkpoint, pruned.module, pruned.manifest, force=True)
    assert [p.name for p in checkpoint.parent.iterdir()] == [checkpoint.name]
    load()


def test_a_place_that_cannot_be_written_is_one_line(pruned: PrunedNetwork, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="must be writable"):
        save_checkpoint(tmp_path / "file" / "out", pruned.module, pruned.manifest)
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(InputError, match="Permission denied"):
            save_checkpoint(tmp_path / "locked" / "out", pruned.module, pruned.manifest)


def test_the_package_offers_what_it_lists() -> None:
    assert hdap.__all__ == sorted(hdap.__all__)
    assert all(hasattr(hdap, name) for name in hdap.__all__)
    assert not hasattr(hdap, "load_everything")
