"""A generator's state as JSON."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """The state of a PCG64 generator; its 128-bit integers as text, which no JSON reader rounds."""
    state = dict(rng.bit_generator.state)
    return {**state, "state": {name: str(value) for name, value in state["state"].items()}}


def set_generator_state(rng: np.random.Generator, state: Mapping[str, Any]) -> None:
    """Inverse of `generator_state`."""
    inner = {name: int(value) for name, value in state["state"].items()}
    rng.bit_generator.state = {**state, "state": inner}
