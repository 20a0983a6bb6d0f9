"""What a layer's time is made of: the terms that latency is a non-negative sum of.

A network runs its layers one after the other, so its latency is a sum over layers, and a layer's
time grows with what it computes, computes in vain and moves. Terms of one layer, all linear in
latency:

- `macs`: multiply-accumulates;
- `macs@b`: the same with channels rounded up to b, as a kernel with blocks of b computes them
  (the staircase);
- `unaligned@a`: its multiply-accumulates where the input channels are no multiple of a, which
  sends many runtimes to a slower kernel (ONNX Runtime's blocked convolution needs 4);
- `read`, `written`, `weights`: numbers moved.

Layers of one class (stem, pointwise, spatial, grouped, depthwise) share what a term costs. A term
is 1 for a whole class at full width, so weights compare. Roofline terms as in Williams et al.,
"Roofline" (CACM 52(4), 2009); per-kernel costs as in nn-Meter (Zhang et al., MobiSys 2021).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.architecture import Architecture, Counts, Layer
from hdap.fleet_data.costs import layer_channels
from hdap.fleet_data.records import Bools, Floats, Ints

BLOCKS = (8, 16, 32)
ALIGNMENTS = (4, 8, 16)
CLASSES = ("stem", "pointwise", "spatial", "grouped", "depthwise")
TERMS = (
    "macs",
    *(f"macs@{b}" for b in BLOCKS),
    *(f"unaligned@{a}" for a in ALIGNMENTS),
    "read",
    "written",
    "weights",
)
MOVING = ("read", "written", "weights")


@dataclass(frozen=True)
class LayerTerms:
    """Terms of n configurations: `values` is `terms x n x layers` (convolutions and linear ones),
    each scaled to 1 for its class at full width."""

    values: Floats
    classes: NDArray[np.int64]

    def at(self, rows: Ints | Bools) -> "LayerTerms":
        """The chosen configurations."""
        return LayerTerms(self.values[:, rows], self.classes)

    def totals(self) -> Floats:
        """Summed over the layers of each class: `n x (classes * terms)`, class by class."""
        classes = int(self.classes.max()) + 1
        membership = np.eye(classes)[self.classes]
        totals: Floats = (self.values @ membership).transpose(1, 2, 0)
        return totals.reshape(len(totals), classes * len(TERMS))

    def layer_costs(self, costs: Floats) -> Floats:
        """Time of every layer, `n x layers`, where `costs` (`classes * terms`) prices the terms."""
        prices = costs.reshape(-1, len(TERMS))[self.classes]
        result: Floats = self.values[0] * prices[:, 0]
        for term in range(1, len(TERMS)):
            if prices[:, term].any():
                result += self.values[term] * prices[:, term]
        return result


class Physics:
    """The terms of one architecture's layers, for matrices of configurations."""

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self._computing = np.array(
            [i for i, x in enumerate(architecture.layers) if x.computes], dtype=np.int64
        )
        layers = [architecture.layers[i] for i in self._computing]
        names = [layer_class(x) for x in layers]
        self.class_names = tuple(c for c in CLASSES if c in names)
        self.classes = np.array([self.class_names.index(n) for n in names], dtype=np.int64)
        self._pixels_in = np.array([float(math.prod(x.input_size)) for x in layers])
        self._pixels = np.array([float(math.prod(x.output_size)) for x in layers])
        groups = np.array([x.groups for x in layers])
        self._depthwise = np.array([x.depthwise for x in layers])
        self._kernel = np.array([float(math.prod(x.kernel)) for x in layers])
        self._kernel /= np.where(self._depthwise, 1, groups)
        # where a transposed convolution's kernel is applied, spread over its outputs
        self._kernel *= np.array([x.applied_at for x in layers]) / self._pixels

    @cached_property
    def scale(self) -> Floats:
        """Size of each term at full width, `terms x layers`: its class's sum."""
        dense = self._raw(self.architecture.widths[None, :])[:, 0, :]
        # What is computed in vain is nothing at full width: it is scaled as what is computed.
        dense[1 : len(BLOCKS) + len(ALIGNMENTS) + 1] = dense[0]
        sums = np.stack([dense[:, self.classes == c].sum(axis=1) for c in np.unique(self.classes)])
        result: Floats = np.maximum(sums, 1.0)[self.classes].T
        return result

    def terms(self, counts: Counts) -> LayerTerms:
        """Terms of each configuration: `n x groups` -> `terms x n x layers`; counts unchecked."""
        return LayerTerms(self._raw(counts) / self.scale[:, None, :], self.classes)

    def layer_terms(self, layer: int, inputs: Counts, outputs: Counts) -> Floats:
        """Terms of one of these layers at m pairs of channels: `m`, `m` -> `terms x m`."""
        one = np.array([layer])
        raw = self._of(inputs[:, None], outputs[:, None], one)[:, :, 0]
        result: Floats = raw / self.scale[:, layer, None]
        return result

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that the terms are of: convolutions and linear ones."""
        return tuple(self.architecture.layers[i] for i in self._computing)

    def _raw(self, counts: Counts) -> Floats:
        inputs, outputs = (x[:, self._computing] for x in layer_channels(self.architecture, counts))
        return self._of(inputs, outputs, slice(None))

    def _of(self, whole: Counts, outputs: Counts, layers: Ints | slice) -> Floats:
        """Unscaled terms of the chosen layers: input and output channels `n x l` each."""
        inputs, outgoing = whole.astype(np.float64), outputs.astype(np.float64)
        pixels, depthwise = self._pixels[layers], self._depthwise[layers]
        each = self._kernel[layers] * pixels

        def computed(narrow: Floats, wide: Floats) -> Floats:
            result: Floats = np.where(depthwise, 1.0, narrow) * each * wide
            return result

        macs = computed(inputs, outgoing)
        values = [macs]
        values += [computed(_up(inputs, b), _up(outgoing, b)) for b in BLOCKS]
        # Alignments are powers of two: bits are several times faster than remainders.
        values += [np.where(whole & (a - 1), macs, 0.0) for a in ALIGNMENTS]
        values += [inputs * self._pixels_in[layers], outgoing * pixels, macs / pixels]
        return np.stack(values)


def compute_share(terms: LayerTerms, costs: Floats) -> Floats:
    """Share of the time that computing takes (n), where `costs` (`classes * terms`) prices the
    terms; the rest moves numbers."""
    totals = terms.totals() * costs
    moving = np.isin(TERMS, MOVING)
    moved = totals.reshape(len(totals), -1, len(TERMS))[:, :, moving].sum(axis=(1, 2))
    result: Floats = 1.0 - moved / totals.sum(axis=1)
    return result


def layer_class(layer: Layer) -> str:
    """The class whose layers share what a term costs; one of `CLASSES`."""
    if not layer.inputs.terms:
        return "stem"
    if layer.depthwise:
        return "depthwise"
    if layer.groups > 1:
        return "grouped"
    return "pointwise" if math.prod(layer.kernel) == 1 else "spatial"


def _up(channels: Floats, block: int) -> Floats:
    result: Floats = np.ceil(channels / block) * block
    return result
