"""What a person says of how a source is written, where its own words are not enough."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.model_names import model_name
from hdap.fleet_data.telemetry import BY_NAME

Decimal = Literal["", ",", "."]
_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|", "space": " "}


@dataclass(frozen=True)
class SourceReading:
    """How to read one source.

    `columns` are columns of the contract by their names in the source, `models` names of models by
    what the source calls them. `delimiter` of a CSV and `decimal` are found in it where empty.
    `beside` are columns that the source lacks, each with its text for all rows. `agreed`: common
    names of columns are taken for what they seem to be.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    delimiter: str = ""
    decimal: Decimal = ""
    agreed: bool = False
    beside: Mapping[str, str] = field(default_factory=dict)


AS_FOUND = SourceReading()
"""Nobody says anything."""


def parse_columns(texts: Iterable[str]) -> Mapping[str, str]:
    """Columns of the contract by their names in a source, from `deviceId=device_id`.

    Raises InputError for what is no such pair, no column of the contract, or said twice.
    """
    found = _pairs(texts, "--map", "deviceId=device_id")
    for theirs, ours in found.items():
        if ours not in BY_NAME:
            near = get_close_matches(ours, BY_NAME, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(BY_NAME)}"
            raise InputError(f"`--map {theirs}={ours}` must name a column of telemetry: {hint}")
    twice = sorted({ours for ours in found.values() if list(found.values()).count(ours) > 1})
    if twice:
        raise InputError(
            f"`--map` must give {twice[0]} one column, but it gets several: leave all but one out"
        )
    return found


def parse_models(texts: Iterable[str]) -> Mapping[str, str]:
    """Names of models by what a source calls them, from `ResNet-50=resnet50`. Raises InputError."""
    found = _pairs(texts, "--model-alias", "ResNet-50=resnet50")
    for name in found.values():
        model_name(name)
    return found


def parse_delimiter(text: str) -> str:
    """One character, or its name (`tab`). Raises ValueError."""
    found = _DELIMITERS.get(text, text)
    if len(found) != 1 or not found.isascii() or found.isalnum() or found in '"\r\n\0.':
        raise ValueError(
            f"a delimiter must be one character that is no letter, digit, dot or quote, or one of "
            f"{', '.join(n for n in _DELIMITERS if n.isalpha())}, but got {text!r}"
        )
    return found


def parse_decimal(text: str) -> Decimal:
    """`,` or `.`, or `comma` or `point`. Raises ValueError."""
    if text in (",", "comma"):
        return ","
    if text in (".", "point"):
        return "."
    raise ValueError(f"the decimal sign must be , or . (comma, point), but got {text!r}")


def _pairs(texts: Iterable[str], flag: str, example: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        theirs, _, ours = (part.strip() for part in text.rpartition("="))
        if not theirs or not ours:
            raise InputError(f"`{flag}` must be such as {example}, but got {text!r}")
        if found.setdefault(theirs, ours) != ours:
            raise InputError(
                f"`{flag}` must say one thing of {theirs}, but got {found[theirs]} and {ours}: "
                "leave one out"
            )
    return found
