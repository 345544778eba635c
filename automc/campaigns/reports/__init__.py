"""What people look at after a search: tables, plots and pages."""

from automc.campaigns.reports.hurting_page import render_sensitivities
from automc.campaigns.reports.page import render_html
from automc.campaigns.reports.rungs import chance_claim
from automc.campaigns.reports.table import render_table
from automc.campaigns.reports.validation_page import render_validation
from automc.campaigns.reports.verdict import claims, verdict

__all__ = [
    "chance_claim",
    "claims",
    "render_html",
    "render_sensitivities",
    "render_table",
    "render_validation",
    "verdict",
]
