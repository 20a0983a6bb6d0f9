"""Names that a machine has until somebody gives it one: a device by such a name may be one of the
fleet that was measured under a wrong name, or several that share it."""

import polars as pl

MEASURED = r"device-[0-9a-f]{12}"
"""What measure.pyz calls a device that nobody named."""
_BOARDS = (
    r"raspberrypi|beaglebone|jetson|nano|odroid|orangepi|rock-?(pi|chip)|nvidia|imx\w*|qemu\w*"
)
_SYSTEMS = r"localhost|ubuntu|debian|fedora|armbian|alarm|android|linux|buildroot|openwrt"
_NOTHING = r"device|host|hostname|unknown|none|\(none\)|null|default|test|n/a|undefined"
_MADE_UP = r"(desktop|laptop|win)-[0-9a-z]{7,11}|(android|iphone|ipad)-[0-9a-f]{8,}|[0-9a-f]{12}"
_DEFAULT = (
    rf"(?i)^(?:{MEASURED}|(?:(?:{_BOARDS}|{_SYSTEMS})[0-9]?(?:-64)?|{_NOTHING})"
    rf"(?:\.local|\.localdomain|\.lan)?|{_MADE_UP})$"
)
_SHOWN = 5


class DefaultNames:
    """Counts device names that look like a default, and keeps the first few."""

    def __init__(self) -> None:
        self.count = 0
        self.first: tuple[str, ...] = ()

    def add(self, names: pl.Series) -> None:
        """Take names that are new to the fleet."""
        found = names.filter(names.str.contains(_DEFAULT))
        self.count += len(found)
        self.first = (*self.first, *found.head(_SHOWN - len(self.first)))
