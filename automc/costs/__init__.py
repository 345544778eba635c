"""What a policy costs, without building it, and keeping a budget."""

from typing import TYPE_CHECKING

from automc.lazily import lazily

if TYPE_CHECKING:
    from automc.costs.budget import Budget
    from automc.costs.cost import METRICS, Cost
    from automc.costs.forecasts import Forecast, forecast
    from automc.costs.model import CostModel
    from automc.costs.projection import Projection
    from automc.costs.reach import check_reachable
    from automc.costs.walk import Walk
else:
    __getattr__ = lazily(
        __name__,
        {
            "budget": ["Budget"],
            "forecasts": ["Forecast", "forecast"],
            "cost": ["METRICS", "Cost"],
            "model": ["CostModel"],
            "projection": ["Projection"],
            "reach": ["check_reachable"],
            "walk": ["Walk"],
        },
    )

__all__ = ["METRICS", "Budget", "Cost", "CostModel", "Forecast", "Projection", "Walk", "check_reachable", "forecast"]
