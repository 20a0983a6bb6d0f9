"""Operations along dimensions: means, maxima, softmax, sorting. Other dimensions go on."""

import numpy as np
from torch import Tensor

from hdap.networks.walk.labels import compressed, mapped
from hdap.networks.walk.recorder import Rule, Walk
from hdap.networks.walk.run_records import Operation

# In weights that do not depend on the image, what is taken away counts as zero.
_SUMS = {"sum", "linalg_vector_norm", "norm"}


def reduce(walk: Walk, operation: Operation) -> None:
    given = operation.inputs[0]
    gone = _dims(operation, given)
    rest = [d for d in range(given.dim()) if d not in gone]
    if operation.name in _SUMS and walk.is_static(given):
        labels = tuple(f for f in walk.labels(given) if set(f.dims) <= set(rest))
    else:
        why = f"is taken together by `{operation.name}` over channels"
        labels = walk.together(given, gone, why)
    for made in operation.outputs:
        if made.dim() == given.dim():
            walk.label(made, labels)
        elif made.dim() == len(rest):
            walk.label(made, mapped(labels, {d: place for place, d in enumerate(rest)}))


def _dims(operation: Operation, given: Tensor) -> set[int]:
    asked = operation["dim"]
    if asked is None or asked == []:
        return set(range(given.dim()))
    dims = asked if isinstance(asked, list | tuple) else [asked]
    return {d % max(given.dim(), 1) for d in dims}


def along(walk: Walk, operation: Operation) -> None:
    given = operation.inputs[0]
    dim = operation["dim"]
    dim = (-1 if dim is None else dim) % max(given.dim(), 1)
    labels = walk.together(given, {dim}, f"goes through `{operation.name}` over channels")
    for made in operation.outputs:
        walk.label(made, labels)


def gated(walk: Walk, operation: Operation) -> None:
    """Half of the channels times a gate made of the other half."""
    given, made = operation.inputs[0], operation.outputs[0]
    dim = operation["dim"]
    dim = (-1 if dim is None else dim) % given.dim()
    halves = walk.along(given, dim).reshape(2, -1)
    others = [f for f in walk.labels(given) if dim not in f.dims]
    walk.label(made, (*others, *compressed((dim,), np.asarray(walk.ties.tie_along(halves, 0)))))


_REDUCING = """
mean sum amax amin max min var std var_mean std_mean prod norm linalg_vector_norm logsumexp argmax
argmin any all median
"""
_ALONG = "_softmax _log_softmax _safe_softmax cumsum cumprod sort argsort topk"
RULES: dict[str, Rule] = {
    **dict.fromkeys(_REDUCING.split(), reduce),
    **dict.fromkeys(_ALONG.split(), along),
    "glu": gated,
}
