"""Networks of the same tensors and other code: who they may be, and whether two are one.

Tensors do not say how a convolution pads or what a norm adds to a variance. Weights of one network
can thus fill another that runs, and answers wrongly.
"""

import timm
import torch
from torch import Tensor, nn

from hdap.fleet_data.architecture import InputShapes
from hdap.fleet_data.errors import InputError
from hdap.networks.forward_pass import in_eval_mode, random_images, run

_TENSORFLOW = "tf_"
# Of the largest output; other orders of summing differ by a hundredth of this.
_MOST = 1e-4


def timm_twin(name: str, module: nn.Module) -> str | None:
    """timm's other network with the tensors of its `name`: padding as TensorFlow's, or not.

    None for networks that have no such twin, and for a factory.
    """
    base = name.partition(".")[0]
    twin = base.removeprefix(_TENSORFLOW) if base.startswith(_TENSORFLOW) else _TENSORFLOW + base
    if ":" in name or not timm.is_model(twin):
        return None
    with torch.device("meta"):
        other: nn.Module = timm.create_model(twin)
    same = _shapes(other) == _shapes(module)
    return twin if same else None


def twin_words(name: str, module: nn.Module) -> str:
    """What a person should know before weights by other names are used; empty without a twin."""
    twin = timm_twin(name, module)
    if twin is None:
        return ""
    return (
        f"timm's {twin} has the same tensors and pads otherwise; outputs tell which it is: "
        f"hdap model {name} --weights FILE --compare package.module:factory"
    )


def require_same_outputs(
    name: str, module: nn.Module, original: nn.Module, input_shape: InputShapes
) -> float:
    """How far the outputs for the same two random images are apart, of the largest output.

    Raises `InputError` where that is more than 1e-4 or not finite, where one of the networks does
    not give one tensor, and `UnsupportedModelError` where one does not run on such images.
    """
    with in_eval_mode(module), in_eval_mode(original):
        images = random_images(module, input_shape, batch=2, seed=0)
        mine, theirs = run(module, images), run(original, images)
    if not (isinstance(mine, Tensor) and isinstance(theirs, Tensor)) or mine.shape != theirs.shape:
        raise InputError(
            f"{name} and the original must each give one tensor, of one shape, but give "
            f"{_form(mine)} and {_form(theirs)}; have the factory return such a network"
        )
    apart = float((mine - theirs).abs().max() / theirs.abs().max())
    if apart <= _MOST:
        return apart
    twin = timm_twin(name, module)
    remedy = "" if twin is None else f"try {twin}, which has them too, or "
    raise InputError(
        f"{name} must give the outputs of the original within {_MOST:g} of the largest, but they "
        f"differ by {apart:.2g}: it is another network with the same tensors; {remedy}"
        "use the original as the model"
    )


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


def _form(output: object) -> str:
    return f"{tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
