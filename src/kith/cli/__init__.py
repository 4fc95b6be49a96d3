"""The command line: ``kith``. It starts processes and does an operator's work; it decides nothing."""

from kith.cli.app import main

__all__ = ["main"]
