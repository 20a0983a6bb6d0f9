"""`hdap.toml`: the flags of every command, in a file. The command line wins, then the environment,
then the file.

    db = "fleet.db"         # for every command that takes it

    [search]
    flops = "1.0G"
    flops-tol = 0.05
"""

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hdap.fleet_data.errors import InputError

FILE = "hdap.toml"
ENVIRONMENT = "HDAP_CONFIG"
NOT_SETTINGS = {"help", "quiet", "verbose", "dump_config", "debug"}


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


def read_config(path: Path, commands: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Defaults by command and parameter, as a Click context takes them.

    Raises InputError, with the nearest name, for what is no command or no flag of it, and for a
    file that is no TOML.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} must be TOML: {error}") from error
    return _level(path, commands, document, {})


def _level(
    path: Path, commands: Mapping[str, Any], document: Mapping[str, Any], shared: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Defaults of commands, and below groups of their commands; `shared` stood further up."""
    of_all = {flag for command in leaves(commands).values() for flag in flags(command)}
    own = {k: v for k, v in document.items() if not isinstance(v, dict)}
    for key in own:
        _require(path, key, of_all, "a flag of any command")
    for name in document.keys() - own.keys():
        _require(path, name, commands, "a command")
    shared, found = {**shared, **own}, {}
    for name, command in commands.items():
        table = document.get(name, {})
        if hasattr(command, "commands"):
            found[name] = _level(path, command.commands, table, shared)
            continue
        known = flags(command)
        for key in table:
            _require(path, key, known, f"a flag of `hdap {name}`")
        mine = {k: v for k, v in shared.items() if _flag(k) in known} | table
        found[name] = {known[_flag(key)]: value for key, value in mine.items()}
    return found


def leaves(commands: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Every command that does something, by its words (`elastic train` stands below a group)."""
    found: dict[str, Any] = {}
    for name, command in commands.items():
        if hasattr(command, "commands"):
            found |= leaves(command.commands, f"{above}{name} ")
        else:
            found[f"{above}{name}"] = command
    return found


def flags(command: Any) -> dict[str, str]:
    """Parameter of each setting of a command by its flag without dashes (`flops-tol`)."""
    return {
        max(p.opts, key=len).removeprefix("--"): p.name
        for p in command.params
        if p.param_type_name == "option" and p.name not in NOT_SETTINGS
    }


def effective(command: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a command's settings by flag; None where nothing is set."""
    return {flag: values.get(name) for flag, name in flags(command).items()}


def defaults(command: Any, configured: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a command's settings by flag, without a command line."""
    by_name = {p.name: p for p in command.params}

    def value(name: str) -> Any:
        of_environment = next(_environment(by_name[name].envvar), None)
        if of_environment is not None:
            return of_environment
        given = by_name[name].default
        return configured.get(name, None if callable(given) else given)

    return {flag: value(name) for flag, name in flags(command).items()}


def table_of(words: str, settings: Mapping[str, Any]) -> str:
    """A command's table of `hdap.toml`; what is not set stands in it as a comment."""
    lines = [f"[{words.replace(' ', '.')}]"]
    for flag, value in settings.items():
        lines.append(f"# {flag} =" if value is None else f"{flag} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _environment(names: str | list[str] | None) -> Iterator[str]:
    for name in [names] if isinstance(names, str) else names or []:
        if name in os.environ:
            yield os.environ[name]


def _flag(key: str) -> str:
    return key.replace("_", "-")


def _require(path: Path, key: str, known: Any, what: str) -> None:
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
