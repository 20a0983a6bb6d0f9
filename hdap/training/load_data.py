"""`--data`: a folder of images or a factory of the user's own."""

from pathlib import Path
from typing import Any

from hdap.fleet_data.errors import InputError
from hdap.networks.factories import find_factory, in_a_line, working_directory_importable
from hdap.training.datasets import Data, DataOptions, as_data
from hdap.training.image_folders import folder_data


def load_data(text: str, options: DataOptions | None = None) -> Data:
    """The data that `--data` names: a folder in ImageFolder layout, or `package.module:factory`.

    A folder holds one folder a class, or `train/` (and perhaps `val/`) with those. A factory takes
    no arguments and returns `Data`, a pair (train, validation) of map-style data sets, or one such
    data set. A validation part that is missing is split off by the seed.

    Raises `InputError` when there is no such folder or factory, no class, or no image, and when
    images are unreadable, which are named.
    """
    options = options or DataOptions()
    if Path(text).is_dir():
        return folder_data(Path(text), options)
    if ":" not in text:
        raise InputError(
            f"`--data` must be a folder with one folder a class, or `package.module:factory`, but "
            f"{text!r} is neither"
        )
    return as_data(call_factory(text), text, options)


def call_factory(text: str) -> Any:
    """What the data factory `package.module:factory` returns; raises `InputError` when it fails."""
    factory = find_factory(text, "`--data`, if it is no folder,")
    try:
        with working_directory_importable():
            return factory()
    except Exception as error:
        raise InputError(
            f"`{text}` must return data when called without arguments, but failed with "
            f"{in_a_line(error)}"
        ) from error
