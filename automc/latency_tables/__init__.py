"""Devices, and how long they take for each operator: measured, stored, looked up."""

from automc.latency_tables.bench import Bench, LocalBench
from automc.latency_tables.device import Device
from automc.latency_tables.hardware import Estimate, Hardware
from automc.latency_tables.measure import Timing, measure_table, time_models
from automc.latency_tables.signature import Signature
from automc.latency_tables.store import ensure_table, load_table, open_table, save_table, table_path
from automc.latency_tables.table import Entry, LatencyTable, Overhead
from automc.latency_tables.targets import open_target
from automc.latency_tables.validation import Validation

__all__ = [
    "Bench",
    "Device",
    "Entry",
    "Estimate",
    "Hardware",
    "LatencyTable",
    "LocalBench",
    "Overhead",
    "Signature",
    "Timing",
    "Validation",
    "ensure_table",
    "load_table",
    "measure_table",
    "open_table",
    "open_target",
    "save_table",
    "table_path",
    "time_models",
]
