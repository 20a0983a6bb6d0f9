"""How far surrogates can be trusted: held-out error, calibration, learning curve."""
