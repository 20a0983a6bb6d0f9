"""The controller as the one file that travels."""

from hdap.device import controller
from hdap.device.standalone import standalone


def controller_source() -> str:
    """`controller.py` with what it imports from `measure.py` in its place.

    Needs Python 3.9 and numpy, nothing of hdap.
    """
    return standalone(controller.__file__)
