"""A simulated fleet whose truth is known: for demonstrations, planning and tests at scale.

Nothing here was measured. Every row carries `simulated` = `true` and the runtime `simulated`, every
device a name that begins with `sim-`, every report the word. The latency law and the noise are
fitted to the two measured fleets; `hdap.simulation.calibration` says how well.
"""
