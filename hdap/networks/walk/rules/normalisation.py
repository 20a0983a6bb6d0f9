"""Norms, and weights that are normalised before they are applied."""

from torch import Tensor

from hdap.networks.walk.labels import Atoms
from hdap.networks.walk.recorder import Rule, Walk
from hdap.networks.walk.run_records import Operation


def batch_norm(walk: Walk, operation: Operation) -> None:
    image, made = operation.inputs[0], operation.outputs[0]
    channels = walk.along(image, 1)
    _tie_vectors(walk, operation, channels, ("weight", "bias", "running_mean", "running_var"))
    if walk.is_static(image):  # weights that are standardised, over their inputs
        walk.label(made, walk.labels(image))
    else:
        walk.label(made, walk.only(image, [0, 1], "is normalised over channels"))


def group_norm(walk: Walk, operation: Operation) -> None:
    image, made = operation["input"], operation.outputs[0]
    channels = walk.along(image, 1)
    walk.ties.tie_along(channels.reshape(operation["group"], -1), 0)
    _tie_vectors(walk, operation, channels, ("weight", "bias"))
    walk.label(made, walk.only(image, [0, 1], "is normalised over channels"))


def layer_norm(walk: Walk, operation: Operation) -> None:
    affine = [x for x in (operation["weight"], operation["bias"]) if isinstance(x, Tensor)]
    walk.combine([operation["input"], *affine], operation.outputs[0])


def weight_norm(walk: Walk, operation: Operation) -> None:
    """Direction times length: the length of what is left is that of the rest alone."""
    direction, length, dim = operation["v"], operation["g"], operation["dim"] or 0
    if dim >= 0:
        why = f"shares its place with a constant in {walk.place}"
        walk.ties.tie(walk.along(direction, dim), walk.along(length, dim), why)
    walk.label(operation.outputs[0], walk.labels(direction))


def _tie_vectors(walk: Walk, operation: Operation, channels: Atoms, names: tuple[str, ...]) -> None:
    for name in names:
        vector = operation[name]
        if isinstance(vector, Tensor):
            why = f"shares its place with a constant in {walk.place}"
            walk.ties.tie(channels, walk.along(vector, 0), why)


_BATCH_NORMS = """
native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm
_batch_norm_with_update _batch_norm_no_update
"""
RULES: dict[str, Rule] = {
    **dict.fromkeys(_BATCH_NORMS.split(), batch_norm),
    "native_group_norm": group_norm,
    "native_layer_norm": layer_norm,
    "_weight_norm_interface": weight_norm,
}
