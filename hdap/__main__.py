"""`python -m hdap` is the `hdap` command."""

import sys

from hdap.device.one_line import end_in_a_line


def main() -> None:
    """Entry point of the `hdap` script."""
    sys.exit(end_in_a_line("error", _run, "stopped by Ctrl-C"))


def _run() -> int:
    # not at the top: Ctrl-C while it is imported ends in a line too
    from hdap.cli import main as run

    run()
    return 0


if __name__ == "__main__":
    main()
