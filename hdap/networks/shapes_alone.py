"""Running a network for the shapes that it makes, at little cost: its numbers are not computed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only


@contextmanager
def shapes_alone(network: nn.Module) -> Iterator[None]:
    """Inside, shapes and products of a run are right, numbers are not, on meta or elsewhere.

    Code that looks at numbers sees some, unless they are on meta. Other modes, such as those that
    count or follow, are to be entered inside of this one.
    """
    with StepsAtOnce():
        if next(network.parameters()).is_meta:
            yield
            return
        with _HollowProducts():  # type: ignore[no-untyped-call]
            yield


class _HollowProducts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, what multiplies matrices gives zeros, of the shape that it would."""

    _PRODUCTS = frozenset({"convolution", "mm", "addmm", "bmm", "baddbmm"})

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func.overloadpacket.__name__ not in self._PRODUCTS:
            return func(*args, **(kwargs or {}))
        on_meta = tree_map_only(Tensor, lambda t: t.to("meta"), (args, kwargs or {}))
        shape = func(*on_meta[0], **on_meta[1])
        first = next(x for x in args if isinstance(x, Tensor))
        return torch.zeros_like(shape, device=first.device)


class StepsAtOnce(TorchFunctionMode):
    """Inside, a recurrence takes the steps of a sequence as one step of as many sequences.

    Step by step a network of recurrences is thousands of operations; so it is as many products of
    the same shapes, laid together.
    """

    _RECURRENT = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        # a packed sequence, which says the lengths, has its weights one place later
        if func.__name__ not in self._RECURRENT or not isinstance(args[3], bool):
            return func(*args, **(kwargs or {}))
        sequence, state, *rest, batch_first = args
        steps = sequence.shape[1 if batch_first else 0]
        count = sequence.shape[0 if batch_first else 1]
        laid = sequence.flatten(0, 1).unsqueeze(0)
        many = tree_map_only(Tensor, lambda t: t.repeat(1, steps, 1), state)
        made, *states = func(laid, many, *rest, False)
        return (
            made[0].unflatten(0, sequence.shape[:2]),
            *(last[:, :count] for last in states),
        )
