"""Layers that run once a box: as often as something is found, which no trace can know."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.counting import check_pruned, count_flops
from hdap.networks.forward_pass import random_images
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace
from hdap.simulation.law import _Work
from hdap.surrogate.learning.physics import Physics

SHAPE = (3, 16, 16)
NOTHING = "ran on nothing when traced: what it costs depends on the input, and is not counted"


class Masks(nn.Module):
    """As Mask R-CNN: a head for each place whose score is high enough, none in an empty image."""

    input_shape = SHAPE
    least = 0.3

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)
        self.score = nn.Conv2d(12, 1, 1, bias=False)
        self.mask, self.last = nn.Linear(12, 10), nn.Linear(10, 4)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.second(self.first(image).relu())
        scores = self.score(features)
        boxes = features[0].permute(1, 2, 0)[scores[0, 0] > self.least]
        return scores, self.last(self.mask(boxes).relu())


class Blind(Masks):
    """One whose head nothing ever reaches."""

    least = float("inf")


def test_a_head_that_ran_on_nothing_stays_and_what_it_reads_is_pruned() -> None:
    network = Masks()
    architecture = trace(network)
    assert [g.name for g in architecture.groups] == ["first", "second"]
    assert ("mask", NOTHING) in [(k.layer, k.why) for k in architecture.kept]
    counts = np.array([5, 7])
    pruned = prune(network, architecture, counts)
    assert isinstance(pruned, Masks)
    assert count_flops(pruned, SHAPE)[""] == flops(architecture, counts[None])[0]
    pruned.least = float("-inf")
    assert pruned(torch.randn(1, *SHAPE))[1].shape == (256, 4)


def test_a_pruned_network_may_find_another_number_of_boxes() -> None:
    dense, counts = Masks().eval(), np.array([5, 7])
    architecture = trace(dense)
    pruned = prune(dense, architecture, counts).eval()
    assert isinstance(pruned, Masks)
    pruned.score.weight.data *= 1_000.0
    boxes = [x(random_images(x, SHAPE, 1, seed=0))[1] for x in (dense, pruned)]
    assert len(boxes[0]) < len(boxes[1])
    size = check_pruned(dense, pruned, architecture, counts)
    assert size.flops == flops(architecture, counts[None])[0]
    pruned.last = nn.Linear(10, 3)
    with pytest.raises(UnsupportedModelError, match="must give an output of shape"):
        check_pruned(dense, pruned, architecture, counts)


def test_what_ran_on_nothing_costs_no_time() -> None:
    architecture = trace(Masks())
    physics = Physics(architecture)
    assert [x.name for x in physics.layers] == ["first", "second", "score"]
    assert np.isfinite(physics.terms(architecture.widths[None]).values).all()
    assert _Work.of(architecture, architecture.widths[None]).positions.all()


def test_what_a_layer_reads_stays_where_a_proof_gives_it_nothing() -> None:
    architecture = trace(Blind())
    assert [g.name for g in architecture.groups] == ["first"]
    why = {k.layer: k.why for k in architecture.kept}["second"]
    assert why == (
        "cannot be narrower: `mask` is given nothing by random weights: nothing is shown of what "
        "it reads"
    )


class Small(Masks):
    """Finds nothing in images that are small."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        scores, found = super().forward(image)
        return (scores, found) if image.shape[-1] == SHAPE[-1] else (scores[:0], found[:0])


def test_where_a_small_image_shows_nothing_the_whole_one_does() -> None:
    assert [g.name for g in trace(Small()).groups] == ["first", "second"]
