"""The bundle that is measured: its manifest and its files."""

from __future__ import annotations

import os
from dataclasses import dataclass

from hdap.device.checked_files import (
    FORMAT,
    finite,
    inside,
    read_json,
    sha256_of,
    understood,
)
from hdap.device.messages import DeviceError


@dataclass(frozen=True)
class BundleEntry:
    """One network of the bundle."""

    file: str
    sha256: str
    channels: str
    role: str


@dataclass(frozen=True)
class BundleManifest:
    """What a bundle holds; `baselines` are the reference's latencies (ms) by device, `runtime` and
    `precision` what its files are for, `provider` and `threads` what its devices run them with."""

    folder: str
    bundle: str
    model: str
    input_shape: tuple[int, ...]
    entries: tuple[BundleEntry, ...]
    shared: tuple[tuple[str, str], ...]
    baselines: dict[str, float]
    runtime: str
    precision: str
    provider: str
    threads: int

    @property
    def reference(self) -> BundleEntry:
        return next(e for e in self.entries if e.role == "reference")


def read_manifest(folder: str) -> BundleManifest:
    """Read and check manifest.json; raises `DeviceError`."""
    path = os.path.join(folder, "manifest.json")
    raw = read_json(path, "the manifest of a bundle; start in the folder of the bundle")
    with understood(path, "copy the bundle again"):
        if raw["format"] != FORMAT:
            raise DeviceError(
                f"{path} must have format {FORMAT}, but has {str(raw['format'])[:40]!r}; "
                "use the measure.pyz that came with the bundle"
            )
        names = ("file", "sha256", "channels", "role")
        manifest = BundleManifest(
            folder=folder,
            bundle=str(raw["bundle"]),
            model=str(raw["model"]),
            input_shape=tuple(int(x) for x in raw["input_shape"]),
            entries=tuple(BundleEntry(*(str(e[n]) for n in names)) for e in raw["configurations"]),
            shared=tuple((str(s["file"]), str(s["sha256"])) for s in raw.get("shared", [])),
            baselines={str(k): finite(v) for k, v in raw.get("baseline_ms", {}).items()},
            runtime=str(raw.get("runtime", "onnxruntime")),
            precision=str(raw.get("precision", "float32")),
            provider=str(raw.get("provider", "cpu")),
            threads=int(raw.get("threads", 1)),
        )
        for file in [*(e.file for e in manifest.entries), *(file for file, _ in manifest.shared)]:
            inside(folder, file)
        if min(manifest.input_shape, default=0) < 1 or not 2 <= len(manifest.input_shape) <= 5:
            raise ValueError(f"its input_shape is {manifest.input_shape}")
    if sum(e.role == "reference" for e in manifest.entries) != 1:
        raise DeviceError(f"{path} must name exactly one reference; make the bundle again")
    return manifest


def damage(folder: str, file: str, sha256: str) -> str:
    """What is wrong with a file of the bundle; empty where nothing is."""
    try:
        found = sha256_of(inside(folder, file))
    except OSError as error:
        return f"{file} cannot be read ({error.strerror})"
    return "" if found == sha256 else f"{file} is not what the manifest says (cut or changed)"


def check_files(manifest: BundleManifest) -> tuple[list[BundleEntry], list[str]]:
    """Entries whose files are whole, and what is wrong with the others.

    Raises `DeviceError` where the reference or a file that all networks share is damaged.
    """
    needed = [*manifest.shared, (manifest.reference.file, manifest.reference.sha256)]
    for file, sha256 in needed:
        wrong = damage(manifest.folder, file, sha256)
        if wrong:
            raise DeviceError(
                f"{wrong}, and nothing can be measured without it; copy the bundle again"
            )
    whole, broken = [], []
    for entry in manifest.entries:
        wrong = damage(manifest.folder, entry.file, entry.sha256)
        if wrong:
            broken.append(wrong)
        else:
            whole.append(entry)
    return whole, broken
