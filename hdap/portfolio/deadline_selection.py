"""Which variants serve a fleet that shares a deadline. No torch here."""

from dataclasses import replace

import numpy as np

from hdap.fleet_data.records import VariantRecord
from hdap.portfolio.variant_selection import QUALITIES, LeftOut, Selection
from hdap.search.problem.defaults import MOST_NETWORKS
from hdap.search.sizes.choose_networks import choose_networks
from hdap.search.sizes.device_speeds import DeviceSpeeds
from hdap.surrogate.models.base import Z90, Prediction


def serve_deadline(
    selection: Selection, devices: DeviceSpeeds, deadline_ms: float, most: int | None
) -> Selection:
    """Of the variants that stay the few (at most `most`) that serve the devices best.

    Each device runs the best that it runs in time; see `choose_networks`. Raises InfeasibleError
    where no variant is fast enough for so many devices.
    """
    kept = selection.kept
    good = QUALITIES[selection.compared_by[2]]
    quality = np.array([good(variant) for variant in kept])
    rows = choose_networks(
        devices, _seen(kept), quality, deadline_ms, MOST_NETWORKS if most is None else most
    )
    chosen = {kept[row].variant for row in rows.tolist()}
    why = f"serves no device better within {deadline_ms:g} ms than those that stay"
    return replace(
        selection,
        kept=tuple(v for v in kept if v.variant in chosen),
        left_out=selection.left_out
        + tuple(LeftOut(v.variant, why) for v in kept if v.variant not in chosen),
    )


def _seen(variants: tuple[VariantRecord, ...]) -> Prediction:
    ms = np.array([[c.predicted_ms for c in v.clusters] for v in variants])
    high = np.array([[c.predicted_high_ms for c in v.clusters] for v in variants])
    return Prediction(np.log(ms), np.log(high / ms) / Z90)
