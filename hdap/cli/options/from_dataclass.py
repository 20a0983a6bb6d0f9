"""A command of typer from the dataclass of its settings; its own file is imported when it runs.

The class says what the command takes (`hdap.requests.setting`) and what it is for (its docstring).
`hdap.cli.commands.NAME` holds `run`, which gets what was asked as that class.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

import typer

from hdap.fleet_data.extras import require
from hdap.requests.setting import Leaf, Rest, SettingError, build, options_of, settings_of

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
LAST = ("db", "seed", "as_json")
"""What many commands take stands at the end of their help."""


def command(words: str, wanted: type) -> Callable[..., None]:
    """What typer calls for the command that is typed as `words` and takes the settings of `wanted`.

    An attribute EXTRA of the class names the extra that the command needs.
    """
    leaves = sorted(settings_of(wanted), key=lambda x: x.name in LAST and 1 + LAST.index(x.name))
    by_name = {leaf.name: leaf for leaf in leaves}
    if len(by_name) < len(leaves):
        raise TypeError(f"two settings of {wanted.__name__} share a name")

    def call(context: typer.Context, debug: bool, **values: Any) -> None:
        try:
            given = {
                n: x.read(values[n]) for n, x in by_name.items() if _given(context, x, values[n])
            }
        except SettingError as error:
            raise typer.BadParameter(str(error), param_hint=f"--{error.flag}") from error
        if hasattr(wanted, "EXTRA"):
            require(wanted.EXTRA)
        asked: Any = build(wanted, given, tuple(context.args))
        import_module(f"hdap.cli.commands.{words.replace(' ', '_')}").run(asked)

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("context", keyword, annotation=typer.Context)]
    parameters += [
        inspect.Parameter(leaf.name, keyword, annotation=_annotation(leaf), default=_default(leaf))
        for leaf in leaves
    ]
    parameters.append(inspect.Parameter("debug", keyword, annotation=Debug, default=False))
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__doc__ = wanted.__doc__
    return call


def context_settings(wanted: type) -> dict[str, Any]:
    """How typer reads the command line: what is for another program is left alone."""
    takes_rest = Rest in get_type_hints(wanted).values()
    return {"allow_extra_args": True, "ignore_unknown_options": True} if takes_rest else {}


def _given(context: typer.Context, leaf: Leaf, written: Any) -> bool:
    """Whether a person said so; a file that repeats the default, as it is dumped, does not."""
    source = context.get_parameter_source(leaf.name)
    assert source is not None
    repeated = source.name == "DEFAULT_MAP" and written == _default(leaf)
    return source.name != "DEFAULT" and not repeated


def _annotation(leaf: Leaf) -> Any:
    setting, choices = leaf.setting, list(leaf.setting.choices)
    about: dict[str, Any] = {"help": setting.help, "min": setting.low, "max": setting.high}
    if setting.there:
        about |= {"exists": True, "dir_okay": setting.there != "file"}
        about |= {"file_okay": setting.there != "folder"}
    if choices:
        about["autocompletion"] = lambda: choices
    kind = _kind(leaf)
    optional = kind | None if leaf.default is not MISSING and _default(leaf) is None else kind
    if setting.argument:
        return Annotated[optional, typer.Argument(**about)]
    names = [f"--{leaf.flag}", *([f"--{setting.also}"] if setting.also else [])]
    if kind is bool and leaf.default is True:
        names = [f"--{leaf.flag}/--no-{leaf.flag}"]
    return Annotated[optional, typer.Option(*names, envvar=setting.variable or None, **about)]


def _kind(leaf: Leaf) -> Any:
    """The type of what is written on the command line."""
    many = get_origin(leaf.kind) in (tuple, Mapping)
    if leaf.setting.read is not None and get_origin(leaf.kind) is not Mapping:
        return str
    if leaf.setting.there:
        return Path
    return list[str] if many else options_of(leaf.kind)[0]


def _default(leaf: Leaf) -> Any:
    if leaf.default is MISSING:
        return inspect.Parameter.empty
    value = leaf.default if leaf.setting.written is None else leaf.setting.written
    return None if isinstance(value, str | tuple | Mapping) and not value else value
