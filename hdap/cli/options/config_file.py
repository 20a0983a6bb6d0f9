"""`hdap.toml`: the flags of every command, in a file. The command line wins, then the environment,
then the file.

    db = "fleet.db"         # for every command that takes it

    [search]
    flops = "1.0G"
    flops-tol = 0.05

    [source.gateway]        # for `hdap ingest --source gateway`
    map = ["deviceId=device_id"]
"""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hdap.fleet_data.errors import InputError
from hdap.requests.setting import Leaf, settings_of

FILE = "hdap.toml"
ENVIRONMENT = "HDAP_CONFIG"
LAST = ("db", "seed", "as_json")


def config_file(named: Path | None) -> Path | None:
    """The file to read: the one named, else `hdap.toml` in this folder; None where there is none.

    Raises InputError where the named one is not there.
    """
    if named is None:
        here = Path(FILE)
        return here if here.is_file() else None
    if not named.is_file():
        raise InputError(f"the settings must be a file, but there is no {named}: check --config")
    return named


def read_config(path: Path, commands: Mapping[str, type]) -> dict[str, Any]:
    """Values by command and parameter, as a Click context takes them; `commands` are the classes of
    settings by the words of the command. Named tables (`[source.NAME]`) come by their own names.

    Raises InputError, with the nearest name, for what is no command or no flag of it, and for a
    file that is no TOML.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"{path} must be TOML that can be read: {why}") from error
    _check(path, document, commands)
    found: dict[str, Any] = {}
    for words, wanted in commands.items():
        known, table, at = flags(wanted), document, found
        values = _known(document, known)
        for word in words.split():
            table, at = table.get(word, {}), at.setdefault(word, {})
            values |= _known(table, known)
        at |= values
    for kind, wanted in _named_tables(commands).items():
        tables = document.get(kind, {})
        if not isinstance(tables, dict):
            continue  # a flag of that name, for every command that has it
        found[kind] = {name: _known(table, flags(wanted)) for name, table in tables.items()}
    return found


def settings_in_order(wanted: type) -> list[Leaf]:
    """All settings of a command; what many commands take comes last."""
    return sorted(settings_of(wanted), key=lambda x: x.name in LAST and 1 + LAST.index(x.name))


def flags(wanted: type) -> dict[str, str]:
    """Field of each setting of a command by its flag without dashes (`flops-tol`)."""
    leaves = [leaf for leaf in settings_in_order(wanted) if not leaf.setting.argument]
    return {leaf.flag: leaf.name for leaf in leaves}


def effective(wanted: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a command's settings by flag; None where nothing is set."""
    return {flag: values[name] for flag, name in flags(wanted).items()}


def defaults(wanted: type, configured: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a command's settings by flag, without a command line."""
    leaves = [leaf for leaf in settings_in_order(wanted) if not leaf.setting.argument]
    return {
        leaf.flag: os.environ.get(
            leaf.setting.variable, configured.get(leaf.name, leaf.written_default)
        )
        for leaf in leaves
    }


def table_of(words: str, settings: Mapping[str, Any]) -> str:
    """A command's table of `hdap.toml`; what is not set stands in it as a comment."""
    lines = [f"[{words.replace(' ', '.')}]"]
    for flag, value in settings.items():
        lines.append(f"# {flag} =" if value is None else f"{flag} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def named_tables(values: Mapping[str, Any], commands: Mapping[str, type]) -> list[str]:
    """The tables `[KIND.NAME]` that `read_config` found, as they are written."""
    found = []
    for kind, wanted in _named_tables(commands).items():
        for name, table in values.get(kind, {}).items():
            set_there = {flag: table[n] for flag, n in flags(wanted).items() if n in table}
            found.append(table_of(f"{kind}.{_key(name)}", set_there))
    return found


def _known(table: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    plain = {_flag(key): v for key, v in table.items() if not isinstance(v, dict)}
    return {known[flag]: value for flag, value in plain.items() if flag in known}


def _named_tables(commands: Mapping[str, type]) -> dict[str, type]:
    """The command whose settings the tables `[KIND.NAME]` hold, by kind."""
    return {
        leaf.setting.table: wanted
        for wanted in commands.values()
        for leaf in settings_of(wanted)
        if leaf.setting.table
    }


def _check_named(path: Path, kind: str, tables: Mapping[str, Any], wanted: type) -> None:
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise InputError(
                f"{kind} of {path} must hold a table for each {kind}, but {name!r} is none: write "
                f"[{kind}.{name}] above it"
            )
        for flag in table:
            _require(path, flag, flags(wanted), f"a flag that [{kind}.{name}] may have")


def _check(path: Path, table: Mapping[str, Any], commands: Mapping[str, type]) -> None:
    """Whether all names in a table are flags of its commands, or begin their words."""
    of_any = {flag for wanted in commands.values() for flag in flags(wanted)}
    groups: dict[str, dict[str, type]] = {}
    named = _named_tables(commands)
    for words, wanted in commands.items():
        first, _, rest = words.partition(" ")
        groups.setdefault(first, {})[rest] = wanted
    for key, value in table.items():
        if not isinstance(value, dict):
            _require(path, key, of_any, "a flag of any command")
            continue
        if key in named:
            _check_named(path, key, value, named[key])
            continue
        _require(path, key, groups, "a command")
        below = groups[key]
        if "" not in below:
            _check(path, value, below)
            continue
        for flag in value:
            _require(path, flag, flags(below[""]), f"a flag of `hdap {key}`")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _flag(key: str) -> str:
    return key.replace("_", "-")


def _require(path: Path, key: str, known: Collection[str], what: str) -> None:
    if _flag(key) in known:
        return
    near = difflib.get_close_matches(_flag(key), known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else "list them: hdap --dump-config"
    raise InputError(f"every name in {path} must be {what}, but got {key!r}: {hint}")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    # a TOML string escapes as JSON does, but for DEL
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
