"""Measuring the networks of a bundle: `python3 measure.pyzz`; see `hdap.device.measure.program`."""
