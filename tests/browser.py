"""A page in a headless Chromium, driven by Playwright, with what it said and what it asked for."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

from playwright.sync_api import Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = ["--disable-gpu", "--disable-quic", "--disable-sync"]  # besides those that Playwright gives

expect.set_options(timeout=20_000)  # five seconds are short on busy cores


@dataclass
class Tab:
    """A page, and what has come from it since it was opened."""

    page: Page
    console: list[str] = field(default_factory=list)  # of every kind: "error: ..."
    errors: list[str] = field(default_factory=list)  # exceptions that nothing caught
    requests: list[str] = field(default_factory=list)  # addresses


def find_browser() -> str | None:
    """The path of a Chromium or Chrome, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextlib.contextmanager
def browsing(browser: str) -> Iterator[Tab]:
    """An empty page in a fresh browser, which ends with the block."""
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=browser, args=OPTIONS) as chromium:
        tab = Tab(chromium.new_page(viewport={"width": 1100, "height": 900}))
        tab.page.on("console", lambda message: tab.console.append(f"{message.type}: {message.text}"))
        tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
        tab.page.on("request", lambda request: tab.requests.append(request.url))
        yield tab
