"""What the processor can do that networks gain from, as one text for telemetry."""

from __future__ import annotations

from hdap.device.sensors import read_text

TELLING = (
    ("sse4_2", "sse4_2"),
    ("avx2", "avx2"),
    ("avx_vnni", "avx_vnni"),
    ("avx512f", "avx512f"),
    ("avx512_vnni", "avx512_vnni"),
    ("avx512_bf16", "avx512_bf16"),
    ("avx512_fp16", "avx512_fp16"),
    ("amx_int8", "amx_int8"),
    ("amx_bf16", "amx_bf16"),
    ("asimd", "neon"),
    ("neon", "neon"),
    ("asimdhp", "fp16"),
    ("asimddp", "dotprod"),
    ("i8mm", "i8mm"),
    ("bf16", "bf16"),
    ("sve", "sve"),
    ("sve2", "sve2"),
    ("sme", "sme"),
)
"""Flags of Linux in /proc/cpuinfo, and how they are told; weaker ones first."""


def instruction_set(root: str = "/") -> str:
    """For example `sse4_2+avx2` or `neon+dotprod+i8mm`; empty where the system does not say."""
    lines = read_text(root, "proc/cpuinfo").splitlines()
    rows = [line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Feat"))]
    flags = set(rows[0]) if rows else set()
    return "+".join(dict.fromkeys(name for flag, name in TELLING if flag in flags))
