"""Standard streams that are closed, full or of ASCII; Ctrl-C while the program starts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.reliability.attack import NEVER_SHOWN, ROOT, Attack, Outcome, Tally, run_hdap

_COMMANDS = (
    "--version",
    "--help",
    "devices",
    "simulate --help",
    "sql 'SELECT 1'",
    "model resnet18",
)
_STREAMS = (">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full")
_FAILED = (0, 1, 2)  # a stream may fail a command, in a line; nothing else may end it


def broken_streams(folder: Path, cases: int) -> Outcome:
    tally = Tally()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for words in _COMMANDS:
        for streams in _STREAMS:
            line = f"{sys.executable} -m hdap {words} {streams}"
            done = subprocess.run(
                ["sh", "-c", line], cwd=folder, capture_output=True, timeout=180, env=env
            )
            shown = (done.stdout + done.stderr).decode(errors="replace")
            bad = done.returncode not in _FAILED or any(text in shown for text in NEVER_SHOWN)
            tally.add(f"hdap {words} {streams}: {done.returncode} {shown[-200:]}" if bad else None)
    return tally.outcome()


def ascii_only(folder: Path, cases: int) -> Outcome:
    tally = Tally()
    for words in (("--help",), ("model", "resnet18"), ("devices", "--db", "\u00e9\udcff.db")):
        for env in ({"PYTHONIOENCODING": "ascii"}, {"LANG": "C", "PYTHONUTF8": "0"}):
            tally.add(run_hdap(*words, cwd=folder, env=env).badly(code=_FAILED))
    return tally.outcome()


def stopped_while_starting(folder: Path, cases: int) -> Outcome:
    tally = Tally()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "hdap", "model", "resnet18"]
    for wait in (0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 2.0):
        running = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
        )
        time.sleep(wait)
        running.send_signal(signal.SIGINT)
        shown = b"".join(running.communicate(timeout=60)).decode(errors="replace")
        # before any of our code runs the interpreter itself says so
        ours = "hdap/" in shown or "importlib" not in shown
        bad = "Traceback" in shown and ours
        tally.add(f"Ctrl-C after {wait} s: {shown[-300:]}" if bad else None)
    return tally.outcome()


ATTACKS = (
    Attack("broken streams", broken_streams),
    Attack("ASCII only", ascii_only),
    Attack("stopped while starting", stopped_while_starting),
)
