"""A browser's window on a server, and what goes wrong in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.servers import Service

CHROMIUM = shutil.which("chromium")
"""A browser; None where this machine has none."""

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1200, "height": 850}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1200, "height": 850}},
    "narrow": {"color_scheme": "light", "viewport": {"width": 400, "height": 800}},
}


@contextmanager
def opened() -> Iterator[Browser]:
    """Yields a browser."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


class Visit:
    """A browser's window; what goes wrong in it is noted."""

    def __init__(self, browser: Browser, service: Service, look: str = "light") -> None:
        self.service = service
        self.context = browser.new_context(base_url=service.url, **LOOKS[look])
        self.page: Page = self.context.new_page()
        self.wrong: list[str] = []
        self.expected: tuple[str, ...] = ()
        self.page.on("console", lambda said: self._note(said.type, said.text))
        self.page.on("pageerror", lambda error: self._note("error", str(error)))
        self.page.on("request", lambda request: self._leaves(request.url))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(one in text for one in self.expected):
            self.wrong.append(text)

    def _leaves(self, url: str) -> None:
        if not url.startswith((self.service.url, "data:", "blob:")):
            self.wrong.append(f"a request to {url}")

    def sound(self) -> None:
        """Holds that the page shown has no serious fault and is not wider than its window."""
        expect(self.page.locator("[aria-busy=true]")).to_have_count(0)
        found = Axe().run(self.page).response["violations"]
        serious = [
            (one["id"], [node["target"] for node in one["nodes"]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], self.page.url
        root = "document.documentElement"
        assert self.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"), f"{self.page.url} is too wide"
