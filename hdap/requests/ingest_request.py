"""What a person asks of an ingest."""

from dataclasses import dataclass
from typing import Annotated

from hdap.fleet_data.ingest.readers.row_facts import RowFacts
from hdap.fleet_data.ingest.reading import (
    Decimal,
    SourceReading,
    parse_columns,
    parse_decimal,
    parse_delimiter,
    parse_models,
)
from hdap.fleet_data.ingest.reject_limit import RejectLimit, reject_limit
from hdap.fleet_data.units.latency_unit import LatencyUnits, parse_units
from hdap.requests.setting import Setting


@dataclass(frozen=True, kw_only=True)
class IngestRequest:
    """How telemetry is loaded."""

    columns: Annotated[
        tuple[str, ...],
        Setting("A column by its name in the file: deviceId=device_id; repeatable.", flag="map"),
    ] = ()
    models: Annotated[
        tuple[str, ...],
        Setting(
            "A model by its name in the file: ResNet-50=resnet50; repeatable.", flag="model-alias"
        ),
    ] = ()
    agreed: Annotated[
        bool,
        Setting("Agree to what common names (serial, duration, ts) seem to be.", flag="yes"),
    ] = False
    delimiter: Annotated[
        str,
        Setting(
            "What divides columns of a CSV: one character, or tab. Default: found in its header.",
            read=parse_delimiter,
        ),
    ] = ""
    decimal: Annotated[
        Decimal,
        Setting(
            "Decimal sign, . or , (comma). Default: found in the numbers of each column.",
            read=parse_decimal,
        ),
    ] = ""
    max_rejected: Annotated[
        RejectLimit | None,
        Setting(
            "Store nothing of a file of which more rows are rejected: 5%, or a number of rows.",
            read=reject_limit,
        ),
    ] = None
    unit: Annotated[
        tuple[str, ...],
        Setting(
            "Unit of the latencies: ns, us, ms, s, min; cam-7=us for one device; repeatable. "
            "Repairs rows that were read in another one."
        ),
    ] = ()
    sure: Annotated[
        bool, Setting("The unit is right, whatever the fleet says: set nothing aside.")
    ] = False

    device_id: Annotated[
        str | None, Setting("The device, of a source that does not say it itself.")
    ] = None
    model: Annotated[
        str | None,
        Setting("The model, of a source without one, or instead of what a log calls it."),
    ] = None
    channels: Annotated[
        str | None, Setting("The counts by width group of the network that a log measured.")
    ] = None
    timestamp: Annotated[
        str | None, Setting("When a log's network was measured, ISO 8601; no zone means UTC.")
    ] = None

    @property
    def facts(self) -> RowFacts:
        """What is said of the rows of measurement logs."""
        said = (self.device_id, self.model, self.channels, self.timestamp)
        return RowFacts(*(text or "" for text in said))

    @property
    def units(self) -> LatencyUnits:
        """What is said of units. Raises InputError for what is none."""
        return parse_units(self.unit, self.sure)

    @property
    def reading(self) -> SourceReading:
        """What is said of how files are written. Raises InputError for what cannot be."""
        return SourceReading(
            parse_columns(self.columns),
            parse_models(self.models),
            self.delimiter,
            self.decimal,
            self.agreed,
        )
