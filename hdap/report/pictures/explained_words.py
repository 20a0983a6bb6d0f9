"""What the words of a page mean, said where each is first used."""

import re

WORDS = {
    "predicted": "computed by surrogates from what devices measured; no device ran the network.",
    "surrogate": "a model of how long any network takes on the devices of one cluster.",
    "dense": "the network before pruning, with all its channels.",
    "fleet mean": "mean over all devices, each by its weight.",
    "weight": "the share of the fleet's inferences that a device, or a cluster, stands for.",
    "90 % interval": "in 9 of 10 cases the true value lies inside.",
    "importance": "a stand-in for accuracy: the share of its channels' importance that a network "
    "keeps, from 0 to 1.",
    "FLOPs": "multiply-accumulates of one inference: how much there is to compute.",
    "uniform pruning": "every layer keeps the same share of its channels, as one prunes who does "
    "not know the fleet.",
    "cluster": "devices that behave alike.",
    "outlier": "a device that behaves like none of the clusters.",
    "representative": "one of the few devices that measure for their cluster.",
    "trial": "one network that a search looked at.",
    "study": "one search with all its trials.",
    "p95": "what 95 of 100 do not exceed.",
    "median": "half lie above it, half below.",
    "standard deviation": "how far things lie apart: about two thirds lie within one of the mean.",
    "adjusted Rand index": "how far two ways to group the same devices agree: 1 wholly, 0 as by "
    "chance.",
    "stability": "how often a group is found again when some devices are left out: 1 always.",
    "held out": "measured, and kept from the surrogates while they learned: a test of them.",
    "rank correlation": "1: both order the networks alike; 0: not at all.",
    "noise": "what two measurements of the same thing differ by.",
    "geometric mean": "the mean of ratios: one narrow layer lowers it more than one wide one "
    "lifts it.",
    "front": "the trials that no other trial beats in everything.",
    "feasible": "within the budget, and keeping what was asked.",
    "epoch": "one pass over all training images.",
    "validation": "on images that were kept from the training: a test of it.",
}
"""A word in the form in which it is explained, and its meaning."""
ALSO = {
    "fleet mean": r"fleet's\W+mean",
    "held out": r"held-out",
    "importance": r"kept importance",
    "rank correlation": r"correlations?",
    "cluster": r"clusterings?",
    "study": r"studies",
    "uniform pruning": r"uniform",
}
"""Other forms of a word; a plural with an s needs none."""
_FORMS = {
    word: re.compile(
        rf"(?<![\w-])(?:{re.escape(word)}s?{'|' + ALSO[word] if word in ALSO else ''})(?![\w-])",
        re.IGNORECASE,
    )
    for word in WORDS
}


class FirstUses:
    """Which words of a page were not explained yet, from its top to its end."""

    def __init__(self) -> None:
        self._left = dict(_FORMS)

    def __call__(self, *texts: str) -> list[tuple[str, str]]:
        """Words that are used here for the first time with their meanings, in the order of use."""
        text = "\n".join(texts)
        places = {
            w: found.start() for w, form in self._left.items() if (found := form.search(text))
        }
        for word in places:
            del self._left[word]
        return [(word, WORDS[word]) for word in sorted(places, key=lambda w: places[w])]
