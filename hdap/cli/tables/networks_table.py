"""How the comparison of one network with several is printed."""

from typing import TYPE_CHECKING, Any

from hdap.cli.terminal.output import line, percent, table

if TYPE_CHECKING:
    from hdap.workflows.compare_networks import ClusterAssignment


def show_networks(compared: "ClusterAssignment") -> None:
    """What one network costs each cluster, what more of them save, and the advice."""
    found, numbers = compared.found, compared.numbers
    ms, own = found.seen.cluster_ms, found.own.rows.tolist()
    table(
        [
            ("cluster", "right"),
            ("one for all", "right"),
            ("its own best", "right"),
            ("trial", "right"),
            ("one for all costs", "right"),
        ],
        [
            [
                str(cluster),
                f"{ms[0, cluster]:.2f} ms",
                f"{ms[row, cluster]:.2f} ms",
                str(numbers[row]),
                f"{100 * found.costs[cluster]:+.1f} %",
            ]
            for cluster, row in enumerate(own)
        ],
        title=f"the price of one for all (trial {numbers[0]}), predicted",
    )
    table(
        [
            ("networks", "right"),
            ("fleet mean", "right"),
            ("saves over one less", "right"),
            ("doubt", "right"),
            ("clusters served by each trial", "left"),
        ],
        [
            [
                str(split.networks),
                f"{split.fleet_mean_ms:.2f} ms",
                "-" if split.networks == 1 else percent(split.gain),
                "-" if split.networks == 1 else percent(split.doubt),
                _served(compared, split.rows.tolist()),
            ]
            for split in found.splits
        ],
    )
    line(f"advice: {found.words}")


def networks_document(compared: "ClusterAssignment") -> dict[str, Any]:
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


def _served(compared: "ClusterAssignment", rows: list[int]) -> str:
    trials = compared.numbers[rows].tolist()
    parts = [
        f"{trial}: {', '.join(str(k) for k, own in enumerate(trials) if own == trial)}"
        for trial in dict.fromkeys(trials)
    ]
    return "; ".join(parts)
