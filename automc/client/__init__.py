"""A workspace on a server (``automc serve``)."""

from automc.client.client import Client

__all__ = ["Client"]
