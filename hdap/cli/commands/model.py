"""`hdap model`: what a network is to the search."""

from hdap.cli.settings.fleet_commands import ModelCommand
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, next_steps, out, say, show_rows, table
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.costs import flops, format_flops, layer_macs, parameters
from hdap.workflows.artifacts import ensure_architecture, ensure_importance


def run(asked: ModelCommand) -> None:
    """Trace where that was not done yet, and print what was found."""
    with open_store(asked.db, figures=False) as store:
        architecture = ensure_architecture(store, asked.name, say)
        if asked.weights or asked.pretrained:
            ensure_importance(store, architecture, asked.weights, asked.pretrained, say)
        _show(architecture, asked.layers, asked.as_json)


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
                [layer.name, layer.kind, format_flops(int(m)), f"{m / total:.1%}"]
                for layer, m in zip(architecture.layers, macs, strict=True)
                if layer.has_matrix
            ],
        )
    out().print(
        f"[bold]{architecture.model}[/bold]: {len(architecture.groups)} width groups, "
        f"{format_flops(total)} FLOPs, {size / 1e6:.2f} M parameters, "
        f"input {'x'.join(map(str, architecture.input_shape))}"
    )
    next_steps("hdap ingest telemetry.csv", f"hdap search --model {architecture.model} --flops 25%")


def _members(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
