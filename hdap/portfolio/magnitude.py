"""Which weights go next: the smallest of those that are left."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError

Masks = Mapping[str, Tensor]
"""For each prunable weight, by name, which of its numbers stay (boolean, its own shape)."""


def prunable(architecture: Architecture) -> tuple[str, ...]:
    """Names of the weights that may become sparse: of convolutions and linear layers.

    Biases and norms stay, and so does the output layer, as in the lottery ticket code that
    DNNShifter builds on: it is small, and each of its weights is the last word on a class. Raises
    `InputError` when nothing is left to prune.
    """
    layers = [layer for layer in architecture.layers if layer.has_matrix]
    last = [layer for layer in layers if not layer.outputs.terms][-1:]
    names = tuple(f"{layer.name}.weight" for layer in layers if layer not in last)
    if not names:
        raise InputError(
            f"a sparse training needs layers before the output layer, but {architecture.model} has "
            "none; use another model"
        )
    return names


def masks_in(module: nn.Module, names: tuple[str, ...]) -> dict[str, Tensor]:
    """The masks that the zeros in a network's weights are."""
    return {name: module.get_parameter(name).detach() != 0 for name in names}


def without_smallest(
    module: nn.Module, names: tuple[str, ...], rate: float, scope: str
) -> dict[str, Tensor]:
    """The masks of `module` without the `rate` of weights that are left with least magnitude.

    Over all layers at once (`scope` global) or in each by itself (layer); a layer keeps one weight
    at least. Frankle & Carbin, "The Lottery Ticket Hypothesis", ICLR 2019, section 1.
    """
    masks = masks_in(module, names)
    sizes = {name: module.get_parameter(name).detach().abs() for name in names}
    together = [names] if scope == "global" else [(name,) for name in names]
    for part in together:
        left = torch.cat([sizes[name][masks[name]] for name in part])
        going = round(rate * len(left))
        if going:
            order = torch.argsort(left, stable=True)
            stays = torch.ones_like(left, dtype=torch.bool)
            stays[order[:going]] = False
            parts = torch.split(stays, [int(masks[name].sum()) for name in part])
            for name, kept in zip(part, parts, strict=True):
                masks[name][masks[name].clone()] = kept
    for name in names:
        if not masks[name].any():
            masks[name].view(-1)[sizes[name].argmax()] = True
    return masks


def apply_masks(module: nn.Module, masks: Masks) -> None:
    """Set every weight that does not stay to zero, in place."""
    with torch.no_grad():
        for name, mask in masks.items():
            module.get_parameter(name).mul_(mask)
