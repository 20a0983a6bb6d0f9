"""Attacks the product in every way that once succeeded: how often tried, how often badly answered.

Every file of `kinds/` has a tuple ATTACKS. The exit status is 1 when anything was answered badly.
"""

import importlib
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.reliability.attack import Attack, Outcome

KINDS = Path(__file__).with_name("kinds")
SHOWN = 5  # lines of one attack; a fault of the mechanism repeats itself


def attacks(only: str) -> list[tuple[str, Attack]]:
    """(kind, attack) of all kinds whose "kind/attack" contains `only`."""
    found: list[tuple[str, Attack]] = []
    for path in sorted(KINDS.glob("*.py")):
        module = importlib.import_module(f"benchmarks.reliability.kinds.{path.stem}")
        found += [(path.stem, attack) for attack in module.ATTACKS]
    return [(kind, attack) for kind, attack in found if only in f"{kind}/{attack.name}"]


def tried(attack: Attack, cases: int) -> Outcome:
    """The attack in an empty folder; an attack that itself fails counts as badly answered.

    What it agrees to, as a person would, is remembered nowhere else.
    """
    with (
        tempfile.TemporaryDirectory(prefix="hdap-attack-") as folder,
        tempfile.TemporaryDirectory(prefix="hdap-attack-config-") as config,
    ):
        os.environ["XDG_CONFIG_HOME"] = config
        try:
            return attack.run(Path(folder), cases)
        except Exception:
            return Outcome(1, (f"the attack itself failed: {traceback.format_exc(limit=-3)}",))


def main(
    only: Annotated[str, typer.Option(help="Only what has this in its KIND/NAME.")] = "",
    cases: Annotated[int, typer.Option(help="Generated cases an attack.")] = 100_000,
    list_: Annotated[bool, typer.Option("--list", help="Name them and end.")] = False,
) -> None:
    """Runs the attacks one after the other and prints tried / badly answered."""
    chosen = attacks(only)
    if list_:
        print("\n".join(f"{kind}/{attack.name}" for kind, attack in chosen))
        return
    total, bad = 0, 0
    for kind, attack in chosen:
        started = time.perf_counter()
        outcome = tried(attack, cases)
        total, bad = total + outcome.tried, bad + len(outcome.badly)
        print(
            f"{kind + '/' + attack.name:<58}{outcome.tried:>9,} tried {len(outcome.badly):>6,} "
            f"badly answered {time.perf_counter() - started:7.1f} s",
            flush=True,
        )
        for line in (*outcome.figures, *outcome.badly[:SHOWN]):
            print(f"    {line}", flush=True)
    print(f"\n{total:,} tried, {bad:,} badly answered")
    sys.exit(bool(bad))


if __name__ == "__main__":
    typer.run(main)
