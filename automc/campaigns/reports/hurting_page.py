"""Which layers hurt, as one HTML page in the report's style."""

from __future__ import annotations

from collections.abc import Sequence

from automc.campaigns.evaluated import Unit
from automc.campaigns.hurting import Hurt, say_option
from automc.campaigns.reports.hurting import heat, looked_at, most, say_harm, say_saved
from automc.campaigns.reports.page import Tile, plot_html, render_page
from automc.campaigns.reports.table import sentence
from automc.devices import Device
from automc.sensitivities import Stored


def render_sensitivities(
    name: str, stored: Stored, hurts: Sequence[Hurt], units: Sequence[Unit], device: Device
) -> str:
    """Returns a page that loads nothing from anywhere.

    Args:
        name: what the network is called.
        stored: the sensitivities.
        hurts: their axes, which harms most first.
        units: the network's.
        device: what it is to run on.
    """
    widest = max((one.harm for one in hurts), default=0.0) or 1.0
    return render_page(
        "sensitivity.html.j2",
        name=name,
        found=stored.found,
        path=stored.path,
        device=device,
        said=most(stored.found.axes),
        looked_at=sentence(looked_at(stored.found, stored.spent)),
        tiles=_tiles(hurts),
        plot=plot_html(heat(stored.found.axes, units), "hurting", first=True),
        lines=[
            {
                "unit": one.axis.unit,
                "choice": say_option(one.axis, one.option),
                "at": round(100 * one.harm / widest, 2),
                "harm": say_harm(one.harm, one.axis.measured[one.option]),
                "macs": f"{100 * one.macs_share:.1f}%",
                "saves": say_saved(one),
                "per_percent": "" if one.per_percent is None else say_harm(one.per_percent),
            }
            for one in hurts
        ],
    )


def _tiles(hurts: Sequence[Hurt]) -> list[Tile]:
    def tile(what: str, one: Hurt) -> Tile:
        per = "" if one.per_percent is None else f", {say_harm(one.per_percent)} for each percent"
        note = f"{say_option(one.axis, one.option)}: harm {say_harm(one.harm)}, saves {say_saved(one)}{per}"
        return Tile(what, one.axis.unit, note)

    tiles = [tile("Hurts most", hurts[0]), tile("Hurts least", hurts[-1])]
    # bytes are no share of what MACs are
    saving = [one for one in hurts if one.per_percent is not None and one.metric != "size"]
    saving.sort(key=lambda one: one.per_percent or 0.0)
    return [*tiles, tile("Least harm for what it saves", saving[0])] if saving else tiles
