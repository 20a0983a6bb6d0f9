"""Figures of the frontier: a row a training, and each arm against the best uniform network."""

import math

import polars as pl

from benchmarks.quality.figures import words
from benchmarks.quality.frontier_plan import (
    DENSE,
    SCRATCH,
    TUNED,
    UNIFORM,
    WORDS,
    Cell,
    Settings,
    Work,
)

DESCRIBED = ("grid", "channels", "flops", "parameters", "kept", "target", "latency", "reached")
POINT = ["network", "point"]
FAST = 0.95


def rows_of(settings: Settings, work: Work) -> pl.DataFrame:
    """A row a training that was asked for and is done; latency is measured, a share of dense."""
    found = []
    for file in sorted((work.folder / "trained").glob("*.json")):
        result = work.read(f"trained/{file.stem}")
        cell = Cell(*(result[name] for name in ("network", "seed", "arm", "point", "way")))
        if cell.network not in settings.networks or cell.seed >= settings.seeds:
            continue  # of a run that asked for more
        row = {"network": cell.network, "seed": cell.seed, "point": cell.point, "arm": cell.arm}
        row |= {"way": cell.way, "accuracy": result["accuracy"], "loss": result["loss"]}
        row |= {"untuned": result.get("untuned", math.nan)}
        row |= {"cpu_s": result["cpu_s"], "share": settings.shares[cell.point]}
        row["images"] = settings.images
        if cell.arm == DENSE:
            row |= dict.fromkeys(DESCRIBED) | {"latency": 1.0, "kept": 1.0, "reached": True}
        else:
            widths = work.read(f"widths/{cell.network}-{cell.seed}")
            known = widths[f"{cell.point}-{cell.arm}"]
            row |= {name: known[name] for name in DESCRIBED}
        found.append(row)
    return pl.DataFrame(found, infer_schema_length=None)


def report(rows: pl.DataFrame) -> str:
    """A Markdown table a network and point."""
    lines = [
        f"dense {network}: {_points(_of(rows, network, DENSE, DENSE), 'accuracy')} %"
        for network in rows["network"].unique(maintain_order=True)
    ]
    pruned = rows.filter(pl.col("arm") != DENSE)
    for (network, point), own in pruned.group_by(POINT, maintain_order=True):
        share = own["share"][0]
        lines += ["", f"{network}, point {point} (uniform in multiples of 8 at {share:.0%} FLOPs)"]
        lines += [
            "",
            "| arm | latency / dense | MFLOPs | kept | tuned, % | less uniform's | from scratch, % "
            "| less uniform's |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        lines += [_line(own, arm) for arm in WORDS if arm in set(own["arm"])]
    return "\n".join(lines)


def missed(rows: pl.DataFrame) -> str:
    """The arms that could not be brought to the latency, by name."""
    once = rows.filter(pl.col("arm") != DENSE).unique([*POINT, "seed", "arm"], maintain_order=True)
    found = {
        "slower": once.filter(~pl.col("reached")),
        "more than 5 % faster": once.filter(pl.col("latency") < FAST * pl.col("target")),
    }
    return "\n".join(f"{how} than asked: {_named(own)}" for how, own in found.items())


def paired(rows: pl.DataFrame, arm: str, way: str) -> list[float]:
    """Points of accuracy over uniform's at one network and point, a number a seed."""
    one = rows.filter((pl.col("arm") == arm) & (pl.col("way") == way))
    other = rows.filter((pl.col("arm") == UNIFORM) & (pl.col("way") == way))
    both = one.join(other, on="seed").sort("seed")
    return [100.0 * float(x) for x in both["accuracy"] - both["accuracy_right"]]


def _line(own: pl.DataFrame, arm: str) -> str:
    mine = own.filter(pl.col("arm") == arm)
    cells = [WORDS[arm], _mean(mine, "latency", 1.0, 3), _mean(mine, "flops", 1e-6, 1)]
    cells.append(_mean(mine, "kept", 1.0, 3))
    for way in (TUNED, SCRATCH):
        trained = mine.filter(pl.col("way") == way)
        difference = paired(own, arm, way)
        cells.append(_points(trained, "accuracy"))
        cells.append("" if arm == UNIFORM else _compared(difference))
    return f"| {' | '.join(cells)} |"


def _compared(differences: list[float]) -> str:
    return (
        words(differences) if len(differences) > 1 else " ".join(f"{d:+.2f}" for d in differences)
    )


def _named(rows: pl.DataFrame) -> str:
    names = [
        f"{row['arm']} ({row['network']}, seed {row['seed']}, point {row['point']})"
        for row in rows.iter_rows(named=True)
    ]
    return ", ".join(names) or "none"


def _of(rows: pl.DataFrame, network: object, arm: str, way: str) -> pl.DataFrame:
    return rows.filter(network=network, arm=arm, way=way)


def _points(rows: pl.DataFrame, column: str) -> str:
    return _mean(rows, column, 100.0, 2)


def _mean(rows: pl.DataFrame, column: str, scale: float, digits: int) -> str:
    values = rows[column].to_numpy()
    return f"{scale * float(values.mean()):.{digits}f}" if len(values) else ""
