"""Every kind of surrogate by its name."""

from hdap.surrogate.base import FleetSurrogate
from hdap.surrogate.fleet import FleetModel
from hdap.surrogate.hdap_gbrt import HdapGbrt
from hdap.surrogate.roofline import Roofline
from hdap.surrogate.xgboost_ratios import XgboostRatios

SURROGATES: dict[str, type[FleetSurrogate]] = {
    kind.kind: kind for kind in (FleetModel, Roofline, HdapGbrt, XgboostRatios)
}
BASE_LINES = ("roofline", "hdap-gbrt")
