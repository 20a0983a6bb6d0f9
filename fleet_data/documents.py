"""Documents on disk: JSON files that are written whole, and read with every key checked.

A document is a frozen dataclass whose fields are the keys of its file; msgspec checks them.
Whatever a file holds, reading it gives a document or one line that says what is wrong, and where.
"""

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, cast

import msgspec

from hdap.fleet_data.atomic_files import replace_file
from hdap.fleet_data.errors import InputError

Positive = Annotated[int, msgspec.Meta(ge=1)]

T = TypeVar("T")
D = TypeVar("D", bound="JsonDocument")

_SHOWN = 40  # characters of a wrong value
_LARGEST = 2**63 - 1  # what NumPy and SQLite hold


@dataclass(frozen=True)
class JsonDocument:
    """Base of all documents; a subclass is a frozen dataclass of types that JSON has.

    `WHAT` tells people what the file is and `REMEDY` what to do where it is none. Where they are
    not None, `format` and `kind` are the first keys of the file. A `SEALED` one ends with `digest`,
    the SHA-256 of everything else.
    """

    WHAT: ClassVar[str]
    REMEDY: ClassVar[str]
    FORMAT: ClassVar[int | None] = None
    KIND: ClassVar[str | None] = None
    SEALED: ClassVar[bool] = False

    @classmethod
    def kind_of(cls, raw: Mapping[str, Any]) -> "type[JsonDocument]":
        """The class that a file of these keys is read as."""
        return cls

    @classmethod
    def head(cls) -> dict[str, Any]:
        """What every file of this kind begins with."""
        head = {"format": cls.FORMAT, "kind": cls.KIND}
        return {name: value for name, value in head.items() if value is not None}

    def plain(self) -> dict[str, Any]:
        """What the file holds, in its order."""
        content = self.head() | asdict(self)
        return content | {"digest": document_digest(content)} if self.SEALED else content


def document_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 over the content of a file without its own `digest`."""
    rest = {name: value for name, value in content.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def write_document(path: Path, document: JsonDocument) -> None:
    """Write a document, whole or not at all; its folder is made.

    Raises `InputError` where the file cannot be written, or a number is not finite.
    """
    content = document.plain()
    wrong = next(_misfits(content, content), None)
    if wrong:
        raise InputError(f"{path} must be {document.WHAT}, but {wrong}; nothing was written")
    text = json.dumps(content, indent=1, default=datetime.isoformat) + "\n"
    replace_file(path, text.encode())


def read_document(path: Path, kind: type[D]) -> D:
    """The document in a file. Raises `InputError`, in one line, for whatever is wrong with it."""
    with _one_line(f"{path} must be {kind.WHAT}", kind.REMEDY):
        try:
            raw = _parsed(path.read_bytes())
        except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
            why = getattr(error, "strerror", None) or error
            raise _WrongError(f"it cannot be read ({why})") from None
        return _typed(_content(raw, kind), cast(type[D], kind.kind_of(raw)))


def read_toml(path: Path, kind: type[T], what: str, remedy: str) -> T:
    """A file in TOML that a person wrote, as `kind`; `what` ends "PATH must be".

    Raises `InputError`, in one line that ends with the `remedy`, for whatever is wrong with it.
    """
    with _one_line(f"{path} must be {what}", remedy):
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise _WrongError(f"it cannot be read ({why})") from None
        return _typed(raw, kind)


def from_plain(value: Any, kind: type[T], what: str, remedy: str) -> T:
    """A value of JSON as `kind`, for instance a dataclass.

    Raises `InputError`, which begins with `what` the value is and ends with the `remedy`.
    """
    with _one_line(f"{what} must be as hdap writes it", remedy):
        return _typed(value, kind)


def parse_json(content: bytes, what: str, remedy: str) -> Any:
    """What a text in JSON holds; errors are as those of `from_plain`."""
    with _one_line(f"{what} must be JSON", remedy):
        return _parsed(content)


class _WrongError(Exception):
    """What is wrong with a document, and where in it."""


@contextmanager
def _one_line(must: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except _WrongError as wrong:
        raise InputError(f"{must}, but {' '.join(str(wrong).split())}; {remedy}") from None
    except RecursionError:
        raise InputError(f"{must}, but it is nested too deeply; {remedy}") from None


def _parsed(content: bytes) -> Any:
    # json, because msgspec refuses the lone surrogates that file names may bring
    try:
        return json.loads(content.decode())
    except UnicodeDecodeError as error:
        raise _WrongError(f"its byte {error.start} is no UTF-8") from None
    except ValueError as error:
        raise _WrongError(f"it is no JSON ({error})") from None


def _content(raw: Any, kind: type[JsonDocument]) -> dict[str, Any]:
    """The fields of a document: what `plain` adds is right, and is taken away."""
    if not isinstance(raw, dict):
        raise _WrongError(f"it holds {_shown(raw)}, not an object")
    head = kind.head()
    for name, value in reversed(head.items()):  # another kind has formats of its own
        if (type(raw.get(name)), raw.get(name)) != (type(value), value):
            raise _WrongError(f"its {name} is {_shown(raw.get(name))}, not {_shown(value)}")
    if kind.SEALED and raw.get("digest") != document_digest(raw):
        raise _WrongError("its digest does not fit its content: it was cut or changed")
    added = {*head, *(["digest"] if kind.SEALED else [])}
    return {name: value for name, value in raw.items() if name not in added}


def _typed(raw: Any, kind: type[T]) -> T:
    try:
        made = msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise _WrongError(_located(raw, kind, str(error))) from None
    except OverflowError:
        raise _WrongError("a number in it is too large") from None
    except UnicodeEncodeError:
        raise _WrongError("a text in it stands where something else must") from None
    wrong = next(_misfits(raw, msgspec.to_builtins(made)), None)
    if wrong:
        raise _WrongError(wrong)
    return made


def _misfits(raw: Any, kept: Any, path: str = "$") -> Iterator[str]:
    """Keys that were not `kept`, and numbers that a document cannot hold."""
    if isinstance(raw, dict):
        for key, value in raw.items():
            place = f"{path}.{key}" if str(key).isidentifier() else f"{path}[{_shown(key)}]"
            if key in kept:
                yield from _misfits(value, kept[key], place)
            else:
                yield f"it has a key that is unknown, `{place}`"
    elif isinstance(raw, list | tuple):
        for i, (value, same) in enumerate(zip(raw, kept, strict=True)):
            yield from _misfits(value, same, f"{path}[{i}]")
    elif isinstance(raw, float) and not math.isfinite(raw):
        yield f"`{path}` is {raw}: expected a finite number"
    elif isinstance(raw, int) and abs(raw) > _LARGEST:
        yield f"`{path}` is {_shown(raw)}: expected a number of 64 bits"


def _located(raw: Any, kind: type[Any], told: str) -> str:
    """What msgspec complains about: the path to it, its value, and the complaint."""
    message, _, where = told.partition(" - at `$")
    path, value = "$", raw
    for name, place in re.findall(r"\.(\w+)|\[(\d+|\.\.\.)\]", where):
        step = name or (_culprit(raw, value, kind, told) if place == "..." else int(place))
        path += f".{step}" if name else f"[{_shown(step)}]"
        value = value[step]
    return f"`{path}` is {_shown(value)}: {message[:1].lower()}{message[1:]}"


def _culprit(raw: Any, table: dict[str, Any], kind: type[Any], told: str) -> str:
    """The key of `table`, which lies in `raw`, whose value is wrong: msgspec does not say it."""
    every = dict(table)
    try:
        for key, value in every.items():
            table.clear()
            table[key] = value
            try:
                msgspec.convert(raw, kind)
            except (ValueError, OverflowError) as error:
                if str(error) == told:
                    return key
    finally:
        table.clear()
        table.update(every)
    return next(iter(every))


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, default=str)
    except (RecursionError, ValueError):  # such as an int of more digits than Python prints
        text = type(value).__name__
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
