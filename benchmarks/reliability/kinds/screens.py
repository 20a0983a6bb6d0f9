"""What a person sees: all that is offered works, no figure is NaN, every width is obeyed."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.reliability.attack import ROOT, Attack, Outcome, Ran, Tally, run_hdap

NETWORK = """
import torch
from torch import nn
from torch.utils.data import TensorDataset

def net():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 3),
    )
    network.input_shape = (3, 16, 16)
    return network

def images():
    torch.manual_seed(1)
    labels = torch.arange(96) % 3
    pixels = 0.3 * torch.randn(96, 3, 16, 16)
    pixels[torch.arange(96), labels] += 1.0
    return TensorDataset(pixels, labels), None
"""
MODEL = "tinynet:net"
PRUNED = [f"0={a};3={b}" for a in (4, 8, 16, 24) for b in (8, 16, 32)]
NO_FIGURE = re.compile(r"(?<![\w/.-])[+-]?(nan|inf|infinity)x?(?![\w/.])", re.IGNORECASE)
WIDTHS = (60, 80, 120)
ONE_LINE = ("next:", "then:", "with ", "channels:")
"""Lines that are there to be pasted stay whole."""
HEAD = "device_id,model,channels,latency_ms,timestamp"
QUICK = {"measure": " --min-seconds 0.02 --runs 3", "plan --out": " --per-cluster 10"}
"""What is asked of an offer is whether it works, not how long a device takes for how much."""
DEEPEST = 9
"""Offers of offers, a bound for what would go round in circles."""
OF_A_NETWORK = ("prune", "export", "report", "dashboard")
SERVING = "Ctrl-C ends it"
LONGEST_S = 600.0
"""Some offers train and measure, and other work may run beside the attack."""
SERVES = ("portfolio serve", "dashboard")


def _row(device: str, channels: str, ms: float, minute: int = 0) -> str:
    return f"{device},{MODEL},{channels},{ms:.4f},2026-11-21T09:{minute:02d}:00Z"


def _pruned_ms(channels: str) -> float:
    first, second = (int(part.partition("=")[2]) for part in channels.split(";"))
    return 0.2 + 0.004 * first + 0.004 * second + 0.0003 * first * second


def _dense(*devices: str) -> list[str]:
    return [_row(d, "", 1.0 + 0.01 * i, i) for d in devices for i in range(12)]


def _measured(device: str, count: int) -> list[str]:
    return [_row(device, c, _pruned_ms(c), 20 + i) for i, c in enumerate(PRUNED[:count])]


THIN = {
    "one row": [_row("a", "", 1.0)],
    "one device": _dense("a"),
    "one pruned row": [*_dense("a"), *_measured("a", 1)],
    "four configurations": [*_dense("a", "b"), *_measured("a", 4)],
    "eight configurations, once each": [_row("a", "", 1.0), *_measured("a", 8)],
    "three devices": [*_dense("a", "b", "c"), *_measured("a", 12), *_measured("b", 9)],
}
"""Telemetry that is hardly any."""


def _begin(folder: Path, rows: list[str], name: str = "hdap.db") -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tinynet.py").write_text(NETWORK)
    (folder / "rows.csv").write_text("\n".join([HEAD, *rows]) + "\n")
    wrong = run_hdap("model", MODEL, "--db", name, cwd=folder).badly(code=0)
    return wrong + run_hdap("ingest", "rows.csv", "--db", name, cwd=folder).badly(code=0)


@dataclass
class Walk:
    """Follows what commands offer, each kind of command once, in the folder that offered it.

    `anywhere` is what walks share: what an offer of OF_A_NETWORK does hangs on no telemetry.
    The folder stays the same, because a person's leave to run its code is the folder's: what a
    command leaves behind is taken back after everything that it offers was tried.
    """

    tally: Tally
    anywhere: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)

    def follow(self, folder: Path, shown: str, of: str, depth: int = 0) -> None:
        offered = re.findall(r"^(next|then): (.*)$", shown, re.MULTILINE)
        with tempfile.TemporaryDirectory() as aside:
            as_it_was = shutil.copytree(folder, Path(aside) / "as it was")
            wanted = False  # `then:` works once `next:` was run
            for label, command in offered:
                kind = _kind(command)
                if label == "next":
                    _restore(folder, as_it_was)
                    wanted = kind not in self.seen | self.anywhere
                if wanted:
                    self._try(folder, command, kind, of, depth)
            _restore(folder, as_it_was)

    def _try(self, folder: Path, command: str, kind: str, of: str, depth: int) -> None:
        (self.anywhere if kind.startswith(OF_A_NETWORK) else self.seen).add(kind)
        ran = _shell(command + QUICK.get(kind, ""), folder)
        self.tally.add([f"offered by {of}: {wrong}" for wrong in _wrong(ran, kind)])
        if depth < DEEPEST:
            self.follow(folder, ran.out, kind, depth + 1)


def _restore(folder: Path, as_it_was: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(as_it_was, folder, dirs_exist_ok=True)


def _kind(command: str) -> str:
    words = command.split()
    if words[0] != "hdap":
        return words[0]
    name = " ".join(words[1:3]) if words[1] in ("elastic", "portfolio") else words[1]
    flags = [w for w in words if w in ("--out", "--pareto", "--trial", "--outliers", "--levels")]
    return " ".join([name, *flags])


def _wrong(ran: Ran, kind: str) -> list[str]:
    if kind.startswith(SERVES):
        return [] if SERVING in ran.out else [f"{ran.words}: {ran.shown[-300:]}"]
    judged = re.search("^(does not hold|not shown)", ran.out, re.MULTILINE)
    return ran.badly(code=1 if judged and kind.startswith("verify") else 0)


def _shell(command: str, folder: Path) -> Ran:
    """A command as it is pasted into a shell; `hdap` is this checkout's."""
    script = folder / "hdap-of-this-checkout"
    script.mkdir(exist_ok=True)
    program = script / "hdap"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m hdap "$@"\n')
    program.chmod(0o755)
    beside = Path(sys.executable).parent  # other programs of this environment
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HDAP_")}
    clean |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "COLUMNS": "80"}
    clean |= {"PYTHONUNBUFFERED": "1", "PATH": f"{script}:{beside}:{clean.get('PATH', '')}"}
    words = ["bash", "-c", command]
    if _kind(command).startswith(SERVES):
        return _served(command, words, folder, clean)
    try:
        done = subprocess.run(words, cwd=folder, env=clean, capture_output=True, timeout=LONGEST_S)
    except subprocess.TimeoutExpired as over:
        return Ran((command,), None, _text(over.stdout), _text(over.stderr))
    return Ran((command,), done.returncode, _text(done.stdout), _text(done.stderr))


def _served(command: str, words: list[str], folder: Path, env: dict[str, str]) -> Ran:
    """What serves until it is ended: ended once it says so."""
    with tempfile.TemporaryFile() as shown:
        child = subprocess.Popen(words, cwd=folder, env=env, stdout=shown, stderr=subprocess.STDOUT)
        over = time.monotonic() + LONGEST_S
        said = ""
        while SERVING not in said and child.poll() is None and time.monotonic() < over:
            time.sleep(0.1)
            said = os.pread(shown.fileno(), 100_000, 0).decode(errors="replace")
        child.terminate()
        return Ran((command,), child.wait(), said, "")


def _text(shown: bytes | None) -> str:
    return (shown or b"").decode(errors="replace")


def every_next(folder: Path, cases: int) -> Outcome:
    """From each thin telemetry on, whatever is offered is run."""
    return _of_each_thin(folder, partial(_offered, set()))


def _of_each_thin(folder: Path, attack: Callable[[Path, str], Outcome]) -> Outcome:
    """An attack on each thin telemetry, in a folder of its own, as many at once as there are
    cores."""
    places = [folder / f"thin {number}" for number in range(len(THIN))]  # a blank, as folders have
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        each = list(pool.map(attack, places, THIN))
    return Outcome(sum(one.tried for one in each), tuple(w for one in each for w in one.badly))


def _offered(anywhere: set[str], place: Path, name: str) -> Outcome:
    tally = Tally()
    tally.add(_begin(place, THIN[name]))
    walk = Walk(tally, anywhere)
    for command in ("cluster", "status", "devices", "model " + MODEL, "ingest rows.csv"):
        ran = run_hdap(*command.split(), cwd=place)
        tally.add(ran.badly(code=0))
        walk.follow(place, ran.out, command)
    return tally.outcome()


def every_next_of_training(folder: Path, cases: int) -> Outcome:
    """What the commands that train and deploy offer, under names with blanks."""
    tally = Tally()
    place = folder / "training"
    tally.add(_begin(place, THIN["three devices"], "my fleet.db"))
    data = ("--data", "tinynet:images", "--epochs", "1")
    db, model = ("--db", "my fleet.db"), ("--model", MODEL)
    search = ("--flops", "50%", "--trials", "30", "--study", "my study", "--step", "4")
    plan = ("elastic", "plan", *model, "--clocks", "1.0")  # these rows report none
    walk = Walk(tally)
    for words in (
        ("search", *model, *search, *db),
        ("prune", "--study", "my study", "--out", "my pruned", *db),
        ("finetune", "my pruned", "--out", "my tuned", *data, *model, *db),
        (*plan, "--target-latency", "2ms", "--out", "all in time.json", *db),
        (*plan, "--target-latency", "0.6ms", "--out", "my levels.json", *db),
        ("elastic", "train", *model, "--flops", "50%,100%", "--out", "my elastic", *data, *db),
        ("portfolio", "train", *model, "--sparse-levels", "1", "--out", "my sparse", *data, *db),
        ("report", "--out", "my report.html", *db),
        ("simulate", "--out", "my simulation", "--devices", "20"),
    ):
        ran = run_hdap(*words, cwd=place, timeout=600.0)
        tally.add(ran.badly(code=0))
        walk.follow(place, ran.out, words[0])
    return tally.outcome()


def no_figure_is_nan(folder: Path, cases: int) -> Outcome:
    """Every command that shows figures, on thin data, for people, for machines and as a report."""
    return _of_each_thin(folder, _figures)


def _figures(place: Path, name: str) -> Outcome:
    tally = Tally()
    tally.add(_begin(place, THIN[name]))
    for ran in _shown(place):
        tally.add([*ran.badly(), *_nan(ran, name)])
    return tally.outcome()


def _shown(place: Path) -> Iterator[Ran]:
    search = ("search", "--model", MODEL, "--flops", "50%", "--trials", "30", "--step", "4")
    what_if = ("fit", "--model", MODEL, "--what-if", "clock=0.6")
    for words in (
        *(("cluster",), ("fit", "--model", MODEL), what_if, ("status",), ("devices",)),
        *((*search, "--study", "s"), (*search, "--study", "t", "--per-cluster")),
        *(("trials",), ("trials", "--pareto"), ("trials", "--trial", "0"), ("trials", "--studies")),
    ):
        yield run_hdap(*words, cwd=place)
        if words[0] != "search":
            yield run_hdap(*words, "--json", cwd=place)
    yield from _verified(place)
    ran = run_hdap("report", cwd=place)
    page = place / "report.html"
    text = re.sub(r"<(script|style).*?</\1>", "", page.read_text(), flags=re.DOTALL)
    yield Ran(("report", "(its page)"), ran.code, re.sub(r"<[^>]*>", " ", text), "")


def _verified(place: Path) -> Iterator[Ran]:
    """A trial measured once on one device, four times as fast as was promised."""
    if run_hdap("trials", "--trial", "0", cwd=place).code:
        return
    run_hdap("verify", "--trial", "0", "--out", "proof", cwd=place)
    manifest = json.loads((place / "proof" / "manifest.json").read_text())
    channels = [entry["channels"] for entry in manifest["configurations"]]
    rows = [_row("a", c, 0.25 * (_pruned_ms(c) if c else 1.0), 50) for c in channels]
    (place / "proof.csv").write_text("\n".join([HEAD, *rows]) + "\n")
    yield run_hdap("ingest", "proof.csv", cwd=place)
    for words in (("verify", "--trial", "0"), ("status",)):
        yield run_hdap(*words, cwd=place)
        yield run_hdap(*words, "--json", cwd=place)


def _nan(ran: Ran, name: str) -> list[str]:
    found = NO_FIGURE.search(ran.shown)
    return [f"{name}: {' '.join(ran.words)} shows {found.group()!r}"] if found else []


def the_answer_ends_the_screen(folder: Path, cases: int) -> Outcome:
    """The last 24 lines of a search hold table, answer and what comes next; so at each width."""
    tally = Tally()
    tally.add(_begin(folder, THIN["three devices"]))
    for width in (80, 120):
        ran = run_hdap(
            *("search", "--model", MODEL, "--flops", "50%", "--trials", "30", "--step", "4"),
            cwd=folder,
            env={"COLUMNS": str(width)},
        )
        screen = "\n".join(ran.out.splitlines()[-24:])
        parts = ("dense", "uniform", "found (trial", "predicted unless", "next: hdap prune")
        tally.add(ran.badly(code=0) + [f"not on the screen: {p}" for p in parts if p not in screen])
    return tally.outcome()


def widths_are_obeyed(folder: Path, cases: int) -> Outcome:
    """No line of what is piped is longer than COLUMNS says, but for what is there to be pasted."""
    tally = Tally()
    tally.add(_begin(folder, THIN["three devices"]))
    search = ("search", "--model", MODEL, "--flops", "50%", "--trials", "30", "--step", "4")
    for words in (
        *(("cluster",), ("fit", "--model", MODEL), search, ("status",), ("devices",)),
        *(("trials",), ("trials", "--pareto"), ("trials", "--studies"), ("model", MODEL)),
        *(("sql", "SELECT * FROM trial_summary"), ("ingest", "rows.csv")),
        *(("--help",), ("search", "--help"), ("portfolio", "train", "--help")),
    ):
        for width in WIDTHS:
            ran = run_hdap(*words, cwd=folder, env={"COLUMNS": str(width)})
            long = [
                x for x in ran.out.splitlines() if len(x) > width and not x.startswith(ONE_LINE)
            ]
            told = [f"{' '.join(words)} at {width}: {len(x)} characters: {x}" for x in long[:1]]
            tally.add(ran.badly(code=0) + told)
    return tally.outcome()


ATTACKS = (
    Attack("every next", every_next),
    Attack("every next of training", every_next_of_training),
    Attack("no figure is NaN", no_figure_is_nan),
    Attack("the answer ends the screen", the_answer_ends_the_screen),
    Attack("widths are obeyed", widths_are_obeyed),
)
