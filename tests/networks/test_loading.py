from pathlib import Path

import pytest
import safetensors.torch
import torch

from hdap.fleet_data.errors import InputError, NotFoundError
from hdap.networks.forward_pass import run, run_once
from hdap.networks.loading import load_model, nearest_names
from hdap.networks.tracing import trace

FACTORIES = """
import warnings
import torch
from torch import nn

warnings.warn("noise at import")


def good():
    warnings.warn("noise")
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(1), nn.Linear(4 * 144, 2)
    )


good.input_shape = (3, 16, 16)


class Counting(nn.Sequential):
    input_shape = (1, 8, 8)

    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 3))
        self.sum = float(torch.ones(3).sum())


def failing():
    raise RuntimeError("no disk")


def wanting(width):
    return nn.Conv2d(3, width, 1)


def text():
    return "resnet50"


def empty():
    return nn.Flatten(1)


def flat():
    return good()


flat.input_shape = (3, 0)


def sound():
    return nn.Conv1d(1, 4, 9)


sound.input_shape = (1, 16000)
number = 3
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "code"
    folder.mkdir()
    # A name of its own for each test: modules stay imported.
    name = f"nets_{tmp_path.name.replace('-', '_')}"
    (folder / f"{name}.py").write_text(FACTORIES)
    (folder / f"{name}_broken.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(folder)
    return name


def test_a_timm_model_comes_with_its_input_shape() -> None:
    loaded = load_model("inception_v3", device="meta")
    assert loaded.input_shape == (3, 299, 299)
    assert next(loaded.module.parameters()).is_meta
    assert not loaded.module.training


def test_names_that_look_like_a_typing_error() -> None:
    assert nearest_names("ResNet5O")[0] == "resnet50"
    assert nearest_names("qqqqqqqqqqqq") == ()


def test_an_unknown_name_brings_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="`mobilenetv1_100`"):
        load_model("mobilenet_v1_100")


def test_an_unknown_tag_is_refused() -> None:
    with pytest.raises(InputError, match="no_such_tag"):
        load_model("resnet18.no_such_tag", pretrained=True)


def test_a_model_without_published_weights_is_refused() -> None:
    with pytest.raises(InputError, match="give a weights file"):
        load_model("mobilenetv2_035", pretrained=True)


def test_a_factory_is_traced_like_any_model(nets: str) -> None:
    architecture = trace(f"{nets}:good")
    assert architecture.model == f"{nets}:good"
    assert architecture.input_shape == (3, 16, 16)
    assert [g.name for g in architecture.groups] == ["0", "2"]


def test_a_factory_in_the_working_directory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets_right_here.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    assert load_model("nets_right_here:good").input_shape == (3, 16, 16)


def test_a_network_that_looks_at_numbers_while_it_is_made_can_go_to_meta(nets: str) -> None:
    loaded = load_model(f"{nets}:Counting", device="meta")
    assert next(loaded.module.parameters()).is_meta
    assert loaded.input_shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("resnet18@3x160x96", (3, 160, 96)),
        ("resnet18@1x64x64", (1, 64, 64)),
        ("vit_tiny_patch16_224@3x288x320", (3, 288, 320)),
        ("swin_tiny_patch4_window7_224@3x224x448", (3, 224, 448)),
    ],
)
def test_a_timm_model_is_made_for_the_input_that_its_name_says(
    name: str, shape: tuple[int, ...]
) -> None:
    loaded = load_model(name, device="meta")
    assert loaded.input_shape == shape
    output = run(loaded.module, torch.zeros(1, *shape, device="meta"))
    assert output.shape == (1, 1000)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet18@16000", "channels x height x width, but resnet18@16000 says 16000"),
        ("resnet18@big", "what follows @ in the name of a model must be an input without its"),
        ("nest_tiny@3x224x448", "only handles square inputs; give another input"),
    ],
)
def test_an_input_that_a_timm_model_cannot_take_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_model(name, device="meta")


def test_a_factory_takes_the_input_that_its_name_says(nets: str) -> None:
    assert load_model(f"{nets}:good@3x32x24").input_shape == (3, 32, 24)
    loaded = load_model(f"{nets}:sound")
    assert loaded.input_shape == (1, 16000)
    assert run_once(loaded.module, loaded.input_shape).shape == (1, 4, 15992)


def test_loading_says_nothing(nets: str, capfd: pytest.CaptureFixture[str]) -> None:
    load_model(f"{nets}:good")
    load_model("resnet18")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{}:failing", "failed with RuntimeError: no disk"),
        ("{}:wanting", "failed with TypeError"),
        ("{}:text", "must return a torch.nn.Module, but returned str"),
        ("{}:empty", "it has none"),
        ("{}:flat", r"must be 1 to 4 sizes without the batch.*but got \(3, 0\)"),
        ("{}:number", "must be callable, but is a int"),
        ("{}:absent", "must define `absent`"),
        ("{}_broken:net", "a_package_that_is_not_there"),
        ("no_such_module_at_all:net", "must be importable"),
        ("{}:", "is written `package.module:factory`"),
        (":net", "is written `package.module:factory`"),
        ("hf-hub:timm/resnet50", "is written `package.module:factory`"),
    ],
)
def test_a_factory_that_does_not_work_is_one_clear_line(name: str, message: str, nets: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_model(name.format(nets))
    assert "\n" not in str(caught.value)


def test_pretrained_weights_of_a_factory_are_refused(nets: str) -> None:
    with pytest.raises(InputError, match="only timm models"):
        load_model(f"{nets}:good", pretrained=True)


def test_two_sources_of_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="drop one"):
        load_model("resnet18", weights=tmp_path / "x.pt", pretrained=True)


def test_weights_on_meta_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="use 'cpu'"):
        load_model("resnet18", weights=tmp_path / "x.pt", device="meta")


@pytest.mark.parametrize("wrap", ["plain", "wrapped", "prefixed", "safetensors"])
def test_weights_from_a_file_arrive(nets: str, tmp_path: Path, wrap: str) -> None:
    state = load_model(f"{nets}:good").module.state_dict()
    path = tmp_path / ("w.safetensors" if wrap == "safetensors" else "w.pt")
    if wrap == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        prefixed = {f"module.{k}": v for k, v in state.items()}
        content = {"plain": state, "wrapped": {"epoch": 3, "state_dict": state}}
        torch.save(content.get(wrap, prefixed), path)
    loaded = load_model(f"{nets}:good", weights=path).module.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in loaded.items())


def test_missing_extra_and_misshapen_weights_are_named(nets: str, tmp_path: Path) -> None:
    state = dict(load_model(f"{nets}:good").module.state_dict())
    del state["0.weight"]
    state |= {f"more.{i}": torch.ones(1) for i in range(5)}
    state["4.bias"] = torch.ones(7)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(InputError) as caught:
        load_model(f"{nets}:good", weights=tmp_path / "w.pt")
    text = str(caught.value)
    assert "1 missing (0.weight)" in text
    assert "5 too many (more.0, more.1, more.2, ...)" in text
    assert "4.bias (7,) instead of (2,)" in text


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("executed",)


@pytest.mark.parametrize("kind", ["absent", "garbage", "code", "list", "no tensors", "safetensors"])
def test_files_that_are_no_weights_are_refused(
    kind: str, nets: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    match kind:
        case "garbage" | "safetensors":
            path.write_bytes(b"no weights at all")
        case "code":
            torch.save({"0.weight": _Trap()}, path)
        case "list":
            torch.save([1, 2], path)
        case "no tensors":
            torch.save({"epoch": 3}, path)
    with pytest.raises(InputError, match=r"save.*model.state_dict\(\)|there is no file"):
        load_model(f"{nets}:good", weights=path)
    assert capfd.readouterr() == ("", "")
