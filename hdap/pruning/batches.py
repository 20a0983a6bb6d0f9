"""Batches from the user's own code, for criteria that look at data."""

import importlib
from collections.abc import Iterable

from hdap.fleet_data.errors import InputError
from hdap.models.loading import working_directory_importable
from hdap.pruning.taylor import Batch


def load_batches(name: str) -> Iterable[Batch]:
    """What `package.module:factory` returns when called: an iterable of (input, target).

    Raises `InputError` when it cannot be imported or called, or returns nothing to iterate over.
    """
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), attribute]):
        raise InputError(f"`--data` is written `package.module:factory`, but got {name!r}")
    try:
        with working_directory_importable():
            batches = getattr(importlib.import_module(module_name), attribute)()
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise InputError(
            f"`{name}` must be importable from here and return batches when called without "
            f"arguments, but failed with {type(error).__name__}: {first}"
        ) from error
    if not isinstance(batches, Iterable):
        raise InputError(
            f"`{name}` must return an iterable of (input, target), but returned "
            f"{type(batches).__name__}"
        )
    return batches
