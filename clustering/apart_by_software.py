"""Clusters are never of two runtimes, nor of two precisions.

How long the dense network takes does not show how a runtime ranks pruned ones: two runtimes that
take equally long for it rank random networks with a Spearman correlation of .56 to .90, where
clocks alone give .98. So devices that say what they run are kept apart by the family of the runtime
and by precision, whatever their latencies; versions, threads and firmware part devices where they
show in latency, as everything else does. Who runs another thing is no outlier of it: those whose
like are in no cluster make one of their own. Devices that do not say what they run go with the most
of their cluster.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hdap.clustering.algorithms.partition import nearest
from hdap.clustering.grouping import compact
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.fleet_data.software import kernels_of


def kernel_codes(software: NDArray[np.object_]) -> tuple[Ints, Ints]:
    """Family of the runtime and precision of n devices (`format_software`) as codes; 0: unknown."""
    texts, number = np.unique(software.astype(str), return_inverse=True)
    known = [kernels_of(text) for text in texts.tolist()]
    columns = []
    for one in (0, 1):
        names = sorted({"", *(kernels[one] for kernels in known)})
        codes = np.array([names.index(kernels[one]) for kernels in known], dtype=np.int64)
        columns.append(codes[number])
    return columns[0], columns[1]


def kept_apart(
    points: Floats, cluster: Ints, outlier: Bools, software: Sequence[Ints]
) -> tuple[Ints, Bools]:
    """`cluster` and `outlier` of n points with no two codes of a column of `software` in a cluster.

    Code 0 is unknown and goes with any. An outlier stays one where its like have a cluster.
    """
    for codes in software:
        if len(np.unique(codes[codes > 0])) > 1:
            cluster, outlier = _split(points, cluster, outlier, codes)
    return cluster, outlier


def _split(points: Floats, cluster: Ints, outlier: Bools, codes: Ints) -> tuple[Ints, Bools]:
    kinds, clusters = int(codes.max()) + 1, int(cluster.max()) + 1
    core = ~outlier
    told = core & (codes > 0)
    known = np.bincount(cluster[told] * kinds + codes[told], minlength=clusters * kinds)
    most = known.reshape(clusters, kinds).argmax(axis=1)
    codes = np.where(codes > 0, codes, most[cluster])
    key = cluster * kinds + codes
    stray = outlier & ~np.isin(key, key[core])
    still = outlier.copy()
    for code in np.unique(codes[stray]).tolist():
        mine, like = stray & (codes == code), core & (codes == code)
        if like.any():
            key[mine], _ = nearest(points[mine], points[like], key[like])
        else:
            key[mine], still[mine] = clusters * kinds + code, False
    return compact(key)[0], still
