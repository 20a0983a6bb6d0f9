"""`python -m hdap` is the `hdap` command."""

from hdap.cli import main

if __name__ == "__main__":
    main()
