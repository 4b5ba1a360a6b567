"""Entry point; lazy, so that pool workers that re-run it import nothing of the daemon."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from hotbandd.cli.app import run

    run()


if __name__ == "__main__":
    main()
