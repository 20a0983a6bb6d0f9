"""Rows that are set aside because of their unit, in words that a person can act on."""

import shlex
from dataclasses import dataclass

from hdap.fleet_data.units.latency_unit import unit_name, unit_text

FRAME, STANDARD_INPUT = "data frame", "standard input"
"""What ingests call sources that are no files."""
NAMED = 3
"""Devices that are named; of more the number is said."""


@dataclass(frozen=True)
class SetAside:
    """Rows of one source that count nowhere, because they look as if they were in another unit.

    `devices` are their devices' ids, `unit_ms` the unit that they look like, `factor` by what they
    are too large, `typical_ms` the dense model's latency as they were read. `architecture`: no
    device can run the model so; else they are compared with the fleet. `whole`: all of the source.
    """

    source: str
    model: str
    devices: tuple[str, ...]
    unit_ms: float
    factor: float
    typical_ms: float
    architecture: bool
    rows: int
    whole: bool

    @property
    def says(self) -> str:
        """`unit-7 looks like microseconds: 1,000x the fleet; 12 rows`."""
        several = len(self.devices) > 1
        named = ", ".join(self.devices[:NAMED])
        who = f"{len(self.devices):,} devices" if len(self.devices) > NAMED else named
        times = f"{self.factor:,.0f}x" if self.factor > 1 else f"1/{1 / self.factor:,.0f} of"
        why = f"{times} the fleet"
        if self.architecture:
            speed = "slower" if self.factor > 1 else "faster"
            typical = (
                f"{self.typical_ms:,.0f}" if self.typical_ms >= 100 else f"{self.typical_ms:.3g}"
            )
            why = f"{typical} ms for {self.model} is {speed} than any device"
        looks = f"look{'' if several else 's'} like {unit_name(self.unit_ms)}"
        return f"{who} {looks}: {why}; {self.rows:,} row{'s' * (self.rows != 1)}"

    @property
    def repair(self) -> str:
        """The command that reads them in the unit that they look like."""
        unit = unit_text(self.unit_ms)
        if self.source == FRAME:
            return f'fleet.ingest(the same frame, unit="{unit}")'
        file = "-" if self.source == STANDARD_INPUT else shlex.quote(self.source)
        if self.whole or len(self.devices) > NAMED:
            return f"hdap ingest {file} --unit {unit}"
        said = (shlex.quote(f"{device}={unit}") for device in self.devices)
        return f"hdap ingest {file} " + " ".join(f"--unit {each}" for each in said)

    def told(self, repair: str) -> str:
        """In a line, with the command that repairs them."""
        return f"{self.says}: set aside; if so, {repair}"

    def __str__(self) -> str:
        return self.told(self.repair)
