import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.model_names import (
    MOST_NUMBERS,
    InputSizes,
    ModelName,
    base_name,
    input_sizes,
    kind_of_model,
    model_name,
    with_input,
    written,
)

SHAPES = st.lists(st.integers(1, 200), min_size=1, max_size=4).map(tuple)
ARGUMENTS = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,5}", fullmatch=True)
INPUTS = SHAPES | st.dictionaries(ARGUMENTS, SHAPES, min_size=1, max_size=3)
BASES = st.from_regex(r"[a-z][a-z0-9_.]{0,12}(:[a-z]{1,5})?", fullmatch=True).filter(
    lambda text: not text.endswith(".pt2")
)


@given(base=BASES, shape=st.none() | INPUTS)
def test_a_name_is_what_it_is_made_of(base: str, shape: InputSizes | None) -> None:
    text = str(ModelName(base, shape))
    assert model_name(text) == ModelName(base, shape)
    assert base_name(text) == base
    assert kind_of_model(text) == kind_of_model(base) == ModelName(base).kind
    assert with_input(base, shape) == text
    assert with_input(text, shape) == text


@given(text=st.text(max_size=40) | st.text("0123456789x@", max_size=12))
def test_any_text_has_one_spelling_or_is_refused_in_a_line(text: str) -> None:
    try:
        name = model_name(text)
    except InputError as error:
        said = str(error)
    else:
        said = str(name)
        assert (said, name.base) == (text, base_name(text))
    assert said == text or len(said.splitlines()) == 1


@given(text=st.text("0123456789x ٣-+.", max_size=12) | st.text("12x=,ab", max_size=12))
def test_a_shape_has_one_spelling(text: str) -> None:
    try:
        shape = input_sizes(text)
    except ValueError:
        return
    assert written(shape) == text
    for sizes in shape.values() if isinstance(shape, dict) else [shape]:
        assert 1 <= len(sizes) <= 4
        assert min(sizes) >= 1


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "3x", "03x4", "3X4", "3x0", "-1", "1x2x3x4x5", f"1x{MOST_NUMBERS + 1}", "٣"),
        *("a=", "=3", "a=3,", "a=3;b=4", "3,4", "a=3,4"),
    ],
)
def test_what_is_no_shape_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="1 to 4 sizes such as 3x288x288"):
        input_sizes(text)


@pytest.mark.parametrize("text", ["b=3,a=4", "a=3,a=3"])
def test_several_inputs_have_one_order(text: str) -> None:
    with pytest.raises(ValueError, match="in the order of their names, each once"):
        input_sizes(text)


@pytest.mark.parametrize(
    ("text", "kind", "base"),
    [
        ("resnet18.a1_in1k@3x64x64", "timm", "resnet18.a1_in1k"),
        ("pkg.nets:make@1x16000", "factory", "pkg.nets:make"),
        ("runs@home/net.pt2", "program", "runs@home/net.pt2"),
        ("a:b/net.pt2", "program", "a:b/net.pt2"),
    ],
)
def test_kinds_of_names(text: str, kind: str, base: str) -> None:
    assert (model_name(text).kind, model_name(text).base, kind_of_model(text)) == (kind, base, kind)


@pytest.mark.parametrize(
    ("model", "said"),
    [("net.pt2", "export it again at another"), ("resnet18@3x64x64", "leave one out")],
)
def test_an_input_that_does_not_go_with_a_name_is_refused(model: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        with_input(model, (3, 32, 32))
