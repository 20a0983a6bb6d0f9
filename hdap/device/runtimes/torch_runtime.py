"""torch: a program of `torch.export` (`.pt2`), or TorchScript where the file ends otherwise."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hdap.device.runtimes.base import OpenNetwork, Runtime, check_there, no_network, only_cpu

if TYPE_CHECKING:
    from hdap.device.runtimes.base import Image


class TorchNetwork(OpenNetwork):
    """One module, run eagerly without gradients."""

    def __init__(self, torch: Any, module: Any, shape: tuple[int, ...]) -> None:
        self._torch, self._module, self.shape = torch, module, shape

    def run(self, image: Image) -> Sequence[Image]:
        """See `OpenNetwork`."""
        with self._torch.inference_mode(), warnings.catch_warnings():
            # an array that must not be written to is only read here
            warnings.simplefilter("ignore")
            found = self._module(self._torch.from_numpy(image))
        if isinstance(found, Mapping):
            found = tuple(found.values())
        return [one.numpy() for one in (found if isinstance(found, (tuple, list)) else (found,))]


class TorchRuntime(Runtime):
    """On the CPU. torch has one number of threads for all that runs in a process."""

    name = "torch"
    suffix = ".pt2"
    package = "torch"

    def __init__(self, threads: int = 1, provider: str = "cpu", precision: str = "float32") -> None:
        self._torch = self.imported("torch")
        only_cpu(provider)
        super().__init__(threads, "cpu", precision)

    @property
    def version(self) -> str:
        """Of torch, without its build."""
        return str(self._torch.__version__).partition("+")[0]

    def open(self, path: str) -> TorchNetwork:
        """Load it; nothing in a `.pt2` is code that is run on loading."""
        check_there(path)
        self._torch.set_num_threads(self.threads)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self._program(path) if path.endswith(".pt2") else self._script(path)
        except Exception as error:
            raise no_network(path, "torch", error) from error

    def _program(self, path: str) -> TorchNetwork:
        program = self._torch.export.load(path)
        (name,) = program.graph_signature.user_inputs
        node = next(n for n in program.graph.nodes if n.name == name)
        sizes = node.meta["val"].shape
        shape = tuple(size if isinstance(size, int) else 1 for size in sizes)
        return TorchNetwork(self._torch, program.module(), shape)

    def _script(self, path: str) -> TorchNetwork:
        script = self._torch.jit.load(path, map_location="cpu").eval()
        sizes = list(script.graph.inputs())[1].type().sizes()
        # a trace need not tell its shape; then only the manifest of a bundle knows it
        return TorchNetwork(self._torch, script, tuple(sizes or ()))
