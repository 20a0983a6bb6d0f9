"""The detectors: what they are shown, what they learn, and what leaves them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate
from torchvision.models.detection.image_list import ImageList

from hdap.examples import detection
from hdap.examples.detection_loss import assigned, detection_loss
from hdap.examples.detection_network import Detector, decoded, detections, grid
from hdap.examples.drawn_shapes import CLASSES, LARGEST, MOST, SMALLEST, DrawnShapes
from hdap.examples.ssdlite import SsdLite, _decoded
from hdap.fleet_data.errors import InputError
from hdap.networks.exporting import export
from hdap.networks.loading import load_model
from hdap.requests.recipe import Recipe
from hdap.training.datasets import Data
from hdap.training.load_data import load_data
from hdap.training.own_task import load_task
from hdap.training.training_loop import train

SIDE = 64


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _batch(count: int = 4, side: int = SIDE) -> detection.Batch:
    shapes = DrawnShapes(count, side, seed=3)
    batch: detection.Batch = default_collate([shapes[i] for i in range(count)])
    return batch


def test_shapes_follow_from_seed_epoch_and_place() -> None:
    train, judged = DrawnShapes(3, SIDE, seed=0), DrawnShapes(3, SIDE, seed=0, fixed=True)
    first = train[1][0]
    assert torch.equal(first, DrawnShapes(3, SIDE, seed=0)[1][0])
    assert not torch.equal(first, train[0][0])
    assert not torch.equal(first, DrawnShapes(3, SIDE, seed=1)[1][0])
    train.set_epoch(1)
    judged.set_epoch(1)
    assert not torch.equal(first, train[1][0])
    assert torch.equal(first, judged[1][0])
    assert torch.equal(first, train.plain()[1][0])
    with pytest.raises(IndexError):
        train[3]
    with pytest.raises(InputError, match="count >= 1"):
        DrawnShapes(0, SIDE, seed=0)


def test_boxes_lie_in_the_image_and_have_the_size_of_shapes() -> None:
    seen = set()
    shapes = DrawnShapes(40, SIDE, seed=0)
    for image, targets in (shapes[i] for i in range(len(shapes))):
        assert image.shape == (3, SIDE, SIDE)
        assert 0 <= float(image.min()) <= float(image.max()) <= 1
        boxes, mask = targets["boxes"][targets["mask"]], targets["mask"]
        assert 1 <= len(boxes) <= MOST
        assert not mask[len(boxes) :].any()
        assert float(boxes.min()) >= 0
        assert float(boxes.max()) <= SIDE
        sides = boxes[:, 2:] - boxes[:, :2]
        assert float(sides.min()) >= 0.5 * SMALLEST * SIDE
        assert float(sides.max()) <= LARGEST * SIDE + 1
        seen |= set(targets["labels"][mask].tolist())
    assert seen == set(range(len(CLASSES)))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        # 20 pixels around (20, 20): the first scale, points 12, 20 and 28 within 12 pixels
        ((10.0, 10.0, 30.0, 30.0), {(x, y) for x in (12, 20, 28) for y in (12, 20, 28)}),
        # 64 pixels around (32, 32): the second scale, points 24 and 40 within 24 pixels
        ((0.0, 0.0, 64.0, 64.0), {(24, 24), (24, 40), (40, 24), (40, 40)}),
    ],
)
def test_points_near_the_centre_of_an_object_of_their_scale_are_its(
    box: tuple[float, ...], expected: set[tuple[int, int]]
) -> None:
    maps = [torch.zeros(1, 8, SIDE // s, SIDE // s) for s in (8, 16, 32)]
    points, strides = grid(maps)
    boxes = torch.tensor([[box, (0.0, 0.0, 0.0, 0.0)]])
    owner = assigned(points, strides, boxes, torch.tensor([[True, False]]))[0]
    assert {(int(x), int(y)) for x, y in points[owner == 0]} == expected
    assert set(owner.tolist()) == {-1, 0}
    assert set(strides[owner == 0].tolist()) == ({8.0} if box[0] else {16.0})


def test_of_two_objects_a_point_is_the_smaller_ones() -> None:
    maps = [torch.zeros(1, 8, SIDE // s, SIDE // s) for s in (8, 16, 32)]
    points, strides = grid(maps)
    boxes = torch.tensor([[(8.0, 8.0, 32.0, 32.0), (12.0, 12.0, 28.0, 28.0)]])
    owner = assigned(points, strides, boxes, torch.ones(1, 2, dtype=torch.bool))[0]
    (middle,) = torch.nonzero((points == 20).all(1)).flatten().tolist()
    assert int(owner[middle]) == 1


def test_maps_that_say_what_is_there_cost_next_to_nothing() -> None:
    boxes = torch.tensor([[(8.0, 8.0, 32.0, 32.0)]])
    targets = {
        "boxes": boxes,
        "labels": torch.tensor([[2]]),
        "mask": torch.tensor([[True]]),
    }
    maps = [torch.zeros(1, 8, SIDE // s, SIDE // s) for s in (8, 16, 32)]
    guess = float(detection_loss(maps, targets))
    points, strides = grid(maps)
    owner = assigned(points, strides, boxes, targets["mask"])[0]
    flat = torch.full((len(points), 8), -20.0)
    flat[owner == 0, 4 + 2] = 20.0
    near = torch.cat([points - boxes[0, 0, :2], boxes[0, 0, 2:] - points], 1) / strides[:, None]
    flat[owner == 0, :4] = torch.log(torch.expm1(near[owner == 0]))
    sizes = [scale[0, 0].numel() for scale in maps]
    right = [
        part.T.reshape(1, 8, *scale.shape[2:])
        for part, scale in zip(torch.split(flat, sizes), maps, strict=True)
    ]
    assert float(detection_loss(right, targets)) < 1e-3 < guess
    found = torch.cat([decoded(right)[0], decoded(right)[1].sigmoid()], 2)[0]
    (only,) = detections(found).boxes.tolist()
    assert only == pytest.approx([8, 8, 32, 32], abs=1e-3)


def test_detections_leave_out_what_is_double_in_a_class() -> None:
    rows = [[0, 0, 10, 10, 0.9, 0.0], [0, 0, 10, 9, 0.8, 0.3], [30, 30, 40, 40, 0.01, 0.0]]
    found = detections(torch.tensor(rows))
    assert found.scores.tolist() == pytest.approx([0.9, 0.3])
    assert found.labels.tolist() == [0, 1]


def test_the_detector_learns_what_it_is_shown() -> None:
    network, batch = Detector(len(CLASSES), SIDE), _batch(8)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.003)
    losses = []
    for _ in range(30):
        loss = detection.loss(network, batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_the_detector_is_trained_by_its_names() -> None:
    task = load_task("hdap.examples.detection:loss", "hdap.examples.detection:map50")
    data = Data(DrawnShapes(16, SIDE, seed=0), DrawnShapes(8, SIDE, seed=1, fixed=True), None)
    recipe = Recipe(epochs=2, batch_size=8, optimizer="adamw", lr=0.003, recalibration=1)
    history = train(Detector(len(CLASSES), SIDE), data, recipe, task=task, device="cpu")
    assert 0 <= history.last.accuracy <= 1
    assert history.last.train_loss < history.epochs[0].train_loss


@pytest.mark.parametrize(("name", "side"), [("shapes", 128), ("shapes320", 320)])
def test_data_is_found_by_name(name: str, side: int) -> None:
    data = load_data(f"hdap.examples.detection:{name}")
    assert (len(data.train), len(data.validation), data.classes) == (1024, 256, len(CLASSES))
    assert data.validation[0][0].shape == (3, side, side)


@pytest.mark.parametrize(("name", "side"), [("detector", 128), ("ssdlite", 320)])
def test_what_is_exported_computes_boxes_and_scores_as_torch_does(
    name: str, side: int, tmp_path: Path
) -> None:
    network = load_model(f"hdap.examples.detection:{name}").module
    assert sum(p.numel() for p in network.parameters()) < 2.5e6
    _settled(network, side)
    export(network, (3, side, side), "onnx", tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    images = _batch(1, side)[0]
    with torch.no_grad():
        wanted = network(images).numpy()
    (found,) = session.run(None, {"input": images.numpy()})
    assert wanted.shape[2] == 4 + len(CLASSES)
    np.testing.assert_allclose(found[..., :4], wanted[..., :4], atol=1e-2)
    np.testing.assert_allclose(found[..., 4:], wanted[..., 4:], atol=1e-5)


def _settled(network: nn.Module, side: int) -> None:
    """Batch norms that know what flows, so that outputs differ from point to point."""
    images, targets = _batch(2, side)
    network.train()
    with torch.no_grad():
        for _ in range(8):
            if isinstance(network, SsdLite):
                detection.ssdlite_loss(network, (images, targets))
            else:
                network(images)
    network.eval()


def test_torchvisions_own_losses_are_added_up() -> None:
    network, batch = detection.ssdlite().train(), _batch(2, 320)
    loss = detection.ssdlite_loss(network, batch)
    assert loss.shape == ()
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None for p in network.parameters())


def test_ssdlite_gives_the_boxes_that_torchvision_decodes() -> None:
    network = SsdLite(len(CLASSES), 320).eval()
    images = _batch(2, 320)[0]
    offsets = torch.randn(2, 3234, 4)
    with torch.no_grad():
        features = list(network.model.backbone(images).values())
        sizes = [(320, 320)] * 2
        anchors = network.model.anchor_generator(ImageList(images, sizes), features)
        coder = network.model.box_coder
        wanted = [coder.decode_single(o, a) for o, a in zip(offsets, anchors, strict=True)]
    found: Tensor = _decoded(offsets, anchors[0], coder.weights)
    torch.testing.assert_close(found, torch.stack(wanted), rtol=1e-4, atol=1e-2)
