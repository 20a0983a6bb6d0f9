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
MOST_NETWORKS = 6
"""Networks for one deadline that are compared: beyond, each brings less than it costs."""
NETWORK_COST = 0.01
"""Of kept importance, on the average device, that one more network must bring: it is one more to
train, test, store and ship."""
NETWORK_TRIALS = 600
"""Of the search for one of several networks; 2,000 keep 0.001 more in three times the time."""
