"""What a policy costs, without building it, and keeping a budget."""

from automc.costs.budget import Budget
from automc.costs.forecast import Forecast, forecast
from automc.costs.model import METRICS, Cost, CostModel
from automc.costs.projection import Projection
from automc.costs.reach import check_reachable
from automc.costs.walk import Walk

__all__ = ["METRICS", "Budget", "Cost", "CostModel", "Forecast", "Projection", "Walk", "check_reachable", "forecast"]
