"""How long a device takes for each operator: measured, stored, looked up."""

from typing import TYPE_CHECKING

from automc.lazily import lazily

if TYPE_CHECKING:
    from automc.latency_tables.build import extend_table, measure_table
    from automc.latency_tables.energy import WithEnergy
    from automc.latency_tables.estimated import WithEstimates
    from automc.latency_tables.hardware import Estimate, Hardware
    from automc.latency_tables.measure import new_table
    from automc.latency_tables.overhead import Correction, Overhead, Whole
    from automc.latency_tables.signature import Signature
    from automc.latency_tables.simulated import Accelerator
    from automc.latency_tables.store import ensure_table, load_table, open_table, save_table, table_path
    from automc.latency_tables.table import Entry, LatencyTable
    from automc.latency_tables.targets import Target, open_target
    from automc.latency_tables.validation import Validation
else:
    __getattr__ = lazily(
        __name__,
        {
            "build": ["extend_table", "measure_table"],
            "energy": ["WithEnergy"],
            "estimated": ["WithEstimates"],
            "hardware": ["Estimate", "Hardware"],
            "measure": ["new_table"],
            "overhead": ["Correction", "Overhead", "Whole"],
            "signature": ["Signature"],
            "simulated": ["Accelerator"],
            "store": ["ensure_table", "load_table", "open_table", "save_table", "table_path"],
            "table": ["Entry", "LatencyTable"],
            "targets": ["Target", "open_target"],
            "validation": ["Validation"],
        },
    )

__all__ = [
    "Accelerator",
    "Correction",
    "Entry",
    "Estimate",
    "Hardware",
    "LatencyTable",
    "Overhead",
    "Signature",
    "Target",
    "Validation",
    "Whole",
    "WithEnergy",
    "WithEstimates",
    "ensure_table",
    "extend_table",
    "load_table",
    "measure_table",
    "new_table",
    "open_table",
    "open_target",
    "save_table",
    "table_path",
]
