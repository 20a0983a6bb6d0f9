"""Nothing in a network that is only timed can be left out because it is zero."""

from pathlib import Path

import timm
import torch
from torch import nn

from hdap.fleet_data.software import RunBy
from hdap.networks.generated_weights import without_zeros
from hdap.networks.tracing import trace
from hdap.workflows.write_bundle import write_bundle


def zero_throughout(network: nn.Module) -> list[str]:
    return [name for name, value in network.named_parameters() if not value.any()]


def test_what_begins_at_zero_gets_numbers_and_all_else_stays() -> None:
    torch.manual_seed(0)
    network = timm.create_model("resnet18")
    before = {name: value.clone() for name, value in network.named_parameters()}
    zeros = zero_throughout(network)
    assert "layer1.0.bn2.weight" in zeros  # timm's residual blocks begin as nothing
    assert without_zeros(network) is network
    assert zero_throughout(network) == []
    for name, value in network.named_parameters():
        assert torch.equal(value, before[name]) == (name not in zeros)


def test_the_same_numbers_every_time() -> None:
    one, other = (without_zeros(nn.BatchNorm2d(8)).state_dict() for _ in range(2))
    assert torch.equal(one["bias"], other["bias"])


def test_a_bundle_has_no_block_that_a_converter_could_leave_out(tmp_path: Path) -> None:
    network = timm.create_model("resnet18")
    zeros = zero_throughout(network)
    run_by = RunBy("torch", "float32")
    write_bundle(tmp_path / "bundle", trace("resnet18"), network, [], run_by=run_by)
    program = torch.export.load(tmp_path / "bundle" / "0000.pt2")
    parameters = dict(program.named_parameters())
    assert "layer1.0.bn2.weight" in parameters
    assert [name for name, value in parameters.items() if not value.any()] == []
    assert zero_throughout(network) == zeros  # the caller's own is as it was
