"""ONNX Runtime's profile: what a session writes with `enable_profiling`."""

import re
from collections import Counter
from collections.abc import Sequence

from hdap.fleet_data.ingest.byte_source import ByteSource
from hdap.fleet_data.ingest.readers.log_row import LogRow, measured
from hdap.fleet_data.ingest.readers.measurement_log import MeasurementLog, document, number

_SIGN = re.compile(rb'\A\s*\[\s*\{"cat"\s*:\s*"(Session|Node)"')
_PROVIDER = "ExecutionProvider"


class OnnxRuntimeProfile(MeasurementLog):
    """One row a profile: the median of its `model_run` events, which are in microseconds.

    The first run counts too, as it stands in the profile. The runtime names the provider that most
    nodes ran on. Profiling itself takes time, of small networks a good part. Source: a profile of
    onnxruntime 1.2x, as the sample in the tests is.
    """

    called = "a profile of ONNX Runtime"

    def recognises(self, source: ByteSource) -> bool:
        return _SIGN.match(source.head) is not None

    def rows(self, text: str) -> Sequence[LogRow]:
        events = document(text)
        runs = [
            number(event["dur"]) / 1000
            for event in events
            if event["cat"] == "Session" and event["name"] == "model_run"
        ]
        providers = Counter(
            str(event["args"]["provider"])
            for event in events
            if event["cat"] == "Node" and "provider" in event["args"]
        )
        if not runs:
            return ()
        most = providers.most_common(1)[0][0].removesuffix(_PROVIDER).lower() if providers else ""
        return (measured(1, runs, runtime=f"onnxruntime-{most}" if most else "onnxruntime"),)
