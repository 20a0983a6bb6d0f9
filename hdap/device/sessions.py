"""Networks of a folder, opened when they are needed: levels of an elastic one, or variants.

    levels = LevelSessions("folder")            # level-0.onnx, level-1.onnx, ..., weights.bin
    output = levels.run(2, image)[0]

Each is put in this machine's own order once (see `Runtime.prepare`) and opened from there.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hdap.device.checked_files import FileChecker, inside, sha256_of
from hdap.device.messages import DeviceError, first_line
from hdap.device.process import page_in
from hdap.device.runtimes.base import OpenNetwork, Runtime
from hdap.device.runtimes.registry import load_runtime
from hdap.device.variant_files import Portfolio, Variant

if TYPE_CHECKING:
    from hdap.device.runtimes.base import Image

OPTIMISED = "optimised"
"""Folder of a machine's own order beside the networks, unless told otherwise."""
SEAL = "sealed.json"


def made_once(
    folder: str,
    make: Callable[[str], None],
    checker: FileChecker,
    log: Callable[[str], None] = lambda _: None,
) -> None:
    """See that `folder` is as `make` fills it, whole; what it holds is sealed with its hashes, and
    made again where it differs."""
    _make_once(folder, make)
    try:
        checker.check(folder, _seal(folder))
    except DeviceError as problem:
        log(f"made again: {problem}")
        shutil.rmtree(folder, ignore_errors=True)
        _make_once(folder, make)


def _make_once(folder: str, make: Callable[[str], None]) -> None:
    if os.path.isdir(folder):
        return
    temporary = f"{folder}.making-{os.getpid()}-{secrets.token_hex(4)}"
    os.makedirs(temporary)
    try:
        make(temporary)
        paths = {name: os.path.join(temporary, name) for name in os.listdir(temporary)}
        files = {name: [os.path.getsize(path), sha256_of(path)] for name, path in paths.items()}
        with open(os.path.join(temporary, SEAL), "w", encoding="utf-8") as file:
            json.dump(files, file)
        # whoever else made it meanwhile made the same
        if not os.path.isdir(folder):
            os.rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _named(*told: str) -> str:
    return hashlib.sha256("".join(told).encode()).hexdigest()[:16]


class LevelSessions:
    """One network a level, opened when it is first run; `threads` for each inference.

    Raises `FileNotFoundError` where the folder holds no level, and `DeviceError` where one cannot
    be opened.
    """

    def __init__(self, folder: str, threads: int = 1, cache: str | None = None) -> None:
        self._runtime = load_runtime(threads=threads)
        found = glob.glob(os.path.join(glob.escape(folder), "level-*.onnx"))
        names = [os.path.basename(path) for path in found]
        self.levels = len(names)
        if not names or set(names) != {f"level-{i}.onnx" for i in range(len(names))}:
            raise FileNotFoundError(f"{folder} must hold level-0.onnx, level-1.onnx, ...")
        for name in names:
            inside(folder, name)
        self._source = folder
        cache = cache or os.path.join(folder, OPTIMISED)
        self.folder = os.path.join(cache, self._machine())
        made_once(self.folder, self._prepare, FileChecker())
        self._open: dict[int, OpenNetwork] = {}

    def network(self, level: int) -> OpenNetwork:
        """The network of a level."""
        if level not in self._open:
            self._open[level] = self._runtime.open_prepared(self.folder, f"level-{level}")
        return self._open[level]

    def run(self, level: int, image: Image) -> Sequence[Image]:
        """Outputs of a level for one input."""
        return self.network(level).run(image)

    def _prepare(self, folder: str) -> None:
        for level in range(self.levels):
            source = os.path.join(self._source, f"level-{level}.onnx")
            self._runtime.prepare(source, folder, f"level-{level}")

    def _machine(self) -> str:
        """What the order depends on: networks, runtime and processor."""
        told = [self._runtime.machine]
        for path in sorted(glob.glob(os.path.join(glob.escape(self._source), "*.*"))):
            if path.endswith((".onnx", ".bin")):
                status = os.stat(path)
                told.append(f"{os.path.basename(path)} {status.st_size} {status.st_mtime_ns}")
        return _named(*told)


class VariantSessions:
    """Opens variants of a bundle; files are compared with its manifest before."""

    def __init__(
        self, portfolio: Portfolio, runtime: Runtime, cache: str | None, log: Callable[[str], None]
    ) -> None:
        self.portfolio, self.runtime, self._log = portfolio, runtime, log
        self._checker = FileChecker()
        self._cache = cache
        self._prepared: dict[int, str] = {}

    def check(self) -> None:
        """Raises `DeviceError`, which names the first file that is not as it was built."""
        for variant in self.portfolio.variants:
            self._checker.check(self.portfolio.folder, variant.files)

    def open(self, place: int) -> OpenNetwork:
        """A variant; raises `DeviceError` where its files are not as they were built."""
        return self.runtime.open_prepared(self.prepare(place), self.portfolio.variants[place].name)

    def prepare(self, place: int) -> str:
        """Check a variant and optimise it for this machine where that was not done; the folder."""
        variant = self.portfolio.variants[place]
        self._checker.check(self.portfolio.folder, variant.files)
        try:
            self._prepared[place] = self._optimised(variant)
        except OSError as error:
            raise DeviceError(
                f"{variant.name} must be kept where this machine can write, but "
                f"{first_line(error)}; give another cache"
            ) from error
        return self._prepared[place]

    def page_in(self, place: int) -> bool:
        """Make the weights of an open variant as near as if it had run; False where that fails."""
        name = self.portfolio.variants[place].name
        return page_in(os.path.join(self._prepared[place], f"{name}.bin"))

    def _optimised(self, variant: Variant) -> str:
        if self._cache is None:
            self._cache = _writable(os.path.join(self.portfolio.folder, OPTIMISED))
        digests = sorted(digest for _, digest in variant.files.values())
        made = os.path.join(self._cache, _named(self.runtime.machine, *digests))
        made_once(made, lambda folder: self._make(variant, folder), self._checker, self._log)
        return made

    def _make(self, variant: Variant, folder: str) -> None:
        source = os.path.join(self.portfolio.folder, variant.name + self.runtime.suffix)
        self.runtime.prepare(source, folder, variant.name)


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
