"""How the comparison of one network with several is printed."""

from typing import Any

from hdap.cli.terminal.output import line, show_rows
from hdap.fleet_data.wording import latency, percent
from hdap.workflows.compare_networks import ClusterAssignment


def show_networks(compared: ClusterAssignment) -> None:
    """What one network costs each cluster, what more of them save, and the advice."""
    found, numbers = compared.found, compared.numbers
    ms, own = found.seen.cluster_ms, found.own.rows.tolist()
    show_rows(
        range(len(own)),
        ("cluster", "right", str),
        ("one for all", "right", lambda k: latency(ms[0, k])),
        ("its own best", "right", lambda k: latency(ms[own[k], k])),
        ("trial", "right", lambda k: str(numbers[own[k]])),
        ("one for all costs", "right", lambda k: f"{100 * found.costs[k]:+.1f} %"),
        title=f"the price of one for all (trial {numbers[0]}), predicted",
    )
    show_rows(
        found.splits,
        ("networks", "right", lambda s: str(s.networks)),
        ("fleet mean", "right", lambda s: latency(s.fleet_mean_ms)),
        ("saves over one less", "right", lambda s: "-" if s.networks == 1 else percent(s.gain)),
        ("doubt", "right", lambda s: "-" if s.networks == 1 else percent(s.doubt)),
        ("clusters served by each trial", "left", lambda s: _served(compared, s.rows.tolist())),
    )
    line(f"advice: {found.words}")


def networks_document(compared: ClusterAssignment) -> dict[str, Any]:
    """The comparison as `--json` prints it."""
    found, numbers = compared.found, compared.numbers
    return {
        "advised_networks": found.advised,
        "threshold": found.threshold,
        "advice": found.words,
        "costs_of_one_for_all": found.costs,
        "splits": [
            {
                "networks": split.networks,
                "fleet_mean_ms": split.fleet_mean_ms,
                "gain": split.gain,
                "doubt": split.doubt,
                "trials": numbers[split.rows],
            }
            for split in found.splits
        ],
    }


def _served(compared: ClusterAssignment, rows: list[int]) -> str:
    trials = compared.numbers[rows].tolist()
    parts = [
        f"{trial}: {', '.join(str(k) for k, own in enumerate(trials) if own == trial)}"
        for trial in dict.fromkeys(trials)
    ]
    return "; ".join(parts)
