"""Searches in spaces of few configurations, interrupted, at once, and asked for the impossible."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.reliability.attack import ROOT, Attack, Outcome, Ran, Tally, run_hdap

NETWORKS = """
from torch import nn

def chain(*widths):
    layers, inputs = [], 3
    for outputs in widths:
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
        inputs = outputs
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10)]
    network = nn.Sequential(*layers)
    network.input_shape = (3, 16, 16)
    return network

def chain_of_five():
    return chain(16, 24, 32, 32, 24)

def chain_of_two():
    return chain(8, 12)
"""
FIVE, TWO = "attacked:chain_of_five", "attacked:chain_of_two"
FEW = ("--flops", "50%", "--step", "4")
MANY = ("--flops", "50%", "--step", "1", "--min-width", "1")
OURS = ("fleet", "random", "ncs", "netadapt", "halp")
OPTUNAS = ("tpe", "nsga2", "cmaes")
TRIALS = {"netadapt": 600, "halp": 600} | dict.fromkeys(OPTUNAS, 150)
"""Some seconds of a search each; the others find thousands in that time."""


def _fleet(folder: Path, model: str) -> dict[str, str]:
    """A database with a simulated fleet that measured `model`; the environment that names it."""
    (folder / "attacked.py").write_text(NETWORKS)
    env = {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "HDAP_DB": str(folder / "fleet.db")}
    simulate = ("simulate", "--out", "fleet", "--model", model, "--devices", "60")
    for words in (simulate, ("model", model), ("ingest", "fleet/telemetry.csv.gz")):
        done = run_hdap(*words, "-q", cwd=folder, env=env)
        if done.code != 0:
            raise RuntimeError(f"the fleet could not be made: {done.shown[-500:]}")
    return env


def _rows(folder: Path, study: str) -> list[tuple[int, str]]:
    with sqlite3.connect(folder / "fleet.db") as database:
        sql = "SELECT number, channels FROM trials WHERE study = ? ORDER BY number"
        return [(int(n), str(c)) for n, c in database.execute(sql, (study,))]


def _document(done: Ran) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.out)
    return found


def one_number(folder: Path, cases: int) -> Outcome:
    """The best trial has one number, whoever is asked, with one objective and with several."""
    tally, env = Tally(), _fleet(folder, FIVE)
    for place, more in enumerate((FEW, MANY, (*MANY, "--objective", "mean,kept"))):
        study = f"s{place}"
        words = ("search", "--model", FIVE, *more, "--trials", "300", "--study", study, "--json")
        done = run_hdap(*words, cwd=folder, env=env)
        tally.add(done.badly(code=0))
        if done.code != 0:
            continue
        best = _document(done)["trial"]
        sql = f"SELECT number FROM best_trials WHERE study = '{study}'"
        summary = f"SELECT best_number AS number FROM trial_summary WHERE study = '{study}'"
        for said in (("sql", sql), ("sql", summary)):
            found = json.loads(run_hdap(*said, "--json", cwd=folder, env=env).out)[0]["number"]
            tally.add("" if found == best else f"{study}: search says {best}, {said} {found}")
        if "--objective" not in more:
            listed = run_hdap("trials", "--study", study, "--json", cwd=folder, env=env).out
            first = json.loads(listed)[0]["number"]
            tally.add("" if first == best else f"{study}: search says {best}, trials {first}")
    return tally.outcome()


def small_spaces(folder: Path, cases: int) -> Outcome:
    """Every sampler finds every configuration once and stops; a budget without one widens down."""
    tally, env = Tally(), _fleet(folder, FIVE)
    seen: dict[str, int] = {}
    for sampler in (*OURS, *OPTUNAS):
        words = ("search", "--model", FIVE, *FEW, "--sampler", sampler, "--study", sampler)
        done = run_hdap(*words, "--json", cwd=folder, env=env)
        tally.add(done.badly(code=0))
        rows = [channels for _, channels in _rows(folder, sampler)]
        seen[sampler] = len(rows)
        tally.add("" if len(set(rows)) == len(rows) else f"{sampler}: a network is a trial twice")
        again = run_hdap("search", "--resume", sampler, "--json", cwd=folder, env=env)
        more = len(_rows(folder, sampler)) - len(rows)
        tally.add(again.badly(code=0) or ("" if not more else f"{sampler}: {more} more on resume"))
    tally.add("" if len(set(seen.values())) == 1 else f"samplers found different numbers: {seen}")
    tally.figures.append(f"{seen['fleet']} configurations, found once by {len(seen)} samplers")
    other = folder / "two"
    other.mkdir()
    env = _fleet(other, TWO)
    for band, said in (((), ""), (("--flops-tol", "0.03"), "nothing on the grid lies within")):
        half = ("search", "--model", TWO, "--flops", "50%", "--json", *band)
        done = run_hdap(*half, cwd=other, env=env)
        tally.add(done.badly(code=0, says=said))
        if done.code != 0:
            continue
        found = _document(done)
        above = max(row["flops"] for row in found["rows"] if row["network"] != "dense")
        tally.add("" if above <= found["flops_high"] else f"{above} FLOPs are above the budget")
    for goal in ("p95", "worst", "cvar:0.9", "deadline:30ms", "mean,kept"):
        asked = ("search", "--model", TWO, "--flops", "50%", "--objective", goal)
        tally.add(run_hdap(*asked, cwd=other, env=env).badly(code=0))
    tally.add(
        run_hdap("search", "--model", TWO, "--latency", "1s", cwd=other, env=env).badly(code=0)
    )
    return tally.outcome()


def interrupted(folder: Path, cases: int) -> Outcome:
    """Killed in the middle and resumed: the same trials, or it was said beforehand."""
    env, samplers = _fleet(folder, FIVE), (*OURS, *OPTUNAS)
    fitted = Tally()
    fitted.add(run_hdap("fit", "--model", FIVE, cwd=folder, env=env).badly(code=0))
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # as many samplers at once as cores
        each = [*pool.map(partial(_interrupted, folder, env), samplers), fitted.outcome()]
    return Outcome(sum(one.tried for one in each), tuple(w for one in each for w in one.badly))


def _interrupted(folder: Path, env: dict[str, str], sampler: str) -> Outcome:
    tally = Tally()
    trials = str(TRIALS.get(sampler, 3000))
    words = ("search", "--model", FIVE, *MANY, "--sampler", sampler, "--trials", trials)
    whole = run_hdap(*words, "--study", f"{sampler}-whole", cwd=folder, env=env)
    tally.add(whole.badly(code=0))
    for name, number in (("int", signal.SIGINT), ("kill", signal.SIGKILL)):
        study = f"{sampler}-{name}"
        said = _killed(folder, (*words, "--study", study), env, study, number)
        first = len(_rows(folder, study))
        done = run_hdap("search", "--resume", study, cwd=folder, env=env)
        done = done if first < int(trials) else whole  # it was faster than the signal
        tally.add(done.badly(code=0))
        same = _rows(folder, study) == _rows(folder, f"{sampler}-whole")
        told = "not to those that it would have found" in " ".join(said.split())
        wrong = f"{study}: resumed after {first} trials to other ones, and did not say so"
        tally.add("" if same or told else wrong)
    return tally.outcome()


def _killed(
    folder: Path, words: tuple[str, ...], env: dict[str, str], study: str, number: int
) -> str:
    """What a search said until a signal ended it, as soon as it had trials."""
    command = [sys.executable, "-m", "hdap", *words]
    running = subprocess.Popen(
        command, cwd=folder, env=os.environ | env, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60.0
    while running.poll() is None and time.monotonic() < deadline and not _rows(folder, study):
        time.sleep(0.02)
    running.send_signal(number)
    said, _ = running.communicate(timeout=300.0)
    return said


def at_once(folder: Path, cases: int) -> Outcome:
    """Default searches at the same moment, on a fleet that nobody has clustered yet."""
    tally, env = Tally(), _fleet(folder, FIVE)
    words = ("search", "--model", FIVE, *MANY, "--trials", "100", "--json")
    with ThreadPoolExecutor(4) as pool:
        every = list(pool.map(lambda _: run_hdap(*words, cwd=folder, env=env), range(4)))
    for done in every:
        tally.add(done.badly(code=0))
    names = [_document(done)["study"] for done in every if done.code == 0]
    tally.add("" if len(set(names)) == len(names) else f"one name twice: {names}")
    return tally.outcome()


def the_impossible(folder: Path, cases: int) -> Outcome:
    """A floor that nothing keeps, refused with the most that can be kept; that one is kept."""
    tally, env = Tally(), _fleet(folder, FIVE)
    for more in (FEW, MANY):
        words = ("search", "--model", FIVE, *more, "--trials", "200")
        done = run_hdap(*words, "--floor", "0.95", cwd=folder, env=env)
        said = " ".join(done.shown.split())
        tally.add(done.badly(code=1, says="the floor must be at most"))
        if "at most " in said:
            most = said.partition("at most ")[2].partition(",")[0]
            tally.add(run_hdap(*words, "--floor", most, cwd=folder, env=env).badly(code=0))
    return tally.outcome()


def different_ones(folder: Path, cases: int) -> Outcome:
    """Lists of trials hold networks that differ."""
    tally, env = Tally(), _fleet(folder, FIVE)
    words = ("search", "--model", FIVE, *MANY, "--trials", "1000", "--study", "s", "--json")
    tally.add(run_hdap(*words, cwd=folder, env=env).badly(code=0))
    channels = dict(_rows(folder, "s"))
    for more in ((), ("--pareto",)):
        listed = json.loads(run_hdap("trials", *more, "--json", cwd=folder, env=env).out)
        rows = [tuple(json.loads(channels[row["number"]]).values()) for row in listed]
        alike = min(
            (sum(a != b for a, b in zip(one, other, strict=True))
             for i, one in enumerate(rows) for other in rows[:i]),
            default=9,
        )  # fmt: skip
        tally.add("" if alike >= 1 else f"trials {more}: {alike} groups differ in one list")
    return tally.outcome()


ATTACKS = (
    Attack("one number for one network", one_number),
    Attack("small spaces", small_spaces),
    Attack("interrupted", interrupted),
    Attack("at once", at_once),
    Attack("the impossible", the_impossible),
    Attack("networks that differ", different_ones),
)
