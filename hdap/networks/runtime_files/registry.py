"""What writes bundles, by the name of the runtime that reads them: one for each of `RUNTIMES`."""

from hdap.device.runtimes.registry import RUNTIMES
from hdap.fleet_data.errors import InputError
from hdap.networks.runtime_files.base import FilesWanted, RuntimeFiles
from hdap.networks.runtime_files.exported import ExecuTorchFiles, LiteRtFiles, TorchFiles
from hdap.networks.runtime_files.ncnn_bundle import NcnnFiles
from hdap.networks.runtime_files.shared_onnx import OnnxRuntimeFiles, OpenVinoFiles

RUNTIME_FILES: dict[str, type[RuntimeFiles]] = {
    "onnxruntime": OnnxRuntimeFiles,
    "openvino": OpenVinoFiles,
    "ncnn": NcnnFiles,
    "torch": TorchFiles,
    "litert": LiteRtFiles,
    "executorch": ExecuTorchFiles,
}


def files_for(runtime: str, wanted: FilesWanted) -> RuntimeFiles:
    """What writes the networks of a bundle; raises `InputError` for what there is not."""
    check_precision(runtime, wanted.precision)
    return RUNTIME_FILES[runtime](wanted)


def check_precision(runtime: str, precision: str) -> None:
    """Raises `InputError` where a runtime does not compute in a precision, or there is none."""
    if runtime not in RUNTIMES:
        raise InputError(f"--runtime must be one of {', '.join(RUNTIMES)}, but got {runtime!r}")
    known = RUNTIMES[runtime].precisions
    if precision not in known:
        raise InputError(
            f"--precision of {runtime} must be one of {', '.join(known)}, but got {precision!r}; "
            "choose one of these"
        )
