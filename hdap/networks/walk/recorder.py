"""One run of a network in which every operation is seen, and says what it does to channels."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from hdap.networks.layer_kinds.base import LayerKind
from hdap.networks.layer_kinds.registry import find_kind
from hdap.networks.network_copies import all_tensors
from hdap.networks.walk.channel_ties import ChannelTies
from hdap.networks.walk.labels import CONSTANT, Atoms, Factor, Labels, compressed, overlapping
from hdap.networks.walk.run_records import LayerCall, Operation, Product, SizedCall, size_of

_VIEWS = {"t", "transpose", "permute", "detach", "alias"}

Rule = Callable[["Walk", "Operation"], None]
"""What an operation of torch does to channels: it labels the outputs, ties and pins. An operation
without a rule keeps whatever it is given."""


class Walk(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Labels of every tensor of a run, and what became of them. Made for one run.

    `counted` are torch's FLOPs of it, by module name, where it was counted.
    """

    def __init__(self, network: nn.Module, rules: Mapping[str, Rule]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ties = ChannelTies()
        self.calls: list[LayerCall] = []
        self.products: list[Product] = []
        self.sized: list[SizedCall] = []
        self.counted: dict[str, int] = {}
        self._rules = rules
        self._labels: Any = WeakIdKeyDictionary()
        self._static: Any = WeakIdKeyDictionary()
        self._views: Any = WeakIdKeyDictionary()
        self._inside: list[str] = []
        self._opaque = 0
        self._given: list[tuple[Labels, Tensor] | None] = []
        self._kernels = {
            f"{name}.weight"
            for name, module in network.named_modules()
            for kind in [find_kind(module)]
            if kind is not None and kind.counted_as == "conv"
        }
        self.names = {id(tensor): name for name, tensor in all_tensors(network).items()}

    # The run

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        outputs = func(*args, **(kwargs or {}))
        name = func._schema.name.partition("::")
        name = name[2] if name[0] == "aten" else func._schema.name
        made = tuple(x for x in tree_leaves(outputs) if isinstance(x, Tensor))
        given = {a.name: v for a, v in zip(func._schema.arguments, args, strict=False)}
        operation = Operation(name, given | (kwargs or {}), made)
        inputs = operation.inputs
        if made and inputs and all(self.is_static(x) for x in inputs):
            for output in made:
                self._static[output] = True
            if operation.name in _VIEWS and len(inputs) == 1:
                self._views[made[0]] = self.name_of(inputs[0])
        if inputs and not self._opaque:
            self._follow(operation)
        return outputs

    def _follow(self, operation: Operation) -> None:
        rule = self._rules.get(operation.name) or self._rules.get(operation.name.rstrip("_"))
        if rule is None:
            self.keep(operation, f"goes through `{operation.name}`, which is not followed")
        else:
            rule(self, operation)

    def keep(self, operation: Operation, why: str) -> None:
        """Everything that an operation is given stays as it is."""
        for tensor in operation.inputs:
            self.pin(tensor, f"{why} in {self.place}")

    @property
    def module(self) -> str:
        """The innermost module that runs now."""
        return self._inside[-1] if self._inside else ""

    @property
    def place(self) -> str:
        """The innermost module that runs now, in words."""
        return f"`{self.module}`" if self.module else "the network's own code"

    @property
    def in_layer(self) -> bool:
        """Whether a layer of a known kind runs now, which is recorded by itself."""
        return bool(self._given) and self._given[-1] is not None

    @contextmanager
    def watching(self, network: nn.Module) -> Iterator[None]:
        """Inside, modules that run are known, and layers of known kinds recorded."""
        with ExitStack() as stack:
            for name, module in network.named_modules():
                kind = find_kind(module)
                before = module.register_forward_pre_hook(self._enter(name, kind))
                after = module.register_forward_hook(self._leave(name, kind))
                stack.callback(before.remove)
                stack.callback(after.remove)
            yield

    def _enter(self, name: str, kind: LayerKind | None) -> Any:
        def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self._inside.append(name)
            if isinstance(module, nn.RNNBase):  # it says how wide its input must be
                for tensor in (x for x in tree_leaves(inputs) if isinstance(x, Tensor)):
                    self.pin(
                        tensor, f"enters {self.place} ({type(module).__name__}), made for one width"
                    )
            self._opaque += kind is not None and kind.opaque
            known = kind is not None and bool(inputs) and isinstance(inputs[0], Tensor)
            self._given.append((self.labels(inputs[0]), inputs[0]) if known else None)

        return enter

    def _leave(self, name: str, kind: LayerKind | None) -> Any:
        def leave(module: nn.Module, _: Any, output: Any) -> None:
            self._inside.pop()
            self._opaque -= kind is not None and kind.opaque
            given = self._given.pop()
            if kind is None or given is None or not isinstance(output, Tensor):
                return
            labels, image = given
            if kind.opaque:
                self._pass_on(kind, module, image, output)
            side_in, side_out = kind.channel_dim(module, image), kind.channel_dim(module, output)
            self.calls.append(
                LayerCall(
                    name,
                    _along(labels, image, side_in),
                    _along(self.labels(output), output, side_out),
                    size_of(kind, module, image),
                    size_of(kind, module, output),
                )
            )

        return leave

    def _pass_on(self, kind: LayerKind, module: nn.Module, image: Tensor, output: Tensor) -> None:
        """What a layer whose operations were not followed does to channels: nothing."""
        channels = self.along(image, kind.channel_dim(module, image))
        for name in kind.tensors:
            tensor = getattr(module, name, None)
            if isinstance(tensor, Tensor):
                why = f"shares its place with a constant in {self.place}"
                self.ties.tie(channels, self.along(tensor, kind.output_dim), why)
        self.label(output, self.labels(image))

    # Labels

    def labels(self, tensor: Tensor) -> Labels:
        """The factors of a tensor; a parameter or buffer gets its own when first asked."""
        found: Labels | None = self._labels.get(tensor)
        if found is None:
            name = self.names.get(id(tensor))
            found = () if name is None else self._fresh(name, tensor)
            self._labels[tensor] = found
        return found

    def label(self, tensor: Tensor, labels: Labels) -> None:
        """Say what the elements of a new tensor go with."""
        self._labels[tensor] = labels
        for factor in labels:
            if len(factor.dims) > 1:
                self.ties.rectangle(factor.atoms)

    def _fresh(self, name: str, tensor: Tensor) -> Labels:
        # a convolution's kernel is no dimension of channels
        dims = 2 if name in self._kernels else tensor.dim()
        return tuple(
            Factor((dim,), self.ties.new(name, dim, size))
            for dim, size in enumerate(tensor.shape[:dims])
            if size > 1
        )

    def name_of(self, tensor: Tensor) -> str:
        """The parameter or buffer that a tensor is, turned round or not; "" if none."""
        found: str = self.names.get(id(tensor)) or self._views.get(tensor, "")
        return found

    def is_static(self, tensor: Tensor) -> bool:
        """Whether a tensor follows from parameters and buffers alone."""
        return id(tensor) in self.names or tensor in self._static

    def told_sizes(self, *tensors: Tensor, cut: tuple[Sequence[Tensor], int] = ((), 0)) -> None:
        """Code of a module may have written the sizes of these tensors' channels.

        `cut` are the parts that it cut along a dimension.
        """
        parts, dim = cut
        sides = tuple(f.atoms for x in (*tensors, *parts) for f in self.labels(x))
        sizes = tuple((x.shape[dim], _along(self.labels(x), x, dim)) for x in parts)
        if sides:
            self.sized.append(SizedCall(self.module, sides, sizes))

    def pin(self, tensor: Tensor, why: str) -> None:
        """All channels of a tensor stay."""
        for factor in self.labels(tensor):
            self.ties.pin(factor.atoms, why)

    def along(self, tensor: Tensor, dim: int) -> Atoms:
        """Atoms along one dimension, constants where it has none; factors across it are pinned."""
        dim %= max(tensor.dim(), 1)
        for factor in self.labels(tensor):
            if dim in factor.dims and len(factor.dims) > 1:
                self.ties.pin(factor.atoms, f"is arranged along several dimensions in {self.place}")
        return _along(self.labels(tensor), tensor, dim)

    def only(self, tensor: Tensor, dims: Sequence[int], why: str) -> Labels:
        """The factors along `dims` alone; all others are pinned."""
        inside = [d % max(tensor.dim(), 1) for d in dims]
        kept = []
        for factor in self.labels(tensor):
            if set(factor.dims) <= set(inside):
                kept.append(factor)
            else:
                self.ties.pin(factor.atoms, f"{why} in {self.place}")
        return tuple(kept)

    def together(self, tensor: Tensor, dims: Collection[int], why: str) -> Labels:
        """Factors after an operation that takes all along `dims` together.

        What is arranged along one of them and another goes with all of its kind; what is arranged
        along them alone is pinned.
        """
        found: list[Factor] = []
        for factor in self.labels(tensor):
            rest = [d for d in factor.dims if d not in dims]
            if not rest:
                self.ties.pin(factor.atoms, f"{why} in {self.place}")
            elif len(rest) == len(factor.dims):
                found.append(factor)
            else:
                atoms = factor.atoms
                for axis in reversed([factor.dims.index(d) for d in factor.dims if d in dims]):
                    atoms = self.ties.tie_along(atoms, axis)
                found += compressed(rest, atoms)
        return tuple(found)

    def combine(self, tensors: Sequence[Tensor], output: Tensor) -> None:
        """Element by element, with broadcasting: what meets goes together."""
        shifted = [
            (tuple(f.shifted(by) for f in self.labels(t)), (*[1] * by, *t.shape))
            for t in tensors
            for by in [output.dim() - t.dim()]
        ]
        found: list[Factor] = []
        for dims in overlapping(f for labels, _ in shifted for f in labels):
            sizes = [output.shape[d] for d in dims]
            # one number for all of these dimensions meets whatever is there
            sides = [
                self.over(labels, dims, sizes)
                for labels, shape in shifted
                if any(shape[d] != 1 for d in dims)
            ]
            found += self.joined(dims, sides)
        self.label(output, tuple(found))

    def over(self, labels: Labels, dims: Sequence[int], sizes: Sequence[int]) -> Atoms:
        """Atoms of one tensor over `dims`; constants where it has none, or they meet there."""
        inside = [f for f in labels if set(f.dims) & set(dims)]
        if len(inside) == 1:
            return inside[0].over(dims, sizes)
        for factor in inside:
            self.ties.pin(factor.atoms, f"meets others in two dimensions in {self.place}")
        return np.full(sizes, CONSTANT, dtype=np.int64)

    def joined(self, dims: Sequence[int], sides: Sequence[Atoms]) -> Labels:
        """What several tensors are over `dims` where they meet, place by place."""
        for other in sides[1:]:
            self.ties.tie(sides[0], other, f"meets a constant in {self.place}")
        return compressed(dims, sides[0])


def _along(labels: Labels, tensor: Tensor, dim: int) -> Atoms:
    dim %= max(tensor.dim(), 1)
    for factor in labels:
        if factor.dims == (dim,):
            return factor.atoms
    return np.full(tensor.shape[dim] if tensor.dim() else 1, CONSTANT, dtype=np.int64)
