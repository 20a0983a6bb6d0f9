"""Every kind of surrogate by its name."""

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.plugins import Registry
from hdap.surrogate.models.base import FleetSurrogate, kind_of
from hdap.surrogate.models.fleet_model import FleetModel
from hdap.surrogate.models.hdap_gbrt import HdapGbrt
from hdap.surrogate.models.roofline import Roofline
from hdap.surrogate.models.state_surrogates import AdditiveStates, StateSurrogates
from hdap.surrogate.models.xgboost_ratios import XgboostRatios

SURROGATES: Registry[type[FleetSurrogate]] = Registry(
    "the surrogate",
    "surrogates",
    {kind.kind: kind for kind in (FleetModel, Roofline, HdapGbrt, XgboostRatios)},
)
CHOSEN: dict[str, type[FleetSurrogate]] = {
    kind.kind: kind for kind in (StateSurrogates, AdditiveStates)
}
"""What `fleet` is stored as where runtimes and precisions were given a surrogate each."""
BASE_LINES = ("roofline", "hdap-gbrt")


def load_surrogate(
    kind: str, architecture: Architecture, payloads: tuple[bytes, ...]
) -> FleetSurrogate:
    """The surrogate of a registered kind from its stored payloads, cluster by cluster.

    Raises InputError for an unknown kind and for damaged payloads.
    """
    if not payloads:
        raise InputError("at least one cluster's payload must be given, but got none")
    if kind == FleetModel.kind and kind_of(payloads[0]) in CHOSEN:
        return CHOSEN[kind_of(payloads[0])].from_payloads(architecture, payloads)
    return SURROGATES[kind].from_payloads(architecture, payloads)
