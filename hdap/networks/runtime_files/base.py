"""The contract of what writes the networks of a bundle for one runtime."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import nn

from hdap.fleet_data.architecture import InputShape
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.measuring_bundle import Weights
from hdap.networks.generated_weights import without_zeros
from hdap.networks.network_copies import duplicate


@dataclass(frozen=True)
class FilesWanted:
    """Where the files go, what the networks take, in which precision and with which weights.

    `generated` weights are for latency only: they may be shared by all networks, or left out.
    """

    folder: Path
    shape: InputShape
    precision: str = "float32"
    weights: Weights = "generated"
    batch_size: int = 1


class RuntimeFiles(ABC):
    """The networks of one bundle, in files that its runtime opens; made for one bundle.

    `int8` is calibrated on random inputs, which latency does not depend on; what `open` of the
    runtime only sets (`float16`, `bfloat16`) leaves the files as they are in float32.
    """

    suffix: ClassVar[str]
    """Of the file of a network; what lies beside it has the same stem, or belongs to all."""
    any_batch: ClassVar[bool] = False
    """Whether the files can take more than one input at once; `InputError` where they cannot."""

    def __init__(self, wanted: FilesWanted) -> None:
        if wanted.batch_size > 1 and not self.any_batch:
            raise InputError(
                f"a bundle for several inputs at once must be for onnxruntime or openvino, but "
                f"--batch is {wanted.batch_size}: plan it with 1, or for one of these"
            )
        self.wanted = wanted

    def check_ready(self) -> None:
        """Raise `InputError`, before the first network, where what writes the files is missing."""
        return None

    def add(self, network: nn.Module, stem: str) -> None:
        """Write one network; where it is for latency only, nothing in it is zero throughout.

        Raises `InputError` where a package is missing, and `UnsupportedModelError` where the
        network cannot be written.
        """
        if self.wanted.weights == "generated":
            network = without_zeros(duplicate(network))
        self.write(network, stem)

    @abstractmethod
    def write(self, network: nn.Module, stem: str) -> None:
        """What `add` does in this format, with the weights as they are."""

    def finish(self) -> None:
        """Write what belongs to all; afterwards the files can be opened."""
        return None

    def file(self, stem: str) -> Path:
        """The file of a network."""
        return self.wanted.folder / f"{stem}{self.suffix}"
