import json
from pathlib import Path

import pytest

from hdap.fleet_data.errors import InputError
from hdap.networks.prune_plan import PrunePlan, plan_from_channels

TEXT = "conv1=40;layer1.0.conv1=8"


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        TEXT.replace(";", "\n") + "\n",
        json.dumps({"conv1": 40, "layer1.0.conv1": 8}),
        json.dumps({"trial": 3, "channels": {"conv1": 40, "layer1.0.conv1": 8}}),
    ],
)
def test_a_file_of_channels_in_any_form(plan: PrunePlan, tmp_path: Path, content: str) -> None:
    (tmp_path / "channels").write_text(content)
    found = plan_from_channels(plan.architecture, str(tmp_path / "channels"))
    given = plan_from_channels(plan.architecture, TEXT)
    expected = plan.architecture.widths.copy()
    expected[:2] = 40, 8
    assert found.counts.tolist() == given.counts.tolist() == expected.tolist()
    assert found.origin is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("conv1=4000", "at most 64, got 4000"),
        ("conv1=0", "at least 1, got 0"),
        ("konv1=4", "no width group `konv1`"),
        ("conv1=4\nconv1=5", "given twice"),
        ('{"channels": 3}', "no object"),
        ('{"channels"', "must be JSON"),
        ('{"conv1": [1]}', "must be an integer"),
    ],
)
def test_infeasible_channels_are_refused_with_the_rule(
    plan: PrunePlan, tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "channels.txt").write_text(content)
    with pytest.raises(InputError, match=message):
        plan_from_channels(plan.architecture, str(tmp_path / "channels.txt"))


def test_what_is_neither_file_nor_text_is_refused(plan: PrunePlan) -> None:
    with pytest.raises(InputError, match=r"'nowhere\.txt' is neither"):
        plan_from_channels(plan.architecture, "nowhere.txt")


@pytest.mark.parametrize("text", ["", " \n"])
def test_no_channels_are_the_dense_network(plan: PrunePlan, text: str) -> None:
    found = plan_from_channels(plan.architecture, text)
    assert found.counts.tolist() == plan.architecture.widths.tolist()


def test_a_text_of_every_group_is_no_file_name(plan: PrunePlan) -> None:
    groups = plan.architecture.groups
    text = ";".join(f"{group.name}={group.width}" for group in groups)
    long = "\n" * 5000 + text
    found = plan_from_channels(plan.architecture, long)
    assert found.counts.tolist() == plan.architecture.widths.tolist()
