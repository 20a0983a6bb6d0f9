"""What an attack on the product is, what it came to, and how the product is run in it."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEVER_SHOWN = (
    "Traceback (most recent call last)",
    "Exception ignored in",
    "this is a fault of hdap",
)


@dataclass(frozen=True)
class Outcome:
    """How many times something was tried, and a line for each time it was answered badly."""

    tried: int
    badly: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attack:
    """A name, and what is done in an empty folder of its own.

    `cases` is how many generated cases an attack that generates them should try; others ignore it.
    """

    name: str
    run: Callable[[Path, int], Outcome]


@dataclass(frozen=True)
class Ran:
    """One command line that ended, or was ended after its time (`code` None)."""

    words: tuple[str, ...]
    code: int | None
    out: str
    err: str

    @property
    def shown(self) -> str:
        return self.out + self.err

    def badly(self, *, code: int | tuple[int, ...] | None = None, says: str = "") -> list[str]:
        """Why this is a bad answer: it hung, was killed, showed a traceback, or is not as asked.

        code: the exit status (or one of several) that is right; says: words that must be shown.
        """
        name = "hdap " + " ".join(self.words)
        if self.code is None:
            return [f"{name}: still running when its time was over"]
        wrong = [f"{name}: shows {text!r}" for text in NEVER_SHOWN if text in self.shown]
        if self.code < 0:
            wrong.append(f"{name}: killed by signal {-self.code}")
        elif code is not None and self.code not in ((code,) if isinstance(code, int) else code):
            wrong.append(f"{name}: exit status {self.code}, right is {code}: {self.shown[-300:]}")
        if says and says not in " ".join(self.shown.split()):
            wrong.append(f"{name}: does not say {says!r}: {self.shown[-300:]}")
        return wrong


@dataclass
class Tally:
    """Counts what was tried while an attack runs."""

    tried: int = 0
    wrong: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)

    def add(self, wrong: list[str] | str | None) -> None:
        """One more was tried; an empty list, an empty text or None was answered well."""
        self.tried += 1
        self.wrong.extend([wrong] if isinstance(wrong, str) and wrong else wrong or ())

    def outcome(self) -> Outcome:
        return Outcome(self.tried, tuple(self.wrong), tuple(self.figures))


def run_hdap(
    *words: str,
    cwd: Path,
    stdin: bytes = b"",
    timeout: float = 600.0,
    env: Mapping[str, str] | None = None,
) -> Ran:
    """Runs `python -m hdap WORDS` of this checkout in `cwd`, without the shell's HDAP_*."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HDAP_")}
    clean |= {"PYTHONPATH": str(ROOT), "COLUMNS": "80"} | dict(env or {})
    command = [sys.executable, "-m", "hdap", *words]
    try:
        done = subprocess.run(
            command, cwd=cwd, input=stdin, capture_output=True, timeout=timeout, env=clean
        )
    except subprocess.TimeoutExpired as e:
        return Ran(words, None, _text(e.stdout), _text(e.stderr))
    return Ran(words, done.returncode, _text(done.stdout), _text(done.stderr))


def _text(shown: bytes | None) -> str:
    return (shown or b"").decode(errors="replace")
