"""How dense and pruned networks in two precisions are printed."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hdap.cli.terminal.output import show_rows
from hdap.search.analysis.arms import Arm
from hdap.workflows.text_cells import ARMS_TITLE, arm_columns


def show_arms(found: Sequence[Arm], measured: str = "measured") -> None:
    """The arms as a table; nothing where there are none. `measured` says what a reading is."""
    if found:
        show_rows(
            list(found),
            *arm_columns(found, measured),
            title=ARMS_TITLE,
            optional=("FLOPs", "weights"),
        )


def arms_document(found: Sequence[Arm]) -> list[dict[str, Any]]:
    """The same as `--json` prints it."""
    return [asdict(arm) for arm in found]
