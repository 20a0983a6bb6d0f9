"""What a search takes where nothing is said. Apart from where it is used, because asking imports
nothing heavy."""

DEFAULT_RISK = 1.0
"""Standard deviations of doubt added to a prediction."""
DEFAULT_PROXY = "layers"
"""Of all that is known without data it foretells accuracy after tuning best: on digits at equal
FLOPs and on photographs at equal latency (`benchmarks/quality/`)."""
DEFAULT_THRESHOLD = 0.02
"""One more level is more to train, test and ship: it must raise the mean kept importance over the
operating points by so much."""
