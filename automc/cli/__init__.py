"""The command line."""

from automc.cli.app import main

__all__ = ["main"]
