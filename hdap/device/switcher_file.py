"""The switcher as the one file that travels with a bundle."""

from hdap.device import switcher
from hdap.device.standalone import standalone


def switcher_source() -> str:
    """`switcher.py` with what it imports of hdap in its place.

    Needs Python 3.9, numpy and onnxruntime, nothing of hdap.
    """
    return standalone(switcher.__file__)
