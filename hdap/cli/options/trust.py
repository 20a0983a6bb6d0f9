"""What nobody asked for does not happen unasked: code, servers and files that a folder names.

A folder may come from anybody: with an `hdap.toml`, with a database, with a checkpoint. What they
say is done after a person agreed to it, once for the file as it is (as `direnv allow`), and once
for each factory of a folder. What a person names on the command line needs no more words.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from hdap.cli.terminal.output import can_ask, err, say
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.model_names import base_name, kind_of_model
from hdap.networks.factories import factories_by_leave_of, is_code
from hdap.requests.setting import Leaf, options_of

ENVIRONMENT = "HDAP_TRUST"
_HERE = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class FoundSettings:
    """An `hdap.toml` that lay in the folder; nobody named it."""

    path: Path

    def mark(self, what: str) -> str:
        """What is agreed to: this of this file, as long as its content stays."""
        return _mark("settings", self.path.resolve(), self.path.read_bytes(), what)


def reached(leaf: Leaf, value: Any) -> Iterator[str]:
    """What a setting makes a command do that needs leave where a folder's file says it."""
    for text in _texts(value):
        if leaf.setting.reach == "code" and is_code(text):
            yield _doing(base_name(text))
        elif leaf.setting.reach == "database" and _server(text):
            from hdap.fleet_data.store.engine import without_password  # takes a moment

            yield f"connect to {without_password(text)}"
        elif leaf.setting.reach == "address" and text not in _HERE:
            yield f"listen on {text}"
        elif leaf.setting.reach == "devices":
            yield f"connect to the devices of {text} with your keys, and run programs there"
        elif leaf.setting.reach == "database" or _names_a_file(leaf):
            file = Path(text.removeprefix("sqlite:///")).expanduser()
            if not file.resolve().is_relative_to(Path.cwd().resolve()):
                yield f"use {file}, which lies outside of this folder"


def agree_to_settings(
    found: FoundSettings, command: str, values: Iterable[tuple[Leaf, Any]], *, trusted: bool
) -> None:
    """Have a person agree to what the file of a folder makes `command` do, once.

    Raises InputError where they do not, or nobody can be asked; nothing has happened then.
    """
    wanted = [f"{what} ({leaf.flag})" for leaf, value in values for what in reached(leaf, value)]
    if not wanted:
        return
    if not trusted and not all(_is_agreed(found.mark(what)) for what in wanted):
        whose = f"{found.path.resolve()} makes `hdap {command}`"
        _ask(whose, wanted, "give them on the command line")
    for what in wanted:
        _remember(found.mark(what), f"{found.path.resolve()}: {what}")
        say(f"{found.path.name} of this folder, trusted: {what}")


@contextmanager
def factories_of_a_person(
    given: Iterable[tuple[Leaf, Any]], command: str, *, trusted: bool
) -> Iterator[None]:
    """Inside, only those factories and programs are loaded that a person gave.

    Now, or before in this folder. Another, which a database or a document names, is asked about
    where somebody can be asked.
    """
    code = [value for leaf, value in given if leaf.setting.reach == "code"]
    named = {base_name(text) for value in code for text in _texts(value)}

    def permit(name: str) -> None:
        mark = _mark("factory", Path.cwd().resolve(), b"", name)
        if name not in named and not trusted and not _is_agreed(mark):
            whose = f"a database or a file, not you, makes `hdap {command}`"
            _ask(whose, [_doing(name)], f"name it in this folder: hdap model {name}")
        _remember(mark, f"{Path.cwd().resolve()}: {name}")

    with factories_by_leave_of(permit):
        yield


def _ask(whose: str, wanted: list[str], otherwise: str) -> None:
    if not can_ask():
        raise InputError(
            f"{whose} {'; '.join(wanted)}: a person must agree to that once, but there is no "
            f"terminal to ask on; look at it, then add --trust (or set {ENVIRONMENT}=1), or "
            f"{otherwise}"
        )
    err().print(f"{whose}", markup=False, soft_wrap=True)
    for what in wanted:
        err().print(f"  {what}", markup=False, soft_wrap=True)
    if not typer.confirm("Trust it?", default=False, err=True):
        raise InputError(f"{whose} do more than you allowed: nothing was done; {otherwise}")


def _doing(name: str) -> str:
    program = kind_of_model(name) == "program"
    return f"load {name}, which may hold code" if program else f"import and run {name}"


def _texts(value: Any) -> list[str]:
    return [str(x) for x in (value if isinstance(value, list | tuple) else (value,))]


def _server(text: str) -> bool:
    return "://" in text and not text.startswith("sqlite:")


def _names_a_file(leaf: Leaf) -> bool:
    """Whether it may be written: what must be there already is only read."""
    return Path in options_of(leaf.kind) and not leaf.setting.there


def _mark(kind: str, place: Path, content: bytes, what: str) -> str:
    told = "\0".join((kind, str(place), what, "")).encode(errors="surrogateescape")
    return hashlib.sha256(told + content).hexdigest()


def _folder() -> Path:
    return Path(typer.get_app_dir("hdap")) / "trusted"


def _is_agreed(mark: str) -> bool:
    return (_folder() / mark).is_file()


def _remember(mark: str, words: str) -> None:
    """Where that cannot be written, as on many build machines, a person is asked again."""
    if ENVIRONMENT in os.environ:
        return
    with suppress(OSError):
        if not _is_agreed(mark):
            _folder().mkdir(mode=0o700, parents=True, exist_ok=True)
            (_folder() / mark).write_text(f"{words}\n", encoding="utf-8", errors="surrogateescape")
