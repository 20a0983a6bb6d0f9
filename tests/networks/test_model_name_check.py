"""Names of models that telemetry has and timm has not."""

import pytest

from hdap.fleet_data.errors import InputError
from hdap.networks.model_name_check import check_model_names


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("ResNet-50", "ResNet-50=resnet50"),
        ("mobilenet v3 large 100", "'mobilenet v3 large 100=mobilenetv3_large_100'"),
        ("ResNet50@3x288x288", "ResNet50@3x288x288=resnet50@3x288x288"),
    ],
)
def test_a_name_that_timm_writes_another_way_is_refused_with_the_right_one(
    name: str, alias: str
) -> None:
    with pytest.raises(InputError, match="did you mean") as refused:
        check_model_names(["resnet18", name])
    assert f"--model-alias {alias}" in str(refused.value)


def test_a_name_that_is_like_one_is_a_warning() -> None:
    (told,) = check_model_names(["resnet50", "resnext50_32x4"])
    assert "did you mean resnext50_32x4d?" in told


@pytest.mark.parametrize(
    "name",
    ["resnet50", "resnet50@3x288x288", "resnet50.a1_in1k", "a:ResNet-50", "ResNet-50.pt2", "m"],
)
def test_timms_own_code_and_names_like_none_are_left_alone(name: str) -> None:
    assert check_model_names([name]) == ()
