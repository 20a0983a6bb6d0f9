"""COCO's mean average precision, beside cases that were worked by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.examples.average_precision import Detections, Objects, mean_average_precision
from hdap.fleet_data.errors import InputError

Box = tuple[float, float, float, float]
SQUARE: Box = (0, 0, 10, 10)
FAR: Box = (50, 50, 60, 60)


def found(*boxes: Box, scores: tuple[float, ...], labels: tuple[int, ...] = ()) -> Detections:
    named = labels or (0,) * len(boxes)
    shaped = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Detections(shaped, torch.tensor(scores), torch.tensor(named, dtype=torch.long))


def there(*boxes: Box, labels: tuple[int, ...] = ()) -> Objects:
    named = labels or (0,) * len(boxes)
    shaped = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Objects(shaped, torch.tensor(named, dtype=torch.long))


NOTHING = found(scores=())
CASES = {
    "what is there": (found(SQUARE, scores=(0.9,)), there(SQUARE), 1.0, 1.0),
    "nothing": (NOTHING, there(SQUARE), 0.0, 0.0),
    # 51 of the 101 recalls, 0 to 0.5, have a precision of 1
    "one of two": (found(SQUARE, scores=(0.9,)), there(SQUARE, FAR), 51 / 101, 51 / 101),
    "a wrong one first": (found(FAR, SQUARE, scores=(0.9, 0.8)), there(SQUARE), 0.5, 0.5),
    "a wrong one last": (found(SQUARE, FAR, scores=(0.9, 0.8)), there(SQUARE), 1.0, 1.0),
    # recall 0.5 with precision 1, then a double, then recall 1 with precision 2/3
    "one twice": (
        found(SQUARE, SQUARE, FAR, scores=(0.9, 0.8, 0.7)),
        there(SQUARE, FAR),
        (51 + 50 * 2 / 3) / 101,
        (51 + 50 * 2 / 3) / 101,
    ),
    # an IoU of 0.6 is enough for 0.5, 0.55 and 0.6
    "a rough one": (found((0, 0, 10, 6), scores=(0.9,)), there(SQUARE), 1.0, 0.3),
    "another class": (found(SQUARE, scores=(0.9,), labels=(1,)), there(SQUARE), 0.0, 0.0),
    # class 0 is found, class 1 is not; class 2 is nowhere and does not count
    "one class of two": (
        found(SQUARE, SQUARE, scores=(0.9, 0.8), labels=(0, 2)),
        there(SQUARE, FAR, labels=(0, 1)),
        0.5,
        0.5,
    ),
    # the better one takes the object that it covers best, and leaves the other
    "two that overlap": (
        found((0, 0, 10, 9), (0, 0, 10, 10), scores=(0.9, 0.8)),
        there((0, 0, 10, 9), (0, 0, 10, 10)),
        1.0,
        1.0,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_cases_worked_by_hand(case: str) -> None:
    seen, truth, at_50, at_50_95 = CASES[case]
    precision = mean_average_precision([seen], [truth])
    assert precision.at_50 == pytest.approx(at_50)
    assert precision.at_50_95 == pytest.approx(at_50_95)


def test_scores_are_compared_over_images() -> None:
    images = [found(SQUARE, scores=(0.6,)), found(FAR, scores=(0.7,))]
    precision = mean_average_precision(images, [there(SQUARE), there(SQUARE)])
    # a wrong one of another image first, then half of the objects at a precision of a half
    assert precision.at_50 == pytest.approx(0.5 * 51 / 101)


def test_there_must_be_objects_in_the_images_that_were_judged() -> None:
    with pytest.raises(InputError, match="there is none"):
        mean_average_precision([NOTHING], [there()])
    with pytest.raises(InputError, match="got 2 for 1 images"):
        mean_average_precision([NOTHING, NOTHING], [there(SQUARE)])


_CORNER = st.integers(0, 20)
_OBJECTS = st.lists(st.tuples(_CORNER, _CORNER, st.integers(0, 2)), min_size=1, max_size=6)


def _boxes(objects: list[tuple[int, int, int]]) -> list[Box]:
    return [(x, y, x + 10, y + 10) for x, y, _ in objects]


@settings(max_examples=40, deadline=None)
@given(_OBJECTS, _OBJECTS, st.permutations(range(6)))
def test_it_is_a_share_whatever_the_order(
    seen: list[tuple[int, int, int]], real: list[tuple[int, int, int]], order: list[int]
) -> None:
    kinds = tuple(kind for *_, kind in seen)
    scores = tuple(1 - i / 10 for i in range(len(seen)))
    one = found(*_boxes(seen), scores=scores, labels=kinds)
    truth = there(*_boxes(real), labels=tuple(kind for *_, kind in real))
    precision = mean_average_precision([one], [truth])
    assert 0 <= precision.at_50_95 <= precision.at_50 + 1e-12 <= 1 + 2e-12
    turned = torch.tensor([i for i in order if i < len(seen)])
    other = Detections(one.boxes[turned], one.scores[turned], one.labels[turned])
    assert mean_average_precision([other, NOTHING], [truth, there()]) == precision


@settings(max_examples=20, deadline=None)
@given(_OBJECTS)
def test_all_that_is_there_and_nothing_else_is_perfect(real: list[tuple[int, int, int]]) -> None:
    kinds = tuple(kind for *_, kind in real)
    boxes = _boxes(real)
    precision = mean_average_precision(
        [found(*boxes, scores=(0.5,) * len(boxes), labels=kinds)], [there(*boxes, labels=kinds)]
    )
    assert precision.at_50_95 == pytest.approx(1.0)
