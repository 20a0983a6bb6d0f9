"""What runs on a device beside a bundle, as a file of its own: Python 3.9, nothing else.

attendant.py files              SHA-256 of what is there, as JSON
attendant.py start OPTIONS      measure, unless that runs already; the connection may end then
attendant.py look ROWS.csv      whether it runs, how it ended, rows so far, what it said last
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys

STATE, LOG, END = "measuring.json", "measuring.log", "measuring.end"
HASHES = "hashes.json"
BOOT = "/proc/sys/kernel/random/boot_id"
KEEPER = f'"$@"; echo $? > {END}.new; mv {END}.new {END}'
TAIL = 4096


def files() -> dict[str, str]:
    """Every file here and its hash, which is not computed again while size and time are as then."""
    try:
        known = dict(json.loads(_content(HASHES)))
    except (ValueError, TypeError):
        known = {}
    found, seen = {}, {}
    for name in filter(os.path.isfile, os.listdir(".")):
        facts = os.stat(name)
        told = [facts.st_size, facts.st_mtime_ns]
        before = known.get(name)
        found[name] = str(before[2]) if before and before[:2] == told else _sha256(name)
        seen[name] = [*told, found[name]]
    with open(HASHES + ".new", "w", encoding="utf-8") as file:
        json.dump(seen, file)
    os.replace(HASHES + ".new", HASHES)
    return found


def _sha256(name: str) -> str:
    digest = hashlib.sha256()
    with open(name, "rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


def _content(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def running() -> bool:
    """Whether the process that was started is there; after a reboot its number means nothing."""
    try:
        state = json.loads(_content(STATE))
        pid, boot = int(state["pid"]), str(state["boot"])
    except (ValueError, KeyError, TypeError):
        return False
    if boot != _content(BOOT).strip() or os.path.exists(END):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    # one that has ended is there until somebody asks for its status
    return _content(f"/proc/{pid}/stat").rpartition(")")[2][:2] != " Z"


def start(options: list[str]) -> None:
    """Start measure.pyz in a session of its own; what it says and how it ends goes to files."""
    if running():
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(END)
    with open(LOG, "ab") as log:
        process = subprocess.Popen(
            ["sh", "-c", KEEPER, "sh", sys.executable, "measure.pyz", *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    with open(STATE + ".new", "w", encoding="utf-8") as file:
        json.dump({"pid": process.pid, "boot": _content(BOOT).strip()}, file)
    os.replace(STATE + ".new", STATE)


def look(rows: str) -> dict[str, object]:
    """How it stands; `end` is the exit status of what was started last, None: it did not end."""
    busy, end = running(), _content(END).strip()
    with contextlib.suppress(OSError), open(LOG, "rb") as log:
        log.seek(max(os.path.getsize(LOG) - TAIL, 0))
        said = log.read().decode(errors="replace").replace("\r", "\n").split("\n")
        lines = [line.strip() for line in said if line.strip()]
        return {
            "running": busy,
            "end": int(end) if end.isdigit() else None,
            "rows": max(_content(rows).count("\n") - 1, 0),
            "said": lines[-1] if lines else "",
        }
    return {"running": busy, "end": None, "rows": 0, "said": ""}


if __name__ == "__main__":
    word, rest = sys.argv[1], sys.argv[2:]
    if word == "start":
        start(rest)
    print(json.dumps(look(rest[0]) if word == "look" else files()))
