"""The switcher as the one file that travels with a bundle."""

from hdap.measuring.device_file import standalone
from hdap.portfolio import switcher


def switcher_source() -> str:
    """`switcher.py` with what it imports of hdap in its place.

    Needs Python 3.9, numpy and onnxruntime, nothing of hdap.
    """
    return standalone(switcher.__file__)
