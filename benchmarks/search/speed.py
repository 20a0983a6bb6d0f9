"""How many configurations a search scores a second, and what much more time would gain it."""

import time

import numpy as np

from benchmarks.search.runs import Curve, Task, cached_setting, run_all
from hdap.search.analysis.answer import answer
from hdap.search.analysis.single_cluster_baseline import single_cluster_baseline
from hdap.search.driver.run_search import run_search
from hdap.search.samplers.evolution import Evolution

BATCH, BATCHES = 1000, 20
EVOLVED_SECONDS = 3.0
LONG = ("fleet", "cmaes", "nsga2", "halp")


def show_speed(name: str, step: int) -> None:
    """Rates of the surrogates, of the evolution and of a default search, and its answer."""
    given = cached_setting(name, step)
    problem = given.problem
    counts = problem.repair(problem.space.random(BATCH, np.random.default_rng(0)))
    started = time.perf_counter()
    for _ in range(BATCHES):
        problem.scores(counts)
    surrogates = BATCH * BATCHES / (time.perf_counter() - started)
    evolution = Evolution(problem, 0)
    started = time.perf_counter()
    while (seconds := time.perf_counter() - started) < EVOLVED_SECONDS:
        evolution.step()
    found = run_search(problem)
    assert found.trials is not None
    print(
        f"{name}, {len(problem.fleet.mean)} clusters, configurations scored a second: surrogates "
        f"alone {surrogates:,.0f}, evolution {evolution.scored / seconds:,.0f}, default search "
        f"{found.scored / found.seconds:,.0f} ({len(found.trials):,} trials in "
        f"{found.seconds:.1f} s)"
    )
    told = answer(problem, found.trials)
    for row in told.rows:
        print(
            f"  {row.name:<10}{row.flops / 1e9:8.3f} G{row.fleet_mean_ms:9.2f} ms predicted "
            f"({row.fleet_mean_low_ms:.2f}-{row.fleet_mean_high_ms:.2f})  kept "
            f"{row.kept_importance:.4f}  {row.over_dense:.2f}x dense  "
            f"{row.over_uniform:.3f}x uniform"
        )
    print(f"  {single_cluster_baseline(problem, told.found.counts).words}\n")


def show_long(name: str, step: int, times: float, processes: int) -> None:
    """The default search's answer beside the best of several given `times` its seconds each."""
    given = cached_setting(name, step)
    found = run_search(given.problem)
    assert found.trials is not None
    value = np.where(found.trials.feasible, found.trials.ucb_ms, np.inf)
    best = int(value.argmin())
    mine = float(given.judge(found.trials.counts[[best]])[0])
    seconds = times * found.seconds
    print(f"{name}: default search {mine:.4f} ms {given.judged_by} in {found.seconds:.2f} s")
    ends: list[tuple[float, Curve]] = []
    for curve in run_all([Task(name, step, s, 1, seconds) for s in LONG], processes):
        ends.append((curve.after(curve.at_seconds, seconds), curve))
        print(
            f"  {curve.task.sampler:<8}{ends[-1][0]:9.4f} ms after {seconds:.0f} s, "
            f"{curve.scored:,} evaluations",
            flush=True,
        )
    least, curve = min(ends, key=lambda x: x[0])
    print(
        f"  the default answer is {100 * (mine / least - 1):+.2f} % from the best "
        f"({curve.task.sampler}) of {times:g} times the time"
    )
