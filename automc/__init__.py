"""AutoMC: hardware-aware automatic model compression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automc.client import Client

__version__ = "0.1.0"
__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Client":  # imported where it is used first: this package itself stays light
        from automc.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
