"""How several networks for one deadline are printed."""

from typing import Any

import numpy as np

from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.output import line, note, show_rows
from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.wording import UNKNOWN, counted, kept, latency, percent
from hdap.search.sizes.plan_sizes import Sizing
from hdap.workflows.next_commands import command_line, free_name
from hdap.workflows.search_sizes import SizedFleet


def show_sizes(sized: SizedFleet) -> None:
    """What each further network brings, who gets which, and the advice."""
    found, asked, name = sized.found, sized.asked, sized.record.name
    note(f"{counted(len(found.counts), 'network')} found in study {name}, each a trial of it")
    show_rows(
        sized.desk,
        ("one network, for the", "left", lambda d: d.title),
        ("device", "left", lambda d: d.device),
        ("kept importance", "right", lambda d: kept(d.kept)),
        ("late", "right", lambda d: percent(d.late)),
        ("fleet mean", "right", lambda d: latency(d.mean_ms)),
        title=f"{asked.deadline_ms:g} ms, sized on one device, predicted for the fleet",
    )
    show_rows(
        found.sizings,
        ("networks", "right", lambda s: str(s.networks)),
        ("kept, average device", "right", lambda s: kept(s.quality)),
        (_at_most(sized), "right", lambda s: kept(s.at_most)),
        ("brought by the last", "right", lambda s: _brings(sized, s)),
        ("of what sizes can bring", "right", lambda s: percent(found.recovered(s), 0)),
        (f"in time, {percent(asked.confidence, 0)} sure", "right", lambda s: percent(s.in_time)),
        ("trials", "left", lambda s: ", ".join(map(str, s.rows.tolist()))),
        title=f"{sized.record.model} within {asked.deadline_ms:g} ms on {_devices(sized)}, "
        f"predicted",
    )
    show_rows(
        groups(sized),
        ("trial", "right", lambda g: str(g["trial"])),
        ("FLOPs", "right", lambda g: format_flops(g["flops"])),
        ("kept importance", "right", lambda g: kept(g["kept_importance"])),
        ("devices", "right", lambda g: f"{g['devices']:,}"),
        ("of the fleet", "right", lambda g: percent(g["weight_share"])),
        ("slowest of them", "right", lambda g: latency(g["slowest_ms"])),
        ("late", "right", lambda g: str(g["late"])),
        title="who runs which, predicted; late: not in time as surely as asked",
    )
    line(found.words)
    chosen = found.chosen
    line(
        f"{percent(chosen.in_time)} of the fleet is in time with {percent(asked.confidence, 0)} "
        f"certainty, {percent(chosen.expected_in_time)} is expected to be (predicted)"
    )
    next_steps(
        command_line("assign", "--study", name, "--out", free_name("assignments.csv")),
        *(
            command_line(
                "prune", "--study", name, "--trial", row, "--out", free_name(f"pruned-{row}")
            )
            for row in chosen.rows.tolist()
        ),
    )


def groups(sized: SizedFleet) -> list[dict[str, Any]]:
    """The networks of the advised number and the devices that run each."""
    stored, devices = sized.stored, sized.asked.devices
    seen = sized.asked.networks.evaluate(sized.found.counts)
    told = []
    for row in sized.found.chosen.rows.tolist():
        mine = stored.number == row
        told.append(
            {
                "trial": row,
                "flops": int(seen.flops[row]),
                "parameters": int(seen.parameters[row]),
                "kept_importance": float(seen.kept_importance[row]),
                "devices": int(mine.sum()),
                "weight_share": float(devices.weight[mine].sum()),
                "slowest_ms": float(stored.latency_ms[mine].max(initial=-np.inf)),
                "late": int((mine & ~stored.in_time).sum()),
            }
        )
    return told


def sizes_document(sized: SizedFleet) -> dict[str, Any]:
    """The same as `--json` prints it."""
    found, asked = sized.found, sized.asked
    return {
        "study": sized.record.name,
        "model": sized.record.model,
        "deadline_ms": asked.deadline_ms,
        "share": asked.share,
        "confidence": asked.confidence,
        "advised_networks": found.advised,
        "advice": found.words,
        "each_its_own_kept": found.each_its_own,
        "bound": found.bound,
        "networks": groups(sized),
        "numbers_of_networks": [
            {
                "networks": s.networks,
                "trials": s.rows,
                "weight_shares": s.weights,
                "kept": s.quality,
                "kept_at_most": s.at_most,
                "recovered": found.recovered(s),
                "in_time": s.in_time,
                "expected_in_time": s.expected_in_time,
            }
            for s in found.sizings
        ],
        "from_one_device": [
            {
                "sized_on": d.title,
                "device": d.device,
                "kept": d.kept,
                "late": d.late,
                "fleet_mean_ms": d.mean_ms,
            }
            for d in sized.desk
        ],
    }


def _at_most(sized: SizedFleet) -> str:
    return "can keep at most" if sized.found.bound else "can keep, estimated"


def _brings(sized: SizedFleet, sizing: Sizing) -> str:
    before = [s for s in sized.found.sizings if s.networks < sizing.networks]
    return f"+{sizing.quality - before[-1].quality:.3f}" if before else UNKNOWN


def _devices(sized: SizedFleet) -> str:
    return counted(len(sized.asked.devices), "device")
