"""`python -m hdap` is the `hdap` command."""

import sys

from hdap.device.one_line import end_in_a_line


def main() -> None:
    """Entry point of the `hdap` script."""
    sys.exit(end_in_a_line("error", _run, "stopped by Ctrl-C"))


def _run() -> int:
    # not at the top: Ctrl-C while it is imported ends in a line too
    from hdap.fleet_data.wording import is_utf8

    odd = next((word for word in sys.argv[1:] if not is_utf8(word)), None)
    if odd is not None:
        print(f"error: words must be UTF-8, but got {odd!a}: rename it", file=sys.stderr)
        return 2
    from hdap.cli import main as run

    run()
    return 0


if __name__ == "__main__":
    main()
