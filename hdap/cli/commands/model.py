"""`hdap model`: what a network is to the search."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.markup import escape

from hdap.cli.settings.fleet_commands import ModelCommand
from hdap.cli.terminal.next_steps import next_steps, telemetry_of_yours
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, note, say, show_rows, table
from hdap.fleet_data.architecture import Architecture, KeptChannels
from hdap.fleet_data.configuration import matching_groups
from hdap.fleet_data.costs import flops, format_flops, layer_macs, parameters
from hdap.fleet_data.model_names import with_input, written
from hdap.fleet_data.wording import amount, counted, percent
from hdap.workflows.artifacts import compare_outputs, ensure_architecture, ensure_importance
from hdap.workflows.next_commands import for_models


def run(asked: ModelCommand) -> None:
    """Trace where that was not done yet, and print what was found."""
    name = with_input(asked.name, asked.input)
    if asked.compare is not None:
        compare_outputs(name, asked.weights, asked.compare, say)
    with open_store(asked.db, figures=False) as store:
        architecture = ensure_architecture(store, name, say)
        if asked.weights or asked.pretrained:
            ensure_importance(store, architecture, asked.weights, asked.pretrained, say)
        steps = for_models(store, (architecture.model,))
    found = _Freedom.of(architecture, asked.keep)
    if asked.as_json:
        emit_json(_document(found))
        return
    _show(found, asked.layers)
    next_steps(*steps)
    if not steps:
        telemetry_of_yours()


@dataclass(frozen=True, eq=False)
class _Freedom:
    """What can be pruned of an architecture: its groups but for those that a person keeps.

    `least` is the FLOPs of the network in which every other group is at its narrowest.
    """

    architecture: Architecture
    by_hand: tuple[str, ...]
    total: int
    least: int

    @classmethod
    def of(cls, architecture: Architecture, keep: Sequence[str]) -> "_Freedom":
        by_hand = matching_groups(architecture, keep)
        stays = np.array([g.name in by_hand for g in architecture.groups], dtype=np.bool_)
        least = np.where(stays, architecture.widths, architecture.multiples)
        total, smallest = flops(architecture, np.stack([architecture.widths, least]))
        return cls(architecture, by_hand, int(total), int(smallest))

    @property
    def share(self) -> float:
        """The share of FLOPs that can go."""
        return 1 - self.least / self.total

    @property
    def kept(self) -> list[KeptChannels]:
        """Channels that stay, those that a person keeps included."""
        hand = [
            KeptChannels(g.name, g.width, "is kept by --keep")
            for g in self.architecture.groups
            if g.name in self.by_hand
        ]
        return [*hand, *self.architecture.kept]


def _document(found: _Freedom) -> dict[str, Any]:
    architecture = found.architecture
    dense = architecture.widths[None, :]
    macs = layer_macs(architecture, dense)[0]
    return {
        "model": architecture.model,
        "input_shape": architecture.input_shape,
        "flops": found.total,
        "flops_that_can_go": found.share,
        "parameters": int(parameters(architecture, dense)[0]),
        "digest": architecture.digest,
        "width_groups": [
            {"name": g.name, "width": g.width, "multiple": g.multiple, "members": g.members}
            for g in architecture.groups
            if g.name not in found.by_hand
        ],
        "kept": [asdict(kept) for kept in found.kept],
        "layers": [
            {"name": layer.name, "kind": layer.kind, "flops": int(m)}
            for layer, m in zip(architecture.layers, macs, strict=True)
        ],
    }


def _show(found: _Freedom, layers: bool) -> None:
    architecture = found.architecture
    dense = architecture.widths[None, :]
    show_rows(
        [g for g in architecture.groups if g.name not in found.by_hand],
        ("width group", "left", lambda g: g.name),
        ("channels", "right", lambda g: f"{g.width}"),
        ("multiple of", "right", lambda g: f"{g.multiple}"),
        ("shared by", "left", lambda g: _members(g.members)),
    )
    if layers:
        macs = layer_macs(architecture, dense)[0]
        table(
            [("layer", "left"), ("kind", "left"), ("FLOPs", "right"), ("share", "right")],
            [
                [layer.name, layer.kind, format_flops(int(m)), percent(m / found.total)]
                for layer, m in zip(architecture.layers, macs, strict=True)
                if layer.has_matrix
            ],
        )
    for why, kept in _by_reason(found.kept).items():
        channels = counted(sum(k.channels for k in kept), "channel")
        note(f"kept whole: {_members([k.layer for k in kept])} ({channels}): it {why}")
    groups = counted(len(architecture.groups) - len(found.by_hand), "width group")
    size = amount(int(parameters(architecture, dense)[0]))
    note(
        f"[bold]{escape(architecture.model)}[/bold]: {groups}, "
        f"{format_flops(found.total)} FLOPs of which {percent(found.share)} can go, "
        f"{size} parameters, input {written(architecture.input_shape)}",
        markup=True,
    )


def _by_reason(kept: Sequence[KeptChannels]) -> dict[str, list[KeptChannels]]:
    """Layers that stay for one reason, but for the layer and the sizes that it names."""
    found: dict[str, tuple[str, list[KeptChannels]]] = {}
    for channels in kept:
        key = re.sub(r"`[^`]*`|\d+", "", channels.why)
        found.setdefault(key, (channels.why, []))[1].append(channels)
    return dict(found.values())


def _members(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
