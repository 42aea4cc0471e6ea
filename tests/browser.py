"""A real browser: Debian's Chromium, driven as a person would use it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.support import absent

T = TypeVar("T")

_NO_SCRIPTS = {"profile.managed_default_content_settings.javascript": 2}


@dataclass(frozen=True)
class Browser:
    """One window."""

    driver: Chrome

    def open(self, url: str) -> None:
        """Go to an address."""
        self.driver.get(url)

    def wait(self, condition: Callable[[], T], what: str, timeout: float = 30.0) -> T:
        """Wait until a condition gives something true, on a page that may change under it."""
        changing = (WebDriverException,)  # of a node that goes while it is looked at, among others
        waiting = WebDriverWait(self.driver, timeout, 0.1, ignored_exceptions=changing)

        def met(_: Chrome) -> T:
            return condition()

        def in_vain() -> str:
            return f"waited in vain for {what}; the page says:\n{self.text('body')}"

        try:
            return waiting.until(met)
        except TimeoutException as exc:
            raise AssertionError(in_vain()) from exc

    def all(self, css: str) -> list[WebElement]:
        """All elements that there are."""
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def text(self, css: str) -> str:
        """What the first such element shows."""
        return self.driver.find_element(By.CSS_SELECTOR, css).text

    def wait_text(self, css: str, *parts: str) -> WebElement:
        """The first such element that shows all of these, once there is one."""

        def found() -> WebElement | None:
            return next((e for e in self.all(css) if all(p in e.text for p in parts)), None)

        element = self.wait(found, f"{css} with {', '.join(parts)}")
        assert element
        return element

    def press(self, word: str, within: str = "main") -> None:
        """Press the button that says so, once it is there."""

        def pressed() -> bool:
            self.wait_text(f"{within} button", word).click()
            return True

        self.wait(pressed, f"the button {word}")

    def choose(self, name: str, text: str) -> None:
        """Fill in a field of a form, in the place of what it holds; or choose in it."""
        field = self.driver.find_element(By.CSS_SELECTOR, f"[name={name}]")
        if field.tag_name != "select":
            field.clear()
        field.send_keys(text)

    def mark(self) -> None:
        """Leave a mark that a reload would wipe out."""
        self.driver.execute_script("window.marked = true")

    def marked(self) -> bool:
        """Whether the mark is still there."""
        return bool(self.driver.execute_script("return window.marked === true"))

    def complaints(self) -> list[str]:
        """What the browser's console has said since it was last asked."""
        log: list[dict[str, str]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in log]

    def prefer(self, scheme: str) -> None:
        """Be of a system that is set to light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def height(self) -> int:
        """How tall the whole page is."""
        return int(self.driver.execute_script("return document.documentElement.scrollHeight"))

    def resize(self, width: int, height: int) -> None:
        """Be a screen of this size, without scroll bars."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})


@contextmanager
def browser(*, scripts: bool = True) -> Iterator[Browser]:
    """A browser's window; the test is skipped where there is none, and fails for it in CI."""
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    for name, path in programs.items():
        if path is None:
            absent(name, FileNotFoundError("it is not installed"))
    options = ChromeOptions()
    options.binary_location = str(programs["chromium"])
    for argument in ("--headless=new", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's own refuses to be root's
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if not scripts:
        options.add_experimental_option("prefs", _NO_SCRIPTS)
    driver = Chrome(options, ChromeService(programs["chromedriver"]))
    try:
        driver.set_page_load_timeout(30)
        yield Browser(driver)
    finally:
        driver.quit()


def violations(of: Browser, script: str) -> list[Any]:
    """What axe finds on the page."""
    of.driver.execute_script(script)
    found: list[Any] = of.driver.execute_async_script(
        "const done = arguments[0]; axe.run().then((found) => done(found.violations))"
    )
    return found
