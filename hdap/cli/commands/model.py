"""`hdap model`: what a network is to the search."""

from rich.markup import escape

from hdap.cli.settings.fleet_commands import ModelCommand
from hdap.cli.terminal.next_steps import next_steps, telemetry_of_yours
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, note, say, show_rows, table
from hdap.fleet_data.architecture import Architecture
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
    _show(architecture, asked.layers, asked.as_json)
    if asked.as_json:
        return
    next_steps(*steps)
    if not steps:
        telemetry_of_yours()


def _show(architecture: Architecture, layers: bool, as_json: bool) -> None:
    dense = architecture.widths[None, :]
    total, size = int(flops(architecture, dense)[0]), int(parameters(architecture, dense)[0])
    macs = layer_macs(architecture, dense)[0]
    if as_json:
        emit_json(
            {
                "model": architecture.model,
                "input_shape": architecture.input_shape,
                "flops": total,
                "parameters": size,
                "digest": architecture.digest,
                "width_groups": [
                    {"name": g.name, "width": g.width, "multiple": g.multiple, "members": g.members}
                    for g in architecture.groups
                ],
                "layers": [
                    {"name": layer.name, "kind": layer.kind, "flops": int(m)}
                    for layer, m in zip(architecture.layers, macs, strict=True)
                ],
            }
        )
        return
    show_rows(
        architecture.groups,
        ("width group", "left", lambda g: g.name),
        ("channels", "right", lambda g: f"{g.width}"),
        ("multiple of", "right", lambda g: f"{g.multiple}"),
        ("shared by", "left", lambda g: _members(g.members)),
    )
    if layers:
        table(
            [("layer", "left"), ("kind", "left"), ("FLOPs", "right"), ("share", "right")],
            [
                [layer.name, layer.kind, format_flops(int(m)), percent(m / total)]
                for layer, m in zip(architecture.layers, macs, strict=True)
                if layer.has_matrix
            ],
        )
    groups = counted(len(architecture.groups), "width group")
    note(
        f"[bold]{escape(architecture.model)}[/bold]: {groups}, "
        f"{format_flops(total)} FLOPs, {amount(size)} parameters, "
        f"input {written(architecture.input_shape)}",
        markup=True,
    )


def _members(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
