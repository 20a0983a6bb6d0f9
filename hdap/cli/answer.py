"""How the profile and the answer of a search are printed."""

from typing import TYPE_CHECKING, Any

from hdap.cli.output import line, next_steps, number, out, percent, table

if TYPE_CHECKING:
    from hdap.search.answer import Answer, AnswerRow
    from hdap.search.awareness import Awareness
    from hdap.search.profile import SearchProfile
    from hdap.search.study import SearchResult
    from hdap.searching import Search

BAR = 32
NAMES = {
    "dense": "dense",
    "unaligned": "uniform, any width",
    "uniform": "uniform, same grid",
    "found": "found",
}


def show_profile(found: "SearchProfile") -> None:
    """What a person can check before waiting."""
    from hdap.surrogate.costs import format_flops

    table(
        [("before searching", "left"), ("FLOPs", "right"), ("parameters", "right")],
        [
            [row.name, format_flops(row.flops), f"{row.parameters / 1e6:.2f} M"]
            for row in found.rows
        ],
    )
    fixed = f", {found.fixed} of them fixed" if found.fixed else ""
    out().print(
        f"{found.groups} width groups{fixed} in steps of {found.step}: about 10^"
        f"{found.log10_size:.0f} configurations; budget {format_flops(found.band.low)} to "
        f"{format_flops(found.band.high)} FLOPs " + ("can be met" if found.reachable else "")
    )


def show(search: "Search", result: "SearchResult", found: "Answer", worth: "Awareness") -> None:
    """The answer as a person reads it."""
    _table(search, found)
    _gist(search, result, found)
    line(f"fleet-awareness: {worth.words}")
    _bars(search, found.found)
    name = search.record.name
    trial = int(found.numbers[0])
    next_steps(
        f"hdap trials --study {name} --pareto",
        f"hdap plan --model {search.record.model} --from-study {name} --out bundles",
        f"hdap verify --study {name} --trial {trial} --out proof",
        f"hdap prune --study {name} --trial {trial} --out pruned",
    )


def _table(search: "Search", found: "Answer") -> None:
    from hdap.surrogate.costs import format_flops

    out().print()
    table(
        [
            ("network", "left"),
            ("FLOPs", "right"),
            ("parameters", "right"),
            ("fleet mean", "right"),
            ("90 % interval", "right"),
            ("p95 of devices", "right"),
            ("worst cluster", "right"),
            ("kept importance", "right"),
            ("vs dense", "right"),
            ("vs uniform", "right"),
        ],
        [
            [
                NAMES[row.name] + (", measured" if row.measured else ""),
                format_flops(row.flops),
                f"{row.parameters / 1e6:.2f} M",
                f"{row.fleet_mean_ms:.2f} ms",
                "-"
                if row.measured
                else f"{row.fleet_mean_low_ms:.2f}-{row.fleet_mean_high_ms:.2f}",
                f"{row.fleet_p95_ms:.2f} ms",
                f"{row.worst_cluster_ms:.2f} ms ({row.worst_cluster})",
                number(row.kept_importance),
                f"{row.over_dense:.2f}x",
                f"{row.over_uniform:.2f}x",
            ]
            for row in found.rows
        ],
        title=f"{search.record.model} at {search.request.flops} FLOPs, "
        "predicted unless it says measured",
        optional=("parameters", "p95 of devices", "worst cluster", "kept importance"),
    )


def _gist(search: "Search", result: "SearchResult", found: "Answer") -> None:
    best = found.found
    line(
        f"[bold]found[/bold] (trial {int(found.numbers[0])}): predicted "
        f"[bold]{best.over_uniform:.2f}x[/bold] faster than uniform pruning on the same grid and "
        f"{best.over_dense:.2f}x faster than dense, at no less kept importance "
        f"({search.problem.importance.source})",
        markup=True,
    )
    done = 0 if result.trials is None else len(result.trials)
    rate = result.scored / max(result.seconds, 1e-9)
    out().print(
        f"{done:,} trials in study {search.record.name}; {result.scored:,} configurations scored "
        f"in {result.seconds:.1f} s ({rate:,.0f} a second); {result.stopped}"
    )


def _bars(search: "Search", row: "AnswerRow") -> None:
    groups = search.problem.architecture.groups
    longest = max(len(g.name) for g in groups)
    line("channels kept, layer by layer:")
    for group, count in zip(groups, row.counts.tolist(), strict=True):
        filled = round(BAR * count / group.width)
        out().print(
            f"  {group.name:<{longest}} {'█' * filled}{'░' * (BAR - filled)} "
            f"{count:>5} of {group.width:<5} {percent(count / group.width, 0):>6}",
            markup=False,
        )


def document(
    search: "Search", result: "SearchResult", found: "Answer", worth: "Awareness"
) -> dict[str, Any]:
    """The answer as `--json` prints it."""
    groups = search.problem.architecture.groups
    return {
        "study": search.record.name,
        "model": search.record.model,
        "latency": "predicted",
        "flops_low": search.record.flops_low,
        "flops_high": search.record.flops_high,
        "kept_importance_floor": search.problem.floor,
        "importance": search.problem.importance.source,
        "clustering": search.clustering.id,
        "step": search.problem.space.step,
        "trials": 0 if result.trials is None else len(result.trials),
        "scored": result.scored,
        "seconds": result.seconds,
        "stopped": result.stopped,
        "rows": [_row(row) for row in found.rows],
        "trial": int(found.numbers[0]),
        "shortlist": [int(n) for n in found.numbers],
        "channels": {g.name: c for g, c in zip(groups, found.found.counts.tolist(), strict=True)},
        "awareness": {
            "largest_cluster": worth.largest,
            "largest_alone_fleet_mean_ms": worth.single_fleet_ms,
            "gain": worth.gain,
            "uncertainty": worth.uncertainty,
            "rank_correlations": worth.ranks,
            "one_device_would_do": worth.one_device_would_do,
        },
    }


def _row(row: "AnswerRow") -> dict[str, Any]:
    return {
        "network": row.name,
        "measured": row.measured,
        "flops": row.flops,
        "parameters": row.parameters,
        "fleet_mean_ms": row.fleet_mean_ms,
        "fleet_mean_low_ms": row.fleet_mean_low_ms,
        "fleet_mean_high_ms": row.fleet_mean_high_ms,
        "fleet_p95_ms": row.fleet_p95_ms,
        "worst_cluster_ms": row.worst_cluster_ms,
        "worst_cluster": row.worst_cluster,
        "kept_importance": row.kept_importance,
        "speedup_over_dense": row.over_dense,
        "speedup_over_uniform": row.over_uniform,
    }
