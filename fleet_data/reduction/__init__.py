"""Telemetry in an engine of the user's, reduced there to a row a device and configuration."""

if __name__ != "hdap.fleet_data.reduction":
    raise ImportError("import hdap.fleet_data.reduction, not fleet_data.reduction")
