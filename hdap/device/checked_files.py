"""Files that hdap wrote for devices, compared with their SHA-256 before they are used."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from hdap.device.messages import DeviceError

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
    try:
        with open(path, encoding="utf-8") as file:
            document: dict[str, Any] = json.load(file)
    except (OSError, ValueError) as error:
        raise DeviceError(f"{path} must be a file of {maker} that can be read: {error}") from None
    if not isinstance(document, dict) or document.get("kind") != kind:
        raise DeviceError(f"{path} must be a file of {maker}; copy the right one")
    if document.get("format") != FORMAT:
        raise DeviceError(
            f"{path} must have format {FORMAT}, has {document.get('format')}; make anew"
        )
    rest = {name: value for name, value in document.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    if hashlib.sha256(text.encode()).hexdigest() != document.get("digest"):
        raise DeviceError(f"{path} is damaged or was changed by hand; copy it again")
    return document


class FileChecker:
    """Compares files with their SHA-256; one that did not change since is not read again."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Any, ...]] = {}

    def check(self, folder: str, files: Mapping[str, tuple[int, str]]) -> None:
        """Raises `DeviceError`, which names the first file that is not as it must be."""
        for name, (size, digest) in files.items():
            path = os.path.join(folder, name)
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
