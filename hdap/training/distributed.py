"""Several processes that train one network: who does what, and how their work becomes one."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


@contextmanager
def processes() -> Iterator[None]:
    """Inside, the processes that `torchrun` started know each other; alone it does nothing.

    GPUs talk by NCCL and CPUs by Gloo. A process that fails does not wait for the others:
    `torchrun` ends them.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    yield
    distributed.destroy_process_group()


def world() -> int:
    """How many processes train together; 1 where nobody started several."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is; 0 prints and writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def shard(places: Sequence[int]) -> Sequence[int]:
    """This process's part: every sample in exactly one of them."""
    return places[rank() :: world()]


def total(sums: Tensor, device: torch.device) -> Tensor:
    """Sums over all processes, on the CPU; `device` is where they talk."""
    if world() == 1:
        return sums
    common = sums.to(device)
    distributed.all_reduce(common)
    return common.cpu()


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a tensor that every process has, in place."""
    if world() > 1:
        distributed.all_reduce(value)
        value /= world()
    return value


class Replicas:
    """The copies of a network in all processes; with one process nothing is done.

    `network` is what a step calls. Gradients become common through `DistributedDataParallel`, or,
    with `explicit`, when `average_gradients` is called: that allows several forward passes a step,
    each of other parts of the network, as long as all processes use the same parts in a step.
    """

    def __init__(self, module: nn.Module, *, explicit: bool) -> None:
        self._module = module
        self._parallel: DistributedDataParallel | None = None
        self._explicit = explicit and world() > 1
        if self._explicit:
            for tensor in module.state_dict().values():
                distributed.broadcast(tensor, src=0)
        elif world() > 1:
            self._parallel = DistributedDataParallel(module)
        self.network: nn.Module = self._parallel or module

    @contextmanager
    def micro_batch(self, *, last: bool) -> Iterator[None]:
        """Forward and backward pass of one micro-batch; only the last of a step talks."""
        if self._parallel is None or last:
            yield
        else:
            with self._parallel.no_sync():
                yield

    def average_gradients(self) -> None:
        """Make gradients common before a step, where that did not happen on the way."""
        if not self._explicit:
            return
        for parameter in self._module.parameters():
            if parameter.grad is not None:
                mean_over_processes(parameter.grad)

    def settle(self) -> None:
        """After an epoch: running statistics become the mean over processes."""
        for buffer in self._module.buffers():
            if buffer.is_floating_point():
                mean_over_processes(buffer)
