"""Devices, and how long they take for each operator: measured, stored, looked up."""

from automc.latency_tables.device import Device
from automc.latency_tables.measure import Timing, measure_table, time_models
from automc.latency_tables.signature import Signature
from automc.latency_tables.store import ensure_table, load_table, open_table, save_table, table_path
from automc.latency_tables.table import Entry, LatencyTable, Overhead

__all__ = [
    "Device",
    "Entry",
    "LatencyTable",
    "Overhead",
    "Signature",
    "Timing",
    "ensure_table",
    "load_table",
    "measure_table",
    "open_table",
    "save_table",
    "table_path",
    "time_models",
]
