"""What TensorRT's `trtexec --exportTimes=FILE` writes."""

import re
from collections.abc import Sequence

from hdap.fleet_data.ingest.byte_source import ByteSource
from hdap.fleet_data.ingest.readers.log_row import LogRow, measured
from hdap.fleet_data.ingest.readers.measurement_log import MeasurementLog, document, number

_SIGN = re.compile(rb'\A\s*\[\s*\{\s*"start(Enq|H2d|In|Compute)Ms"')


class TrtexecTimes(MeasurementLog):
    """One row a file: the median of `latencyMs`, input copy, computation and output copy together.

    TensorRT was not run here: the format is taken from exportJSONTrace in
    samples/common/sampleReporting.cpp of NVIDIA/TensorRT (8.x and 10.x write the same key).
    """

    called = "the times of trtexec"

    def recognises(self, source: ByteSource) -> bool:
        return _SIGN.match(source.head) is not None

    def rows(self, text: str) -> Sequence[LogRow]:
        times = [number(query["latencyMs"]) for query in document(text)]
        return (measured(1, times, runtime="tensorrt"),) if times else ()
