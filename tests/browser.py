"""Debian's Chromium, controlled by Selenium."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from selenium.common.exceptions import (
    StaleElementReferenceException,
    TimeoutException,
    WebDriverException,
)
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from harness import DEADLINE
from tests.servers import absent

T = TypeVar("T")

_NO_SCRIPTS = {"profile.managed_default_content_settings.javascript": 2}


@dataclass(frozen=True)
class Browser:
    """A browser window."""

    driver: Chrome

    def open(self, url: str) -> None:
        """Load a URL."""
        self.driver.get(url)

    def wait(self, condition: Callable[[], T], subject: str, timeout: float = DEADLINE) -> T:
        """Wait until a condition returns something true, and return it."""
        # The page may replace an element while it is being examined.
        changing = (WebDriverException,)
        waiting = WebDriverWait(self.driver, timeout, 0.1, ignored_exceptions=changing)

        def met(_: Chrome) -> T:
            return condition()

        try:
            return waiting.until(met)
        except TimeoutException as exc:
            raise AssertionError(
                f"{subject} not found; the page shows:\n{self.text('body')}"
            ) from exc

    def all(self, css: str) -> list[WebElement]:
        """Return all matching elements."""
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def text(self, css: str) -> str:
        """Return the visible text of the first matching element."""
        return self.driver.find_element(By.CSS_SELECTOR, css).text

    def wait_text(self, css: str, *parts: str) -> WebElement:
        """Wait for an element that contains all these texts, and return it."""

        def found() -> WebElement | None:
            return next((e for e in self.all(css) if all(p in e.text for p in parts)), None)

        element = self.wait(found, f"{css} with {', '.join(parts)}")
        assert element
        return element

    def press(self, label: str, within: str = "main") -> None:
        """Press a button with the Enter key once, when it is there."""

        def pressed() -> bool:
            button = self.wait_text(f"{within} button", label)
            try:
                button.send_keys(Keys.ENTER)
            except StaleElementReferenceException:  # a live refresh has replaced it before
                return False
            except WebDriverException:  # the page it leads to has replaced it since
                pass
            return True

        self.wait(pressed, f"button {label}")

    def hold(self, label: str, within: str = "main") -> ActionChains:
        """Press the mouse on a button without releasing it."""
        actions = ActionChains(self.driver)
        actions.click_and_hold(self.wait_text(f"{within} button", label)).perform()
        return actions

    def choose(self, name: str, text: str) -> None:
        """Replace the text of a form field, or select an option."""
        field = self.driver.find_element(By.CSS_SELECTOR, f"[name={name}]")
        if field.tag_name != "select":
            field.clear()
        field.send_keys(text)

    def mark(self) -> None:
        """Set a mark that a reload would clear."""
        self.driver.execute_script("window.marked = true")

    def marked(self) -> bool:
        """Return True if the page was not reloaded since `mark`."""
        return bool(self.driver.execute_script("return window.marked === true"))

    def console(self) -> list[str]:
        """Return the console messages since the last call."""
        log: list[dict[str, str]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in log]

    def prefer(self, scheme: str) -> None:
        """Emulate the system's colour scheme: light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def height(self) -> int:
        """Return the height of the whole page in pixels."""
        return int(self.driver.execute_script("return document.documentElement.scrollHeight"))

    def resize(self, width: int, height: int) -> None:
        """Emulate a screen of this size, without scroll bars."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})


@contextmanager
def browser(*, scripts: bool = True) -> Iterator[Browser]:
    """Open a browser window; without a browser, skip the test, or fail it in CI."""
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    for name, path in programs.items():
        if path is None:
            absent(name, FileNotFoundError("it is not installed"))
    options = ChromeOptions()
    options.binary_location = str(programs["chromium"])
    for argument in ("--headless=new", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox does not run as root.
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if not scripts:
        options.add_experimental_option("prefs", _NO_SCRIPTS)
    driver = Chrome(options, ChromeService(programs["chromedriver"]))
    try:
        driver.set_page_load_timeout(DEADLINE)
        yield Browser(driver)
    finally:
        driver.quit()


def violations(of: Browser, script: str) -> list[Any]:
    """Return the violations that axe finds on the page."""
    of.driver.execute_script(script)
    found: list[Any] = of.driver.execute_async_script(
        "const done = arguments[0]; axe.run().then((found) => done(found.violations))"
    )
    return found
