"""What the fleet told us: architectures, the telemetry contract, ingest and the store."""

if __name__ != "hdap.fleet_data":
    raise ImportError("import hdap.fleet_data, not fleet_data")
