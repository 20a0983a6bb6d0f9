"""Every kind of surrogate by its name."""

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError, NotFoundError
from hdap.surrogate.models.base import FleetSurrogate
from hdap.surrogate.models.fleet_model import FleetModel
from hdap.surrogate.models.hdap_gbrt import HdapGbrt
from hdap.surrogate.models.roofline import Roofline
from hdap.surrogate.models.xgboost_ratios import XgboostRatios

SURROGATES: dict[str, type[FleetSurrogate]] = {
    kind.kind: kind for kind in (FleetModel, Roofline, HdapGbrt, XgboostRatios)
}
BASE_LINES = ("roofline", "hdap-gbrt")


def load_surrogate(
    kind: str, architecture: Architecture, payloads: tuple[bytes, ...]
) -> FleetSurrogate:
    """The surrogate of a registered kind from its stored payloads, cluster by cluster.

    Raises NotFoundError for an unknown kind and InputError for damaged payloads.
    """
    if not payloads:
        raise InputError("at least one cluster's payload must be given, but got none")
    return surrogate_class(kind).from_payloads(architecture, payloads)


def surrogate_class(kind: str) -> type[FleetSurrogate]:
    """The class registered under `kind`; NotFoundError with the known names otherwise."""
    if kind not in SURROGATES:
        raise NotFoundError(
            f"the surrogate must be one of {', '.join(SURROGATES)}, but got {kind=}"
        )
    return SURROGATES[kind]
