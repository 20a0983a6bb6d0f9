"""Variants of a bundle on the device: the checked manifest, checked files, mapped sessions.

Python 3.9, numpy and onnxruntime: part of the one file that travels (`hdap.device.switcher`).
"""

from __future__ import annotations

import contextlib
import ctypes
import difflib
import hashlib
import importlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hdap.device.controller import DeviceError, read_document
from hdap.device.level_sessions import machine_words, made_once, open_mapped, optimise

KIND, MANIFEST, SEAL = "hdap portfolio", "portfolio.json", "sealed.json"
MADV_POPULATE_READ = 22
"""Of <linux/mman.h>."""


@dataclass(frozen=True)
class Variant:
    """One network of a portfolio; `files` are name -> (bytes, SHA-256). See `portfolio.json`."""

    name: str
    files: Mapping[str, tuple[int, str]]
    parameters: int
    bytes: int
    flops: int
    kept_importance: float | None = None
    accuracy: float | None = None
    measured_here_ms: float | None = None


@dataclass(frozen=True)
class Portfolio:
    """A checked manifest; variants from the fastest to the most accurate, `shape` is C x H x W."""

    folder: str
    model: str
    input: str
    shape: tuple[int, int, int]
    variants: tuple[Variant, ...]
    simulated: bool

    def index(self, name: str) -> int:
        """The place of a variant; raises `DeviceError`, which says the nearest name."""
        names = [variant.name for variant in self.variants]
        if name not in names:
            near = difflib.get_close_matches(name, names, 1, 0.0)[0]
            raise DeviceError(
                f"a variant is one of {', '.join(names)}, but got {name!r}; the nearest is {near}"
            )
        return names.index(name)


def read_portfolio(folder: str) -> Portfolio:
    """The manifest of a bundle; raises `DeviceError`. The networks are checked when they are opened."""
    path = os.path.join(folder, MANIFEST)
    document = read_document(path, KIND, "`hdap portfolio build`")
    try:
        variants = tuple(_variant(entry) for entry in document["variants"])
        channels, height, width = (int(x) for x in document["input"]["shape"])
        name, model = str(document["input"]["name"]), str(document["model"])
    except (KeyError, TypeError, ValueError) as error:
        raise DeviceError(
            f"{path} must describe input and variants: {error!r}; build again"
        ) from None
    if not variants or len({variant.name for variant in variants}) != len(variants):
        raise DeviceError(f"{path} must name one variant or more, each once; build again")
    shape = (channels, height, width)
    return Portfolio(folder, model, name, shape, variants, bool(document.get("simulated")))


def _variant(entry: dict[str, Any]) -> Variant:
    files = {n: (int(x["bytes"]), str(x["sha256"])) for n, x in entry["files"].items()}
    if any(os.path.basename(name) != name for name in files):
        raise ValueError("a file of a variant lies beside the manifest")
    if f"{entry['name']}.onnx" not in files:
        raise ValueError(f"{entry['name']}.onnx is not among its files")
    numbers = [entry.get(n) for n in ("kept_importance", "accuracy", "measured_here_ms")]
    kept, accuracy, ms = (None if x is None else float(x) for x in numbers)
    size, cost = int(entry["bytes"]), int(entry["flops"])
    return Variant(entry["name"], files, int(entry["parameters"]), size, cost, kept, accuracy, ms)


class Checker:
    """Compares files with their SHA-256; one that did not change since is not read again."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Any, ...]] = {}

    def check(self, folder: str, files: Mapping[str, tuple[int, str]]) -> None:
        """Raises `DeviceError` that names the first file that is not as it must be, and its hash."""
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
                found = _sha256(path) if status.st_size == size else None
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


def _sha256(path: str) -> str:
    made = hashlib.sha256()
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            made.update(part)
    return made.hexdigest()


class Opener:
    """Opens variants, their weights mapped; files are compared with the manifest before."""

    def __init__(
        self, portfolio: Portfolio, threads: int, cache: str | None, log: Callable[[str], None]
    ) -> None:
        try:
            self._ort = importlib.import_module("onnxruntime")
        except ImportError:
            raise DeviceError(
                "onnxruntime must be installed, but is not; python3 -m pip install onnxruntime"
            ) from None
        self.portfolio, self.threads, self._log = portfolio, threads, log
        self._checker = Checker()
        self._words = machine_words(self._ort)
        self._cache = cache
        self._prepared: dict[int, str] = {}

    def check(self) -> None:
        """Raises `DeviceError` that names the first file of the bundle that is not as it was built."""
        for variant in self.portfolio.variants:
            self._checker.check(self.portfolio.folder, variant.files)

    def open(self, place: int) -> Any:
        """A session of a variant; raises `DeviceError` where its files are not as they were built."""
        name = self.portfolio.variants[place].name
        path = os.path.join(self.prepare(place), f"{name}.onnx")
        with _said_in_a_line(name):
            return open_mapped(self._ort, path, self.threads)

    def prepare(self, place: int) -> str:
        """Check a variant and optimise it for this machine where that was not done; the folder."""
        variant = self.portfolio.variants[place]
        self._checker.check(self.portfolio.folder, variant.files)
        with _said_in_a_line(variant.name):
            self._prepared[place] = self._optimised(variant)
        return self._prepared[place]

    def page_in(self, place: int) -> bool:
        """Make the weights of an open variant as near as if it had run; False where that fails."""
        name = self.portfolio.variants[place].name
        return page_in(os.path.join(self._prepared[place], f"{name}.bin"))

    def _optimised(self, variant: Variant) -> str:
        if self._cache is None:
            self._cache = _writable(os.path.join(self.portfolio.folder, "optimised"))
        told = self._words + "".join(sorted(digest for _, digest in variant.files.values()))
        made = os.path.join(self._cache, hashlib.sha256(told.encode()).hexdigest()[:16])
        made_once(made, lambda folder: self._optimise(variant, folder))
        try:
            self._checker.check(made, _seal(made))
        except DeviceError as problem:
            self._log(f"made again: {problem}")
            shutil.rmtree(made, ignore_errors=True)
            made_once(made, lambda folder: self._optimise(variant, folder))
        return made

    def _optimise(self, variant: Variant, folder: str) -> None:
        source = os.path.join(self.portfolio.folder, f"{variant.name}.onnx")
        optimise(self._ort, source, folder, variant.name, self.threads)
        files = {
            name: [os.path.getsize(os.path.join(folder, name)), _sha256(os.path.join(folder, name))]
            for name in os.listdir(folder)
        }
        with open(os.path.join(folder, SEAL), "w", encoding="utf-8") as file:
            json.dump(files, file)


def page_in(path: str) -> bool:
    """Enter all pages of a mapped file into this process's tables, in milliseconds.

    False where the file is not mapped here, or the system cannot (Linux can from 5.14 on).
    """
    mapped, wanted = False, os.path.realpath(path)
    with contextlib.suppress(OSError, AttributeError, TypeError, ValueError):
        advise = ctypes.CDLL(None, use_errno=True).madvise
        advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as rows:
            for row in rows:
                words = row.rstrip("\n").split(maxsplit=5)
                if len(words) < 6 or words[5] != wanted:
                    continue
                first, last = (int(end, 16) for end in words[0].split("-"))
                if advise(first, last - first, MADV_POPULATE_READ) != 0:
                    return False
                mapped = True
    return mapped


@contextlib.contextmanager
def _said_in_a_line(name: str) -> Iterator[None]:
    try:
        yield
    except DeviceError:
        raise
    except Exception as error:
        raise DeviceError(
            f"{name} must be a network that ONNX Runtime opens here, but {first_line(error)}"
        ) from error


def first_line(error: Exception) -> str:
    """The first line of an error's text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _seal(folder: str) -> dict[str, tuple[int, str]]:
    path = os.path.join(folder, SEAL)
    try:
        with open(path, encoding="utf-8") as file:
            return {
                name: (int(size), str(digest)) for name, (size, digest) in json.load(file).items()
            }
    except (OSError, ValueError, AttributeError):
        raise DeviceError(f"{path} must say what the files beside it are, but does not") from None


def _writable(folder: str) -> str:
    """The folder, or one of this user's where that cannot be written."""
    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)
    if os.access(folder, os.W_OK):
        return folder
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "hdap-portfolio")
