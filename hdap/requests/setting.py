"""A setting, said once: a field of a dataclass with its type, default, unit and help.

    @dataclass(frozen=True, kw_only=True)
    class Wanted:
        trials: Annotated[int, Setting("Trials of the study.", low=1)] = 2000

The flags of a command, `hdap.toml`, `--dump-config` and the pages of the docs follow from it. A
field without a `Setting` is none of a person's; a field that is such a dataclass itself brings its
settings along. Nothing heavy is imported here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from hdap.fleet_data.errors import InputError

T = TypeVar("T")


class SettingError(Exception):
    """What was written for a setting cannot be read."""

    def __init__(self, flag: str, problem: str) -> None:
        super().__init__(problem)
        self.flag = flag


class Given(dict[str, Any]):
    """What a person set, by name of field: on the command line, in hdap.toml or by a variable."""


class Rest(tuple[str, ...]):
    """What followed on the command line and is meant for another program."""


@dataclass(frozen=True)
class Setting:
    """How a field is asked for; its default is the field's own.

    `flag` is its name on the command line without dashes, else the field's with dashes for
    underscores; `also` is a second name, `variable` an environment variable. A number lies in
    `low`..`high`. `there` is what a path must be. `read` makes the value of what was written, one
    text or, for a mapping, several, and raises ValueError for what it cannot read; `written` is how
    the default is written then. `choices` are offered by the shell's completion. `reach` is what a
    value may lead to beyond this process: code that is imported, a database that may be on a
    server, an address that is listened on, devices that measure. `table`: the value is the name of
    a table in `[table]` of hdap.toml, whose flags of this command hold before those of the
    command's own table.
    """

    help: str
    flag: str = ""
    also: str = ""
    variable: str = ""
    argument: bool = False
    low: float | None = None
    high: float | None = None
    there: Literal["", "file", "folder"] = ""
    read: Callable[[Any], Any] | None = None
    written: str | None = None
    choices: tuple[str, ...] = ()
    reach: Literal["", "code", "database", "address", "devices"] = ""
    table: str = ""


@dataclass(frozen=True)
class Without:
    """Settings of a nested dataclass that are not asked for, by the names of their fields."""

    names: frozenset[str]

    @classmethod
    def these(cls, *names: str) -> "Without":
        """Those of these names."""
        return cls(frozenset(names))


@dataclass(frozen=True)
class Leaf:
    """One setting of a dataclass or of one nested in it: the `kind` of its field and its default
    (MISSING where it must be given)."""

    name: str
    kind: Any
    setting: Setting
    default: Any

    @property
    def flag(self) -> str:
        """Its name on the command line, without dashes in front."""
        return self.setting.flag or self.name.replace("_", "-")

    @property
    def written_default(self) -> Any:
        """The default as it is written; None where there is nothing to write."""
        value = self.default if self.setting.written is None else self.setting.written
        nothing = value is MISSING or (isinstance(value, str | tuple | Mapping) and not value)
        return None if nothing else value

    def read(self, written: Any) -> Any:
        """The field's value from what was written. Raises SettingError where that cannot be."""
        if self.setting.read is not None:
            try:
                return self.setting.read(written)
            except ValueError as error:
                raise SettingError(self.flag, str(error)) from error
        if isinstance(written, Path) and Path not in options_of(self.kind):
            # a path that is stored as text must mean the same in another folder
            return str(written.resolve())
        return tuple(written) if isinstance(written, list) else written


def settings_of(wanted: type, default: Any = MISSING) -> Iterator[Leaf]:
    """All settings of a dataclass, its own and nested ones, in order; `default` is its default."""
    for field, kind, marks in _fields(wanted):
        value = _default(field) if default is MISSING else getattr(default, field.name)
        nested = _nested(kind, marks)
        if nested is not None:
            left_out = {name for mark in marks if isinstance(mark, Without) for name in mark.names}
            for leaf in settings_of(nested, MISSING if value is None else value):
                if leaf.name not in left_out:
                    needless = value is None and leaf.default is MISSING
                    yield replace(leaf, default=None) if needless else leaf
        else:
            for mark in marks:
                if isinstance(mark, Setting):
                    yield Leaf(field.name, kind, mark, value)


_NUMBERS_AND_WORDS: Mapping[Any, type] = {int: Integral, float: Real, str: str, bool: bool}


def check_settings(wanted: Any) -> None:
    """What the command line sees to, for a dataclass that was made in Python.

    Raises InputError for a number out of range, and for what is no such number or word at all.
    """
    for leaf in settings_of(type(wanted)):
        value, kinds = getattr(wanted, leaf.name), options_of(leaf.kind)
        if value is None or not all(kind in _NUMBERS_AND_WORDS for kind in kinds):
            continue
        fits = isinstance(value, tuple(_NUMBERS_AND_WORDS[kind] for kind in kinds))
        if not fits or (isinstance(value, bool) and bool not in kinds):
            names = " or ".join(kind.__name__ for kind in kinds)
            raise InputError(f"`{leaf.name}` must be of type {names}, but got {value!r}")
        low, high = leaf.setting.low, leaf.setting.high
        if low is not None and value < low:
            raise InputError(f"`{leaf.name} >= {low:g}` must hold, but got {value!r}")
        if high is not None and value > high:
            raise InputError(f"`{leaf.name} <= {high:g}` must hold, but got {value!r}")


def build(
    wanted: type[T], values: Mapping[str, Any], rest: tuple[str, ...] = (), default: Any = MISSING
) -> T:
    """The dataclass with what was given, by name of field; all else as in `default`, or by default.

    A nested one that may be None is None where one of its needed settings is not given. Raises what
    the dataclasses raise.
    """
    found: dict[str, Any] = {}
    for field, kind, marks in _fields(wanted):
        nested = _nested(kind, marks)
        if nested is not None:
            before = _default(field) if default is MISSING else getattr(default, field.name)
            found[field.name] = _build_nested(nested, before, values)
        elif kind is Given:
            found[field.name] = Given(values)
        elif kind is Rest:
            found[field.name] = Rest(rest)
        elif field.name in values:
            found[field.name] = values[field.name]
    return wanted(**found) if default is MISSING else replace(default, **found)


def _build_nested(nested: type, default: Any, values: Mapping[str, Any]) -> Any:
    if default is not None:
        return build(nested, values, default=default)
    needed = [leaf.name for leaf in settings_of(nested) if leaf.default is MISSING]
    return build(nested, values) if values.keys() >= set(needed) else None


def options_of(kind: Any) -> tuple[Any, ...]:
    """What a type allows beside None: `int | None` is (int,)."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return tuple(k for k in kinds if k is not NoneType)


def _fields(wanted: type) -> Iterator[tuple[Field[Any], Any, tuple[Any, ...]]]:
    """Each field with its type and what is said of it."""
    hints = get_type_hints(wanted, include_extras=True)
    for field in fields(wanted):
        hint = hints[field.name]
        annotated = get_origin(hint) is Annotated
        kind, *marks = get_args(hint) if annotated else (hint,)
        yield field, kind, tuple(marks)


def _nested(kind: Any, marks: tuple[Any, ...]) -> type | None:
    """The dataclass of settings that a field is; not one that a single setting is read into."""
    if any(isinstance(mark, Setting) for mark in marks):
        return None
    inner = options_of(kind)[0]
    return inner if isinstance(inner, type) and is_dataclass(inner) else None


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default
