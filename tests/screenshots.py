"""Take screenshots of each page, light, dark and on a phone.

Usage: python -m tests.screenshots FOLDER
"""

import sys
import tempfile
from pathlib import Path

from harness import Site, http, wait_until
from tests.browser import Browser, browser

CONFIG = """
[worker]
stop_grace = 1s
[application:checksum]
exact.type = org.example.instrument.file
suffix.subject = .dat
command = sh -c 'echo "sha256 of $1"; printf "%s" "$1" | sha256sum' checksum {subject}
[application:reconstruct]
exact.type = org.example.instrument.scan
concurrency = 1
command = sh -c 'for n in 1 2 3 4; do echo "::progress $((n * 10)) reading file $n of 10"; printf "\\033[32mfile %s\\033[0m: \\033[1m2048\\033[0m frames\\n" "$n"; done; echo "frame 17 of file 4 is dark" >&2; sleep 600'
kill_after = 1s
[application:calibrate]
exact.type = org.example.instrument.scan
suffix.subject = 04
command = sh -c 'echo "reading $1"; echo "cannot read frame 2047 of $1: unexpected end of file" >&2; exit 3' calibrate {subject}
"""  # noqa: E501 - a command is one line
SCREENS = {
    "light": ("light", 1080, 600),
    "dark": ("dark", 1080, 600),
    "phone": ("light", 390, 844),
}
SOURCE = "/microscope-7"
_MAX_HEIGHT = 1400


def main() -> None:
    """Take the screenshots."""
    [folder] = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, browser() as window:
        site = Site(Path(place))
        site.configure(CONFIG)
        try:
            site.start_standalone()
            pages = _pages(site)
            for screen, (scheme, width, height) in SCREENS.items():
                window.prefer(scheme)
                window.resize(width, height)
                for name, address in pages.items():
                    window.open(f"{site.url}{address}")
                    window.wait_text("#live", "live")
                    window.resize(width, max(height, min(window.height(), _MAX_HEIGHT)))
                    _save(window, folder / f"{name}-{screen}.png")
        finally:
            site.kill_all()


def _pages(site: Site) -> dict[str, str]:
    """Create sample events and return the paths of the pages to show."""
    http(f"{site.url}/dispatch/add/2/2")
    for number in range(1, 4):
        _post(site, "file", f"scan-{number:02}.dat", number)
    failed = _post(site, "scan", "scan-04", 4)
    site.wait_status(_post(site, "file", "scan-05.dat", 5), "succeeded")
    for number in (6, 7):
        _post(site, "scan", f"scan-{number:02}", number)
    site.wait_status(_post(site, "log", "doors", 1), "unmatched")
    run = wait_until(lambda: _run_at_40_percent(site, failed), "progress of 40 %")
    return {
        "events": "/",
        "event": f"/events/{failed}",
        "run": f"/runs/{run}",
        "applications": "/applications",
        "workers": "/workers",
    }


def _run_at_40_percent(site: Site, event: str) -> str | None:
    runs = site.status(event)["runs"]
    found = [run for run in runs if run["progress"] and run["progress"]["percent"] == 40]
    return str(found[0]["uuid"]) if found else None


def _post(site: Site, kind: str, subject: str, number: int) -> str:
    response = site.post(
        type=f"org.example.instrument.{kind}",
        source=SOURCE,
        subject=subject,
        id=f"{kind}-{number}",
        data={"path": f"/data/{subject}", "frames": 2048},
    )
    return str(response.json["uuid"])


def _save(window: Browser, file: Path) -> None:
    assert window.driver.save_screenshot(file), file


if __name__ == "__main__":
    main()
