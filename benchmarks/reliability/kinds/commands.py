"""Every command of the list, called in an empty folder without its arguments, and with nonsense."""

from pathlib import Path

from benchmarks.reliability.attack import Attack, Outcome, Tally, run_hdap
from hdap.cli.app import COMMANDS

USED_WRONGLY = (1, 2)  # an error of the state (no telemetry yet), an error of the words


def _names() -> list[tuple[str, ...]]:
    return [tuple(name.split()) for name in COMMANDS]


def in_an_empty_folder(folder: Path, cases: int) -> Outcome:
    tally = Tally()
    for words in _names():
        if words != ("demo",):  # needs nothing: it brings its own data
            tally.add(run_hdap(*words, cwd=folder).badly())
        tally.add(run_hdap(*words, "--help", cwd=folder).badly(code=0, says="Usage"))
    return tally.outcome()


def with_nonsense(folder: Path, cases: int) -> Outcome:
    tally = Tally()
    for words in _names():
        for nonsense in (["--no-such-option"], ["\udcff"], ["x" * 300, "../../..", "-"]):
            tally.add(run_hdap(*words, *nonsense, cwd=folder).badly(code=USED_WRONGLY))
    return tally.outcome()


ATTACKS = (
    Attack("in an empty folder", in_an_empty_folder),
    Attack("with nonsense", with_nonsense),
)
