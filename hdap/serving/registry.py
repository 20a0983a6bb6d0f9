"""Policies by name where hdap serves: its own, and those of installed packages."""

from hdap.device.policies.base import Policy
from hdap.device.policies.registry import POLICIES as TRAVELLING
from hdap.fleet_data.plugins import Registry

POLICIES: Registry[type[Policy]] = Registry("a policy", "policies", TRAVELLING)
