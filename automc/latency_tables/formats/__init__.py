"""Latency tables as other programs write and read them: one file a format."""

from automc.latency_tables.formats.blocks import read_blocks
from automc.latency_tables.formats.csv_file import write_csv
from automc.latency_tables.formats.haq import read_haq

__all__ = ["read_blocks", "read_haq", "write_csv"]
