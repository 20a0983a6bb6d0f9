"""What a source does not say of its rows, from a person or from the file's name."""

from dataclasses import dataclass, fields
from pathlib import PurePath

from hdap.fleet_data.errors import InputError


@dataclass(frozen=True)
class RowFacts:
    """Columns of all rows of a source, as text of the telemetry contract; empty = not said."""

    device_id: str = ""
    model: str = ""
    channels: str = ""
    timestamp: str = ""

    def over(self, others: "RowFacts") -> "RowFacts":
        """These, and what `others` say of the rest."""
        return RowFacts(
            *(getattr(self, field.name) or getattr(others, field.name) for field in fields(self))
        )

    def said(self) -> tuple[str, ...]:
        """The columns that are said."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name))

    def texts(self) -> dict[str, str]:
        """What is said, by column."""
        return {column: getattr(self, column) for column in self.said()}

    def refuse(self, name: str, called: str) -> None:
        """Raises InputError where something is said of what has all columns itself."""
        if self.said():
            flags = ", ".join(f"--{column.replace('_', '-')}" for column in self.said())
            raise InputError(
                f"what is said beside a file must be missing in it, but {name} is {called} with "
                f"columns of its own: leave {flags} out, of hdap.toml too"
            )


NOTHING_SAID = RowFacts()
COLUMNS_OF_FACTS = tuple(field.name for field in fields(RowFacts))


def facts_of_name(name: str) -> RowFacts:
    """What a file's name says: `device_id=cam-7,model=resnet50.log`. Anything else says nothing."""
    stem, _, _ = PurePath(name).name.rpartition(".")
    pairs = (part.partition("=") for part in stem.split(","))
    return RowFacts(**{key: value for key, _, value in pairs if key in COLUMNS_OF_FACTS})
