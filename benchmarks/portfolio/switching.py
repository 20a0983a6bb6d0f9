"""What swapping variants of a portfolio costs, against loading on demand and all resident.

    python -m benchmarks.portfolio.switching [--work DIR] [--swaps 100] [--redraw]   (about 5 min)

ResNet-50 with random weights, pruned uniformly to six FLOPs budgets. Each way runs in a process of
its own, under the same requests (Poisson, seeded) and the same wishes for another variant:

  all resident       every variant is open, as ONNX Runtime opens it: a switch costs nothing
  on demand          one is open; the first request that needs another loads it from its file
  on demand, mapped  the same with weights optimised and mapped as the switcher has them
  switcher           hdap.device.switcher: the next variant is opened in the background

A request's latency counts from when it was due. What a switch adds is summed over the requests
between two wishes: latency beyond the median of the variant that answered, less the same sum with
all resident. Files are in the page cache, which favours loading on demand. Memory is what processes
hold beyond one that imported ONNX Runtime. Then a day of requests with a night, a burst, and a
time in which little memory is allowed: one fixed variant against the switcher with its policies.

Writes portfolio-switching.csv, .svg and .png; `--redraw` draws the figures that are there.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.fleet.learning_curve import PICTURES
from benchmarks.portfolio.switching_picture import draw
from benchmarks.portfolio.switching_runs import Job
from benchmarks.portfolio.switching_ways import WAYS, Answered
from hdap.device.process import usable_cores

SHARES = (0.15, 0.25, 0.4, 0.6, 0.8, 1.0)
SPACING_S = 0.4
UTILISATION = 0.5
DAY_S = 24.0
DAY_FIGURES = (
    *("requests", "lost", "switches", "within the deadline", "kept, within", "kept"),
    *("p99", "memory", "over the limit"),
)
Row = dict[str, str | float]


def main() -> None:
    """Run all parts, write the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("portfolio-switching"))
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--day", type=float, default=DAY_S, help="seconds of the load trace")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=PICTURES)
    parser.add_argument("--redraw", action="store_true", help="draw the figures that are there")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    stem = asked.out / "portfolio-switching"
    if not asked.redraw:
        from benchmarks.portfolio.switching_bundle import write_variants

        folder = asked.work / f"{asked.model}-{len(SHARES)}"
        write_variants(folder, asked.model, SHARES)
        rows = [*_figures(folder, asked)]
        pl.DataFrame(rows).write_csv(stem.with_suffix(".csv"), float_precision=4)
    figures = pl.read_csv(stem.with_suffix(".csv"))
    report(figures)
    draw(figures, stem)


def _figures(folder: Path, asked: argparse.Namespace) -> Iterable[Row]:
    known = _child(Job("costs", str(folder)))
    for way, costs in known["ms"].items():
        yield from (_row("cost", way, at, "ms", ms) for at, ms in enumerate(costs))
    yield from (_row("cost", "files", at, "MiB", size) for at, size in enumerate(known["files"]))
    cores = usable_cores()
    dense_s = known["ms"]["mapped"][-1] / 1e3
    rng = np.random.default_rng(asked.seed)
    rate = UTILISATION * cores / dense_s
    length = asked.swaps * SPACING_S
    due = np.cumsum(rng.exponential(1 / rate, int(3 * rate * length) + 20))
    places = _places(rng, asked.swaps)
    job = Job(
        "swaps", str(folder), workers=cores, due=due[due < length].tolist(), places=places,
        spacing=SPACING_S,
    )  # fmt: skip
    yield _row("swaps", "load", 0, "requests a second", rate)
    yield from _swaps(job)
    held = {way: _child(Job("memory", str(folder), way=way)) for way in MEMORY}
    for way, found in held.items():
        for at, memory in enumerate(found["more"]):
            yield from (_row("memory", way, at, name, mib) for name, mib in memory.items())
    whole = [memory["rss"] for memory in held["switcher"]["whole"]]
    # from the middle variant on all are too large for it
    yield from _day(folder, asked, cores, dense_s, limit=whole[len(whole) // 2])


MEMORY = ("all resident", "all resident, mapped", "switcher")


def _swaps(job: Job) -> Iterable[Row]:
    found = {way: _child(job.of(way)) for way in WAYS}
    answered = {way: [Answered(*x) for x in run["answered"]] for way, run in found.items()}
    typical = _typical(answered["all resident"])
    none = _excess(answered["all resident"], typical, job)
    for way, run in found.items():
        ms = np.array([a.ms for a in answered[way]])
        added = _excess(answered[way], typical, job) - none
        means = _bootstrap(added)
        figures = {
            "requests": len(ms),
            "lost": len(run["lost"]),
            "switches": run["switches"],
            "p50": float(np.quantile(ms, 0.5)),
            "p99": float(np.quantile(ms, 0.99)),
            "longest": float(ms.max()),
            "added": float(added.mean()),
            "added, low": float(np.quantile(means, 0.025)),
            "added, high": float(np.quantile(means, 0.975)),
            "loading in a request": float(np.mean(run["loads"] or 0)),
            "in the background": float(np.mean(run["background"] or 0)),
        }
        yield from (_row("swaps", way, 0, name, value) for name, value in figures.items())
        for share in (*np.linspace(0, 0.9, 19), 0.925, 0.95, 0.975, 0.99, 0.995, 1.0):
            yield _row("quantiles", way, float(share), "ms", float(np.quantile(ms, share)))


def _typical(answered: Sequence[Answered]) -> dict[int, float]:
    """Median milliseconds by variant."""
    places = {a.variant for a in answered}
    return {p: float(np.median([a.ms for a in answered if a.variant == p])) for p in places}


def _excess(answered: Sequence[Answered], typical: dict[int, float], job: Job) -> Any:
    """Milliseconds beyond the typical ones, summed over the requests due after each wish."""
    total = np.zeros(len(job.places))
    for a in answered:
        at = min(int(a.due / job.spacing), len(total) - 1)
        total[at] += a.ms - typical.get(a.variant, a.ms)
    return total


def _bootstrap(values: Any) -> Any:
    rng = np.random.default_rng(0)
    return values[rng.integers(len(values), size=(2000, len(values)))].mean(axis=1)


def _day(
    folder: Path, asked: argparse.Namespace, cores: int, dense_s: float, limit: float
) -> Iterable[Row]:
    length = asked.day
    # half as many as dense can answer at noon, more than it can in the burst
    noon = 0.6 * cores / dense_s
    times = np.linspace(0, length, 401)[:-1]
    rates = noon * (0.15 + 0.85 * np.sin(np.pi * times / length) ** 2)
    burst = (times >= 0.6 * length) & (times < 0.75 * length)
    rates[burst] *= 2.5
    rng = np.random.default_rng(asked.seed)
    counts = rng.poisson(rates * length / 400)
    due = np.sort(np.repeat(times, counts) + rng.uniform(0, length / 400, counts.sum()))
    deadline = 3e3 * dense_s
    base = Job(
        "day", str(folder), workers=cores, due=due.tolist(), deadline_ms=deadline,
        limit_mb=limit, pressure=(0.3 * length, 0.45 * length), length=length,
    )  # fmt: skip
    places = {"fastest": 0, "middle": 2, "dense": len(SHARES) - 1, "switcher": -1}
    yield from (_row("day", "load", float(t), "rate", r) for t, r in zip(times, rates, strict=True))
    yield _row("day", "load", 0, "deadline", deadline)
    yield _row("day", "load", 0, "limit", limit)
    yield from (_row("day", "load", at, "pressure", limit) for at in base.pressure)
    kept = json.loads((folder / "portfolio.json").read_text())["variants"]
    for way, place in places.items():
        run = _child(base.of(way, fixed=place))
        answered = [Answered(*x) for x in run["answered"]]
        yield from _day_rows(way, run, answered, [v["kept_importance"] for v in kept], base)


def _day_rows(
    way: str, run: dict[str, Any], answered: list[Answered], kept: list[float], job: Job
) -> Iterable[Row]:
    asked = len(answered) + len(run["lost"])
    good = [a for a in answered if a.ms <= job.deadline_ms]
    memory = np.array(run["memory"])
    pressed = (memory[:, 0] >= job.pressure[0] + 1) & (memory[:, 0] < job.pressure[1])
    figures = {
        "requests": asked,
        "lost": len(run["lost"]),
        "switches": run["switches"],
        "within the deadline": len(good) / asked,
        "kept, within": sum(kept[a.variant] for a in good) / asked,
        "kept": float(np.mean([kept[a.variant] for a in answered])),
        "p99": float(np.quantile([a.ms for a in answered], 0.99)),
        "memory": float(memory[:, 1].mean()),
        "over the limit": float((memory[pressed, 1] > job.limit_mb).mean()),
    }
    yield from (_row("day", way, 0, name, value) for name, value in figures.items())
    edges = np.arange(0, job.length + 0.5, 0.5)
    for left in edges[:-1]:
        here = [a for a in answered if left <= a.due < left + 0.5]
        if here:
            yield _row(
                "day", way, float(left), "p95", float(np.quantile([a.ms for a in here], 0.95))
            )
            yield _row(
                "day", way, float(left), "variant", float(np.mean([a.variant for a in here]))
            )
    yield from (_row("day", way, float(at), "RSS", float(mib)) for at, mib in memory)


def _places(rng: np.random.Generator, swaps: int) -> list[int]:
    """Random variants, none twice in a row."""
    places = [len(SHARES) - 1]
    for _ in range(swaps):
        others = [i for i in range(len(SHARES)) if i != places[-1]]
        places.append(int(rng.choice(others)))
    return places[1:]


def _row(part: str, way: str, at: float, figure: str, value: float) -> Row:
    return {"part": part, "way": way, "at": float(at), "figure": figure, "value": float(value)}


def _child(job: Job) -> dict[str, Any]:
    """What a process of its own finds."""
    print(f"{job.kind} {job.way}", file=sys.stderr, flush=True)
    # a module of its own: what a table and a picture need would count as memory
    command = [sys.executable, "-m", "benchmarks.portfolio.switching_runs", json.dumps(asdict(job))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(figures: pl.DataFrame) -> None:
    """Print what the table says, and how it stands to what DNNShifter published."""

    def value(part: str, way: str, figure: str, at: float = 0) -> float:
        chosen = figures.filter(
            (pl.col("part") == part)
            & (pl.col("way") == way)
            & (pl.col("figure") == figure)
            & (pl.col("at") == at)
        )
        return float(chosen["value"].item())

    _report_costs(figures)
    print(f"\nswaps under {value('swaps', 'load', 'requests a second'):.1f} requests/s, ms")
    heads = {
        **{name: name for name in ("switches", "requests", "lost", "p50", "p99", "longest")},
        **{"added": "added", "loading in a request": "loading", "in the background": "behind"},
    }
    print(f"{'':20}" + "".join(f"{head:>10}" for head in heads.values()))
    for way in WAYS:
        print(f"{way:20}" + "".join(f"{value('swaps', way, name):10.1f}" for name in heads))
    for way in ("on demand", "on demand, mapped"):
        cost = value("swaps", way, "added")
        low, high = (value("swaps", "switcher", f"added, {end}") for end in ("low", "high"))
        # what is not told apart from nothing counts as much as could have been overlooked
        most = max(high, (high - low) / 2)
        cheaper = f"at least {cost / most:.1f}x cheaper" if cost > most else "no telling apart"
        print(
            f"a switch adds {cost:.0f} ms to requests {way}, with the switcher "
            f"{value('swaps', 'switcher', 'added'):.1f} (95 %: {low:.1f} to {high:.1f}): "
            f"{cheaper} (DNNShifter: up to 11.9x)"
        )
    _report_memory(figures, value)
    print("\na day, a burst, little memory for a while")
    ways = ("fastest", "middle", "dense", "switcher")
    print(f"{'':22}" + "".join(f"{way:>12}" for way in ways))
    for name in DAY_FIGURES:
        print(f"{name:22}" + "".join(f"{value('day', w, name):12.3f}" for w in ways))


def _report_costs(figures: pl.DataFrame) -> None:
    print("core ms of an inference by variant, and MiB of files")
    for way in ("plain", "mapped", "files"):
        chosen = figures.filter((pl.col("part") == "cost") & (pl.col("way") == way)).sort("at")
        print(f"{way:20}" + "".join(f"{x:10.1f}" for x in chosen["value"]))


def _report_memory(figures: pl.DataFrame, value: Any) -> None:
    print("\nMiB beyond a process that imported ONNX Runtime")
    for name in ("rss", "pss", "private", "anonymous"):
        held = [value("memory", "switcher", name, at) for at in range(len(SHARES))]
        resident = value("memory", "all resident", name)
        mapped = value("memory", "all resident, mapped", name)
        print(
            f"{name:10} all resident {resident:7.1f} (mapped {mapped:7.1f}); switcher "
            + " ".join(f"{x:6.1f}" for x in held)
            + f"; less by {resident / max(held):.1f}x with the largest, "
            f"{resident / np.mean(held):.1f}x in the mean, {resident / min(held):.1f}x at best "
            "(DNNShifter: up to 3.8x)"
        )


if __name__ == "__main__":
    main()
