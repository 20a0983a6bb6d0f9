"""A command of typer from the dataclass of its settings; its own file is imported when it runs.

The class says what the command takes (`hdap.requests.setting`) and what it is for (its docstring).
`hdap.cli.commands.NAME` holds `run`, which gets what was asked as that class.
"""

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

import typer

from hdap.cli.options.config_file import effective, settings_in_order, table_of
from hdap.cli.options.trust import (
    ENVIRONMENT,
    FoundSettings,
    agree_to_settings,
    factories_of_a_person,
)
from hdap.cli.terminal.next_steps import Named, remember_named
from hdap.cli.terminal.output import QUIET, USUAL, VERBOSE, report_usage, set_verbosity
from hdap.cli.terminal.streams import write
from hdap.fleet_data.extras import require
from hdap.requests.setting import Leaf, Rest, SettingError, build, options_of

FOR_ALL = {
    "debug": typer.Option("--debug", help="Show the traceback of an error."),
    "quiet": typer.Option(
        "--quiet", "-q", help="Print results, warnings and errors, nothing else."
    ),
    "verbose": typer.Option(
        "--verbose", "-v", help="Say when each step began, and what it all took."
    ),
    "trust": typer.Option(
        "--trust",
        envvar=ENVIRONMENT,
        help="Agree to code, servers and files that this folder's hdap.toml or database names.",
    ),
    "dump_config": typer.Option(
        "--dump-config", help="Print the settings as they would be used, as hdap.toml, and stop."
    ),
}

TRACKED = ("search", "verify", "finetune", "compress", "elastic train", "portfolio train")
"""Commands whose searches, trainings and verdicts MLflow logs where it is asked to."""
MLFLOW = typer.Option(
    "--mlflow",
    envvar="MLFLOW_TRACKING_URI",
    help="Log parameters, metrics and the checkpoint to MLflow: http://..., sqlite:///mlflow.db.",
)


def command(words: str, wanted: type) -> Callable[..., None]:
    """What typer calls for the command that is typed as `words` and takes the settings of `wanted`.

    An attribute EXTRA of the class names the extra that the command needs.
    """
    leaves = settings_in_order(wanted)
    if len({leaf.name for leaf in leaves}) < len(leaves):
        raise TypeError(f"two settings of {wanted.__name__} share a name")

    def call(context: typer.Context, **values: Any) -> None:
        if values["dump_config"]:
            write(table_of(words, effective(wanted, values)))
            return
        remember_named(_named(context))
        set_verbosity(QUIET if values["quiet"] else VERBOSE if values["verbose"] else USUAL)
        try:
            given = _given(context, leaves, values)
            with (
                _agreed(context, words, leaves, given, trusted=values["trust"]),
                _logged(words, wanted, values),
            ):
                _run(words, wanted, given, tuple(context.args))
        except Exception:
            if values["debug"]:
                traceback.print_exc()
            raise
        report_usage()

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("context", keyword, annotation=typer.Context)]
    parameters += [
        inspect.Parameter(leaf.name, keyword, annotation=_annotation(leaf), default=_default(leaf))
        for leaf in leaves
    ]
    parameters += [
        inspect.Parameter(name, keyword, annotation=Annotated[bool, option], default=False)
        for name, option in FOR_ALL.items()
    ]
    if words in TRACKED:
        kind = Annotated[str | None, MLFLOW]
        parameters.append(inspect.Parameter("mlflow", keyword, annotation=kind, default=None))
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__doc__ = wanted.__doc__
    return call


def context_settings(wanted: type) -> dict[str, Any]:
    """How typer reads the command line: what is for another program is left alone."""
    takes_rest = Rest in get_type_hints(wanted).values()
    return {"allow_extra_args": True, "ignore_unknown_options": True} if takes_rest else {}


def _run(words: str, wanted: type, given: Mapping[str, Any], rest: tuple[str, ...]) -> None:
    asked: Any = build(wanted, given, rest)
    if hasattr(wanted, "EXTRA"):
        require(wanted.EXTRA)
    import_module(f"hdap.cli.commands.{words.replace(' ', '_').replace('-', '_')}").run(asked)


@contextmanager
def _logged(words: str, wanted: type, values: Mapping[str, Any]) -> Iterator[None]:
    """Inside, MLflow logs what is stored, where somebody asks for it."""
    if not values.get("mlflow"):
        yield
        return
    require("mlflow")
    # takes seconds, and is seldom asked for
    from hdap.workflows.mlflow_runs import logged

    with logged(values["mlflow"], words, effective(wanted, values), values["db"]):
        yield


def _named(context: typer.Context) -> Named:
    """What only this command line knows; variables and hdap.toml are there for the next one too."""

    def told(at: Any, name: str) -> str:
        source = at.get_parameter_source(name)
        return str(at.params[name]) if source is not None and source.name == "COMMANDLINE" else ""

    return Named(told(context, "db"), told(context.find_root(), "config"))


@contextmanager
def _agreed(
    context: typer.Context,
    words: str,
    leaves: list[Leaf],
    given: Mapping[str, Any],
    *,
    trusted: bool,
) -> Iterator[None]:
    """Inside, what the command does is what a person named or agreed to."""
    values = [(leaf, given[leaf.name]) for leaf in leaves if leaf.name in given]
    found = context.find_root().obj
    if isinstance(found, FoundSettings):
        of_file = [x for x in values if _source(context, x[0]) == "DEFAULT_MAP"]
        agree_to_settings(found, words, of_file, trusted=trusted)
    with factories_of_a_person(values, words, trusted=trusted):
        yield


def _source(context: typer.Context, leaf: Leaf) -> str:
    """DEFAULT, DEFAULT_MAP (a file), ENVIRONMENT or COMMANDLINE."""
    source = context.get_parameter_source(leaf.name)
    assert source is not None
    return source.name


def _given(context: typer.Context, leaves: list[Leaf], values: Mapping[str, Any]) -> dict[str, Any]:
    """What a person set, read; a file that repeats a default, as it is dumped, sets nothing."""
    given = {}
    for leaf in leaves:
        source, written = _source(context, leaf), values[leaf.name]
        if source == "DEFAULT" or (source == "DEFAULT_MAP" and written == leaf.written_default):
            continue
        try:
            given[leaf.name] = leaf.read(written)
        except SettingError as error:
            raise typer.BadParameter(str(error), param_hint=f"--{error.flag}") from error
    return given


def _annotation(leaf: Leaf) -> Any:
    setting, choices = leaf.setting, list(leaf.setting.choices)
    about: dict[str, Any] = {"help": setting.help, "min": setting.low, "max": setting.high}
    if setting.there:
        about |= {"exists": True, "dir_okay": setting.there != "file"}
        about |= {"file_okay": setting.there != "folder"}
    if choices:
        about["autocompletion"] = lambda: choices
    kind = _kind(leaf)
    optional = kind | None if leaf.default is not MISSING and leaf.written_default is None else kind
    if setting.argument:
        return Annotated[optional, typer.Argument(**about)]
    if setting.table:
        about |= {"is_eager": True, "callback": _layer(setting.table)}
    names = [f"--{leaf.flag}", *([f"--{setting.also}"] if setting.also else [])]
    if kind is bool and leaf.default is True:
        names = [f"--{leaf.flag}/--no-{leaf.flag}"]
    return Annotated[optional, typer.Option(*names, envvar=setting.variable or None, **about)]


def _layer(kind: str) -> Callable[[typer.Context, str | None], str | None]:
    """Puts the settings of a named table before those of the command; it is called before any other
    setting is looked at."""

    def take(context: typer.Context, name: str | None) -> str | None:
        if name is not None:
            tables = (context.find_root().default_map or {}).get(kind, {})
            if name not in tables:
                told = f"it has {', '.join(tables)}" if tables else "it has none"
                raise typer.BadParameter(
                    f"hdap.toml must have a table [{kind}.{name}], but {told}: write one"
                )
            context.default_map = {**(context.default_map or {}), **tables[name]}
        return name

    return take


def _kind(leaf: Leaf) -> Any:
    """The type of what is written on the command line."""
    many = get_origin(leaf.kind) in (tuple, Mapping)
    if leaf.setting.read is not None and get_origin(leaf.kind) is not Mapping:
        return str
    if leaf.setting.there:
        return Path
    return list[str] if many else options_of(leaf.kind)[0]


def _default(leaf: Leaf) -> Any:
    return inspect.Parameter.empty if leaf.default is MISSING else leaf.written_default
