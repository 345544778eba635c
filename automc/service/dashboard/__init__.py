"""The dashboard: thin pages, whose scripts ask the API as any other program does."""

from automc.service.dashboard.install import install

__all__ = ["install"]
