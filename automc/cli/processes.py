"""Starting this command line again, in a process of its own."""

from __future__ import annotations

import sys

AUTOMC = (sys.executable, "-P", "-m", "automc.cli")
"""Begins such a command. Without the folder one is in: a file there could be taken for one of Python's modules."""
