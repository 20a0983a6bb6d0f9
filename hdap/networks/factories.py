"""Objects from the user's own code, by the name `package.module:factory`, and leave to run it."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.model_names import kind_of_model

Permit = Callable[[str], None]
"""Raises where the factory or the program of that name may not be loaded."""
_permits: list[Permit] = []
_OURS = "hdap."


@contextmanager
def factories_by_leave_of(permit: Permit) -> Iterator[None]:
    """Inside, the user's code is loaded only where `permit` raises nothing."""
    _permits.append(permit)
    try:
        yield
    finally:
        _permits.pop()


def is_code(name: str) -> bool:
    """Whether a name is of code other than hdap's own: a factory, or a program of torch.export."""
    kind = kind_of_model(name)
    return kind == "program" or (kind == "factory" and not name.startswith(_OURS))


def require_leave(name: str) -> None:
    """Raises what `factories_by_leave_of` raises for code that may not be loaded."""
    if _permits and is_code(name):
        _permits[-1](name)


def find_factory(name: str, what: str = "a factory") -> Callable[..., Any]:
    """The callable that `package.module:factory` names; it has not run yet.

    `what` begins the message about a name of another form. Raises `InputError` for such a name, for
    a module that cannot be imported from the working directory, for what is not callable, and what
    `factories_by_leave_of` raises.
    """
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), attribute]):
        raise InputError(f"{what} is written `package.module:factory`, but got {name!r}")
    require_leave(name)
    try:
        with working_directory_importable():
            holder = importlib.import_module(module_name)
    except Exception as error:
        raise InputError(
            f"`{module_name}` must be importable from here, but failed with {in_a_line(error)}"
        ) from error
    factory = getattr(holder, attribute, None)
    if factory is None:
        raise InputError(f"`{module_name}` must define `{attribute}`, but has no such name")
    if not callable(factory):
        raise InputError(f"`{name}` must be callable, but is a {type(factory).__name__}")
    result: Callable[..., Any] = factory
    return result


def in_a_line(error: Exception) -> str:
    """Kind and first line of an error."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


@contextmanager
def working_directory_importable() -> Iterator[None]:
    """Inside, modules in the working directory can be imported.

    `hdap` runs as a script whose own folder is first on the path; users expect theirs.
    """
    here = str(Path.cwd())
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        yield
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
