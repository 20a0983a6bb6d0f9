"""Channels that become pixels, pixels that become channels, and channels in another order."""

import numpy as np

from hdap.networks.walk.labels import compressed
from hdap.networks.walk.recorder import Rule, Walk
from hdap.networks.walk.run_records import Operation


def pixel_shuffle(walk: Walk, operation: Operation) -> None:
    given, made = operation.inputs[0], operation.outputs[0]
    dim, square = given.dim() - 3, operation["upscale_factor"] ** 2
    walk.only(given, range(dim + 1), "becomes pixels")
    atoms = walk.along(given, dim).reshape(-1, square)
    walk.label(made, compressed((dim,), walk.ties.tie_along(atoms, 1)))


def pixel_unshuffle(walk: Walk, operation: Operation) -> None:
    given, made = operation.inputs[0], operation.outputs[0]
    dim, square = given.dim() - 3, operation["downscale_factor"] ** 2
    walk.only(given, range(dim + 1), "is made of pixels")
    walk.label(made, compressed((dim,), np.repeat(walk.along(given, dim), square)))


def channel_shuffle(walk: Walk, operation: Operation) -> None:
    given, made = operation.inputs[0], operation.outputs[0]
    table = walk.along(given, 1).reshape(operation["groups"], -1)
    walk.ties.rectangle(table)
    walk.label(made, compressed((1,), table.T.ravel()))


def columns(walk: Walk, operation: Operation) -> None:
    """Patches of an image as columns: every channel becomes as many as the patch has pixels."""
    given, made = operation.inputs[0], operation.outputs[0]
    dim = given.dim() - 3
    walk.only(given, range(dim + 1), "is cut into patches")
    times = made.shape[dim] // given.shape[dim]
    walk.label(made, compressed((dim,), np.repeat(walk.along(given, dim), times)))


def patches(walk: Walk, operation: Operation) -> None:
    """Columns as an image again."""
    given, made = operation.inputs[0], operation.outputs[0]
    dim = given.dim() - 2
    walk.only(given, range(dim + 1), "is put together from patches")
    atoms = walk.along(given, dim).reshape(made.shape[dim], -1)
    walk.label(made, compressed((dim,), walk.ties.tie_along(atoms, 1)))


def windows(walk: Walk, operation: Operation) -> None:
    """Windows along one dimension, laid along a new last one."""
    given, made = operation.inputs[0], operation.outputs[0]
    dim = operation["dimension"] % given.dim()
    rest = [d for d in range(given.dim()) if d != dim]
    walk.label(made, walk.only(given, rest, "is cut into windows over channels"))


RULES: dict[str, Rule] = {
    **dict.fromkeys(["channel_shuffle", "native_channel_shuffle"], channel_shuffle),
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "im2col": columns,
    "col2im": patches,
    "unfold": windows,
}
