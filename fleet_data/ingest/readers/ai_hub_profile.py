"""The profile of a job on Qualcomm AI Hub: what `job.download_profile()` gives, as JSON."""

import re
from collections import Counter
from collections.abc import Sequence

from hdap.fleet_data.ingest.byte_source import ByteSource
from hdap.fleet_data.ingest.readers.log_row import LogRow, measured
from hdap.fleet_data.ingest.readers.measurement_log import MeasurementLog, document, number

_SIGN = re.compile(rb'"execution_(?:summary|detail)"\s*:')


class AiHubProfile(MeasurementLog):
    """One row a profile: the median of `all_inference_times`, which are in microseconds.

    `estimated_inference_time` is not taken: it is the fastest run. The runtime names the unit that
    most layers ran on. Source: tests/test_client.py of the package qai_hub.
    """

    called = "a profile of Qualcomm AI Hub"

    def recognises(self, source: ByteSource) -> bool:
        return source.head.lstrip().startswith(b"{") and _SIGN.search(source.head) is not None

    def rows(self, text: str) -> Sequence[LogRow]:
        profile = document(text)
        times = [
            number(time) / 1000 for time in profile["execution_summary"]["all_inference_times"]
        ]
        layers = profile.get("execution_detail") or ()
        units = Counter(str(layer["compute_unit"]).lower() for layer in layers)
        unit = f"-{units.most_common(1)[0][0]}" if units else ""
        return (measured(1, times, runtime=f"qai-hub{unit}"),) if times else ()
