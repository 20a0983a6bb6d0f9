import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import hdap
from hdap.fleet_data.costs import flops, parameters
from hdap.fleet_data.errors import InputError, UnsupportedModelError
from hdap.networks.checkpoint import save_checkpoint
from hdap.networks.counting import check_pruned, count_flops, count_parameters
from hdap.networks.criteria import CRITERIA, Evidence
from hdap.networks.loading import load_model
from hdap.networks.prune_plan import PrunePlan, WeightsSource
from hdap.networks.pruned_network import PrunedNetwork, prune_planned
from hdap.networks.surgery import prune
from hdap.networks.tracing import describe

MODELS = (
    "resnet50",
    "mobilenetv1_100",
    "mobilenetv2_100",
    "vgg16",
    "densenet121",
    "regnety_008",
    "efficientnet_b0",
)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_pruned_as_promised_and_comes_back(model: str, tmp_path: Path) -> None:
    loaded = load_model(model, device="meta")
    architecture = describe(loaded.module, model, loaded.input_shape)
    places = np.maximum(architecture.widths // architecture.multiples // 5, 1)
    rng = np.random.default_rng(0)
    counts = rng.integers(1, places + 1) * architecture.multiples
    made = prune_planned(
        PrunePlan(architecture, counts), WeightsSource(seed=1), "random", Evidence()
    )
    shape = architecture.input_shape
    assert count_flops(made.module, shape)[""] == flops(architecture, counts[None])[0]
    assert count_parameters(made.module) == parameters(architecture, counts[None])[0]
    save_checkpoint(tmp_path / "out", made.module, made.manifest)
    image = torch.rand(1, *shape)
    with torch.no_grad():
        back = hdap.load_pruned(tmp_path / "out")
        assert torch.equal(back(image), made.module(image))
    assert not back.training


def test_sizes_are_those_of_the_networks(plan: PrunePlan, pruned: PrunedNetwork) -> None:
    dense = plan.architecture.widths[None]
    assert pruned.dense.flops == flops(plan.architecture, dense)[0]
    assert pruned.dense.parameters == parameters(plan.architecture, dense)[0]
    assert pruned.pruned.flops == pruned.manifest.flops < pruned.dense.flops
    assert pruned.pruned.bytes < pruned.dense.bytes
    assert pruned.seconds > 0


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_makes_the_same_shapes(plan: PrunePlan, criterion: str) -> None:
    rng = torch.Generator().manual_seed(0)
    batches = [(torch.randn(2, 3, 32, 32, generator=rng), torch.tensor([1, 2]))]
    made = prune_planned(plan, WeightsSource(), criterion, Evidence(0, batches))
    assert made.manifest.criterion == criterion
    assert list(made.manifest.channels.values()) == plan.counts.tolist()


def test_random_weights_follow_from_the_seed_and_disturb_no_generator(plan: PrunePlan) -> None:
    before = torch.random.get_rng_state()
    one, two, other = (
        prune_planned(plan, WeightsSource(seed=seed), "l2", Evidence(seed)) for seed in (4, 4, 5)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    assert one.manifest == two.manifest
    assert one.manifest.weights_sha256 != other.manifest.weights_sha256
    left, right = one.module.state_dict(), two.module.state_dict()
    assert all(torch.equal(left[k], right[k]) for k in left)


def test_the_hash_of_a_weights_file_is_that_of_the_file(plan: PrunePlan, tmp_path: Path) -> None:
    file = tmp_path / "mine.pt"
    torch.save(load_model(plan.architecture.model).module.state_dict(), file)
    made = prune_planned(plan, WeightsSource(file), "l1", Evidence())
    assert made.manifest.weights == "file mine.pt"
    assert made.manifest.weights_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_model_that_changed_since_the_plan_is_refused(plan: PrunePlan) -> None:
    old = replace(plan.architecture, other_parameters=7)
    with pytest.raises(InputError, match=f"architecture {old.digest[:12]} of tinynets:tiny"):
        prune_planned(PrunePlan(old, plan.counts), WeightsSource(), "l2", Evidence())


def test_a_network_of_other_counts_than_promised_is_refused(plan: PrunePlan) -> None:
    dense = load_model(plan.architecture.model).module
    made = prune(dense, plan.architecture, plan.counts)
    with pytest.raises(UnsupportedModelError, match="FLOPs and"):
        check_pruned(dense, made, plan.architecture, plan.architecture.widths)


def test_an_output_of_another_shape_is_refused(plan: PrunePlan) -> None:
    dense = load_model(plan.architecture.model).module
    made = prune(dense, plan.architecture, plan.counts)
    with pytest.raises(UnsupportedModelError, match=r"shape \(1, 10\), but gives \(1, 1, 10\)"):
        check_pruned(
            dense, nn.Sequential(made, nn.Unflatten(0, (1, 1))), plan.architecture, plan.counts
        )


def test_numbers_that_are_not_finite_are_refused(plan: PrunePlan, tmp_path: Path) -> None:
    network = load_model(plan.architecture.model).module
    with torch.no_grad():
        network.get_parameter("fc.bias").fill_(float("inf"))
    torch.save(network.state_dict(), tmp_path / "inf.pt")
    with pytest.raises(InputError, match="gives 10 others"):
        prune_planned(plan, WeightsSource(tmp_path / "inf.pt"), "random", Evidence())
