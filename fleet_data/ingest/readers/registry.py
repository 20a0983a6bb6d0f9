"""The formats by name, in the order in which they are tried. A new one is a file beside this one
and a line in `READERS`."""

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest.byte_source import ByteSource
from hdap.fleet_data.ingest.readers.ai_hub_profile import AiHubProfile
from hdap.fleet_data.ingest.readers.avro_file import AvroFile
from hdap.fleet_data.ingest.readers.base import TelemetryReader
from hdap.fleet_data.ingest.readers.csv_file import CsvFile
from hdap.fleet_data.ingest.readers.json_lines import JsonLines
from hdap.fleet_data.ingest.readers.litert_log import LiteRtLog
from hdap.fleet_data.ingest.readers.ncnn_log import NcnnLog
from hdap.fleet_data.ingest.readers.onnxruntime_profile import OnnxRuntimeProfile
from hdap.fleet_data.ingest.readers.openvino_log import OpenVinoLog
from hdap.fleet_data.ingest.readers.otlp_metrics import OtlpMetrics
from hdap.fleet_data.ingest.readers.parquet_file import ParquetFile
from hdap.fleet_data.ingest.readers.parquet_folder import ParquetFolder
from hdap.fleet_data.ingest.readers.prometheus_range import PrometheusRange
from hdap.fleet_data.ingest.readers.trtexec_times import TrtexecTimes
from hdap.fleet_data.plugins import Registry

READERS: Registry[TelemetryReader] = Registry(
    "the format of telemetry",
    "telemetry_readers",
    {
        "parquet": ParquetFile(),
        "parquet-folder": ParquetFolder(),
        "avro": AvroFile(),
        "csv": CsvFile(),
        "benchmark-model": LiteRtLog(),
        "benchmark-app": OpenVinoLog(),
        "benchncnn": NcnnLog(),
        "onnxruntime-profile": OnnxRuntimeProfile(),
        "trtexec-times": TrtexecTimes(),
        "ai-hub-profile": AiHubProfile(),
        "prometheus": PrometheusRange(),
        "otlp": OtlpMetrics(),
        "json-lines": JsonLines(),
    },
)


def reader_of(source: ByteSource) -> TelemetryReader:
    """The first reader that recognises a source; what none does is taken for CSV.

    Raises InputError where the name says another format than the content.
    """
    readers = [READERS[name] for name in READERS]
    found = next((each for each in readers if each.recognises(source)), READERS["csv"])
    name = source.plain_name
    meant = [each for each in readers if each.endings and name.endswith(each.endings)]
    if source.folder is None and meant and found not in meant:
        raise InputError(
            f"{source.name} is called {meant[-1].called} but is none: rename or export it again"
        )
    return found
