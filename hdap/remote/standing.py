"""How it stands with a device that measures; what shows it needs no way to a device."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["connecting", "copying", "measuring", "lost", "done", "failed", "silent"]
"""`lost`: it did measure and is not heard; `silent`: it never answered in time."""


@dataclass(frozen=True)
class Standing:
    """How it stands with one device; `content` holds its rows at the end."""

    device: str
    stage: Stage
    rows: int = 0
    expected: int = 0
    note: str = ""
    content: bytes = b""


Tell = Callable[[Standing], None]
