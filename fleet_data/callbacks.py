"""What long work calls while it runs."""

from collections.abc import Callable

Say = Callable[[str], None]
"""Takes one line for whoever waits."""
