"""Who evaluates: this process, or actors on a Ray cluster, behind one contract."""

from automc.campaigns.workers import settings as settings  # before anything here imports Ray
from automc.campaigns.workers._base import Job, Outcome, Work, Workers
from automc.campaigns.workers.local import LocalWorkers
from automc.campaigns.workers.opening import check_compute, open_workers

__all__ = ["Job", "LocalWorkers", "Outcome", "Work", "Workers", "check_compute", "open_workers"]
