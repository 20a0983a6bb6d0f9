"""Files that hdap wrote for devices, compared with their SHA-256 before they are used."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import ntpath
import os
from collections.abc import Iterator, Mapping
from typing import Any

from hdap.device.messages import DeviceError, first_line

FORMAT = 1


def sha256_of(path: str) -> str:
    """The SHA-256 of a file's content; raises OSError."""
    made = hashlib.sha256()
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            made.update(part)
    return made.hexdigest()


def read_document(path: str, kind: str, maker: str) -> dict[str, Any]:
    """A JSON file that hdap wrote for devices, checked by its own digest; raises `DeviceError`."""
    document = read_json(path, f"a file of {maker} that can be read; copy it again")
    if document.get("kind") != kind:
        raise DeviceError(f"{path} must be a file of {maker}; copy the right one")
    if document.get("format") != FORMAT:
        raise DeviceError(
            f"{path} must have format {FORMAT}, has {str(document.get('format'))[:40]!r}; make anew"
        )
    rest = {name: value for name, value in document.items() if name != "digest"}
    with understood(path, "copy it again"):
        text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    if hashlib.sha256(text.encode()).hexdigest() != document.get("digest"):
        raise DeviceError(f"{path} is damaged or was changed by hand; copy it again")
    return document


def read_json(path: str, what: str) -> dict[str, Any]:
    """An object of JSON in a file, of finite numbers; raises `DeviceError` for any other bytes."""
    must, _, remedy = what.partition("; ")
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file, parse_constant=_no_number)
        if not isinstance(document, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or first_line(error)
        raise DeviceError(f"{path} must be {must}, but {why}; {remedy}") from None
    return document


@contextlib.contextmanager
def understood(path: str, remedy: str) -> Iterator[None]:
    """Inside, what is read of a document may lack a key or have another type: `DeviceError`."""
    try:
        yield
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        why = f"{type(error).__name__}: {first_line(error)}"
        raise DeviceError(f"{path} is damaged ({why[:200]}); {remedy}") from None


def finite(value: Any) -> float:
    """A number of a document; raises ValueError where it is none, or infinite."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is not finite")
    return number


def above_zero(value: Any) -> float:
    """Likewise, above 0."""
    number = finite(value)
    if number <= 0:
        raise ValueError(f"{number} is not above 0")
    return number


def inside(folder: str, name: str) -> str:
    """The path of a file that a manifest in `folder` names; links are followed first.

    Raises `DeviceError` for what may lie anywhere else: an absolute path, a drive, `..`, a link
    that leads out. Backslashes are refused: what they mean depends on the system.
    """
    wrong = (
        not name
        or "\\" in name
        or "\0" in name
        or os.path.isabs(name)
        or ntpath.splitdrive(name)[0]
        or ".." in name.split("/")
    )
    if not wrong:
        with contextlib.suppress(OSError, ValueError):
            path = os.path.join(folder, name)
            root = os.path.realpath(folder)
            if os.path.commonpath([root, os.path.realpath(path)]) == root != os.path.realpath(path):
                return path
    raise DeviceError(
        f"a manifest must name files of its own folder, but names {name[:80]!r} in {folder}; "
        "copy the folder again, from whom you trust"
    )


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


class FileChecker:
    """Compares files with their SHA-256; one that did not change since is not read again."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Any, ...]] = {}

    def check(self, folder: str, files: Mapping[str, tuple[int, str]]) -> None:
        """Raises `DeviceError`, which names the first file that is not as it must be."""
        for name, (size, digest) in files.items():
            path = inside(folder, name)
            try:
                status = os.stat(path)
                now = (
                    digest,
                    status.st_ino,
                    status.st_size,
                    status.st_mtime_ns,
                    status.st_ctime_ns,
                )
                if self._seen.get(path) == now:
                    continue
                found = sha256_of(path) if status.st_size == size else None
            except OSError as error:
                raise DeviceError(
                    f"{path} must be readable, but {error.strerror}; copy it"
                ) from None
            if found != digest:
                what = f"{status.st_size} bytes" if found is None else f"SHA-256 {found}"
                raise DeviceError(
                    f"{path} must have {size} bytes and SHA-256 {digest}, but has {what}: it is "
                    "cut or was changed; copy it again"
                )
            self._seen[path] = now
