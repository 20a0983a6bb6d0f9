"""Which variant of a portfolio should run; see `hdap.device.policies.base`."""
