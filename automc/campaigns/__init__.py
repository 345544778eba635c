"""Searches from their configuration to their report."""

from typing import TYPE_CHECKING

from automc.lazily import lazily

if TYPE_CHECKING:
    from automc.campaigns.calibration import calibrate
    from automc.campaigns.config import FineTune, SearchConfig, load_config
    from automc.campaigns.drive import run_search
    from automc.campaigns.journal import unfinished
    from automc.campaigns.launch import output_folder
    from automc.campaigns.reports import render_html, render_table, render_validation
    from automc.campaigns.result import SearchResult
    from automc.campaigns.setup import Setup, Subject, read_subject, set_up
    from automc.campaigns.validation import Point, validate
else:
    __getattr__ = lazily(
        __name__,
        {
            "calibration": ["calibrate"],
            "config": ["FineTune", "SearchConfig", "load_config"],
            "drive": ["run_search"],
            "journal": ["unfinished"],
            "launch": ["output_folder"],
            "reports": ["render_html", "render_table", "render_validation"],
            "result": ["SearchResult"],
            "setup": ["Setup", "Subject", "read_subject", "set_up"],
            "validation": ["Point", "validate"],
        },
    )

__all__ = [
    "FineTune",
    "Point",
    "SearchConfig",
    "SearchResult",
    "Setup",
    "Subject",
    "calibrate",
    "load_config",
    "output_folder",
    "read_subject",
    "render_html",
    "render_table",
    "render_validation",
    "run_search",
    "set_up",
    "unfinished",
    "validate",
]
