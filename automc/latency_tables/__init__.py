"""How long a device takes for each operator: measured, stored, looked up."""

from automc.latency_tables.energy import WithEnergy
from automc.latency_tables.hardware import Estimate, Hardware
from automc.latency_tables.measure import measure_table
from automc.latency_tables.signature import Signature
from automc.latency_tables.simulated import Accelerator
from automc.latency_tables.store import ensure_table, load_table, open_table, save_table, table_path
from automc.latency_tables.table import Entry, LatencyTable, Overhead
from automc.latency_tables.targets import Target, open_target
from automc.latency_tables.validation import Validation

__all__ = [
    "Accelerator",
    "Entry",
    "Estimate",
    "Hardware",
    "LatencyTable",
    "Overhead",
    "Signature",
    "Target",
    "Validation",
    "WithEnergy",
    "ensure_table",
    "load_table",
    "measure_table",
    "open_table",
    "open_target",
    "save_table",
    "table_path",
]
