"""Objects in a store by their URLs (`s3://`, `gs://`, `az://`), read by obstore.

Credentials come as obstore finds them: variables (AWS_*, GOOGLE_*, AZURE_*), web identity, or the
role of the machine.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hdap.fleet_data.errors import InputError, told
from hdap.fleet_data.extras import require

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az")
_SET = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_RANGE = 8 * 2**20
"""Bytes of one request: so many that its latency (0.1 s) costs little, few enough to ask again."""
_PATIENCE: dict[str, Any] = {
    "client_options": {
        "allow_http": True,  # an endpoint that a person names (MinIO, SeaweedFS) may be plain
        "connect_timeout": timedelta(seconds=5),
        "timeout": timedelta(seconds=60),
    },
    "retry_config": {"max_retries": 3, "retry_timeout": timedelta(seconds=60)},
}
"""A request is given up after a minute, and none is tried for longer: a cron job must end."""
_REFUSED = re.compile(r"40[13] (?:Unauthorized|Forbidden)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_LACKING = ("169.254.169.254", "must be specified", "metadata.google.internal", "MissingAccount")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "bucket does not exist")
_SILENT = ("error sending request", "HTTP error", "timed out", "operation timed out")


@dataclass(frozen=True)
class ObjectFile:
    """One object: its URL, how many bytes it has, and what changes when it is written anew."""

    url: str
    size: int
    version: str


def is_object(source: object) -> bool:
    """Whether a source is the URL of an object or of a prefix."""
    scheme, found, _ = str(source).partition("://")
    return bool(found) and scheme in SCHEMES


def list_objects(url: str) -> tuple[ObjectFile, ...]:
    """All objects below a prefix, by name. Raises InputError."""
    with _told(url):
        base, key = _parted(url)
        store = _store(base)
        import obstore

        found = [one for some in obstore.list(store, key.rstrip("/") or None) for one in some]
        return tuple(
            ObjectFile(f"{base}/{one['path']}", one["size"], one["e_tag"] or str(one["version"]))
            for one in sorted(found, key=lambda one: one["path"])
        )


def find_object(url: str) -> ObjectFile | None:
    """The object of that name, if there is one. Raises InputError where nobody can tell."""
    with _told(url):
        base, key = _parted(url)
        if not key or key.endswith("/"):
            return None
        store = _store(base)
        import obstore

        try:
            one = obstore.head(store, key)
        except FileNotFoundError:
            return None
        return ObjectFile(url, one["size"], one["e_tag"] or str(one["version"]))


def open_object(found: ObjectFile) -> io.BufferedReader:
    """An object as a file that can be read from anywhere. Raises InputError, also while read."""
    return io.BufferedReader(_ObjectBytes(found), _RANGE)


class _ObjectBytes(io.RawIOBase):
    """The bytes of one version of an object, a range at a time."""

    def __init__(self, found: ObjectFile) -> None:
        self._found, self._position = found, 0
        with _told(found.url):
            base, self._key = _parted(found.url)
            self._store = _store(base)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._found.size}
        self._position = max(start[whence] + offset, 0)
        return self._position

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        import obstore

        end = min(self._position + len(buffer), self._found.size)
        if end <= self._position:
            return 0
        with _told(self._found.url):
            wanted: Any = {"range": (self._position, end), "if_match": self._found.version}
            data = obstore.get(self._store, self._key, options=wanted).bytes().to_bytes()
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _parted(url: str) -> tuple[str, str]:
    """The bucket's URL and the key below it."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise InputError(f"{url} must name a bucket: {scheme}://BUCKET/PREFIX/")
    return f"{scheme}://{bucket}", key


def _store(base: str) -> "ObjectStore":
    require("objects")
    from obstore.store import from_url

    return from_url(base, **_PATIENCE)


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Inside, what obstore raises becomes one line."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # obstore's own have many bases, FileNotFoundError among them
        if type(error).__module__ != "builtins" and not type(error).__module__.startswith(
            "obstore"
        ):
            raise
        raise InputError(_in_one_line(url, error)) from error


def _in_one_line(url: str, error: Exception) -> str:
    scheme, _, rest = url.partition("://")
    text = str(error).partition("Debug source")[0]
    if any(word in text for word in _NO_BUCKET):
        return (
            f"{url} must be in a bucket that is there, {rest.split('/')[0]} is not: check the URL"
        )
    if type(error).__name__ == "PreconditionError" or "412 Precondition" in text:
        return f"{url} must stay as it is while it is read, but was written anew: ingest it again"
    if isinstance(error, FileNotFoundError):
        return f"there is no object {url}: check the URL"
    if any(word in text for word in _LACKING):
        return f"{url} needs credentials, and there are none: set {_SET[scheme]}"
    refused = _REFUSED.search(text)
    if refused:
        code = _CODE.search(text)
        return f"{url} may not be read ({code[1] if code else refused[0]}): check {_SET[scheme]}"
    if any(word in text for word in _SILENT):
        return (
            f"{url} cannot be reached, tried {_PATIENCE['retry_config']['max_retries'] + 1} times: "
            "check the network and the endpoint (AWS_ENDPOINT_URL)"
        )
    return f"{url} cannot be read: {told(error)}"
