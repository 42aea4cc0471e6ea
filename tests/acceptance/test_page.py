"""The web page, with a real browser and a running standalone."""

import json
import shlex
import urllib.request
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from harness import Response, Site, http
from tests.browser import Browser, browser, violations

CONFIG = """
[worker]
stop_grace = 1s
[application:gates]
exact.type = gates
command = sh -c 'echo "::progress 40 at the gate"; for gate do until test -e "$gate"; do sleep 0.05; done; echo "passed $gate"; done' gates {data.first} {data.second}
[application:nap]
exact.type = nap
command = sleep 60
kill_after = 1s
[application:broken]
exact.type = broken
command = sh -c 'echo "cannot read file 7" >&2; exit 3'
[application:quick]
exact.type = quick
command = echo done
[application:again]
exact.type = again
retries = 1
retry_delay = 100ms
retry_exit_codes = 75
command = sh -c 'until test -e "$1"; do sleep 0.05; done; echo "attempt $DISPATCHER_ATTEMPT"; test "$DISPATCHER_ATTEMPT" -ge 2 || exit 75; until test -e "$2"; do sleep 0.05; done' again {data.first} {data.second}
[application:colours]
exact.type = colours
command = sh -c 'printf "\\033[32mgreen\\033[0m grass\\n"; until test -e "$1"; do sleep 0.05; done; printf "\\033[1;31mred\\033[0m Roses\\n" >&2' colours {data.gate}
[application:flaky]
exact.type = flaky
command = sh -c 'echo "cannot read file $1" >&2; test -e "$2"' flaky {id} {data.gate}
[application:idle]
exact.type = idle
command = echo done
"""  # noqa: E501 - a command is one line
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
MARKUP = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A standalone shared by the tests of this file, which use separate events."""
    site = Site(tmp_path_factory.mktemp("page"))
    site.configure(CONFIG)
    try:
        site.start_standalone()
        yield site
    finally:
        site.kill_all()


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    """A browser window."""
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def scriptless() -> Iterator[Browser]:
    """A browser window with JavaScript disabled."""
    with browser(scripts=False) as found:
        yield found


def posted(site: Site, kind: str, **attributes: object) -> str:
    """Post an event of this type and return its uuid."""
    response = site.post(type=kind, **attributes)
    assert response.status == 202, response.text
    return str(response.json["uuid"])


def only_run(site: Site, event: str, *wanted: str) -> str:
    """Wait until an event has one of these statuses, and return the uuid of its only run."""
    [run] = [run for run in site.wait_status(event, *wanted)["runs"] if not run["superseded"]]
    return str(run["uuid"])


def shown(url: str) -> Response:
    """Request a page as a browser does."""
    return http(url, Accept=HTML)


def gated(site: Site, kind: str, folder: Path, **attributes: object) -> tuple[str, Path, Path]:
    """Post an event; return its uuid and the two files that its run waits for in turn."""
    first, second = folder / "first", folder / "second"
    data = {"first": str(first), "second": str(second)}
    return posted(site, kind, data=data, **attributes), first, second


def test_an_event_is_watched_to_its_end_without_a_reload(
    standalone: Site, window: Browser, tmp_path: Path
) -> None:
    window.open(f"{standalone.url}/")
    window.mark()
    event, first, second = gated(standalone, "gates", tmp_path, subject="watched")
    row = f"#event-{event}"
    window.wait_text(row, "watched", "gates", "running", "40 %")
    first.touch()
    second.touch()
    window.wait_text(row, "gates", "succeeded")
    assert window.marked()


def test_output_is_followed_live(standalone: Site, window: Browser, tmp_path: Path) -> None:
    event, first, second = gated(standalone, "gates", tmp_path)
    run = only_run(standalone, event, "running")
    window.open(f"{standalone.url}/runs/{run}")
    window.mark()
    window.wait_text("#facts", "at the gate", "40 %")
    first.touch()
    window.wait_text("#output", f"passed {first}")
    assert f"passed {second}" not in window.text("#output")
    second.touch()
    window.wait_text("#output", f"passed {first}", f"passed {second}")
    window.wait_text("h1", "succeeded")
    assert window.text("#output").count(f"passed {first}") == 1
    assert window.marked()


def test_the_output_of_the_next_attempt_is_followed(
    standalone: Site, window: Browser, tmp_path: Path
) -> None:
    event, first, second = gated(standalone, "again", tmp_path)
    run = only_run(standalone, event, "running")
    window.open(f"{standalone.url}/runs/{run}")
    window.mark()
    first.touch()
    window.wait_text("#output", "attempt 2")
    assert "attempt 1" not in window.text("#output")
    second.touch()
    window.wait_text("h1", "succeeded")
    assert window.marked()


def test_view_settings_survive_a_refresh(standalone: Site, window: Browser, tmp_path: Path) -> None:
    event, first, second = gated(standalone, "gates", tmp_path)
    run = only_run(standalone, event, "running")
    window.open(f"{standalone.url}/runs/{run}")
    wrap = window.wait_text("label", "wrap lines").find_element(By.ID, "wrap")
    wrap.click()
    first.touch()
    second.touch()
    window.wait_text("h1", "succeeded")
    assert window.driver.switch_to.active_element == wrap
    assert not wrap.is_selected()
    assert not window.all("#output.wrap")


def test_a_closed_section_stays_closed(standalone: Site, window: Browser) -> None:
    event = posted(standalone, "nap", data={"a": 1})
    only_run(standalone, event, "running")
    window.open(f"{standalone.url}/events/{event}")
    window.wait_text("summary", "JSON, 8 Bytes").click()
    assert http(f"{standalone.url}/events/{event}/cancel", b"").status == 202
    window.wait_text("#runs", "cancelled")
    assert (
        not window.wait_text("summary", "JSON, 8 Bytes")
        .find_element(By.XPATH, "..")
        .get_attribute("open")
    )


def test_output_has_its_colours_and_is_searched(
    standalone: Site, window: Browser, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    event = posted(standalone, "colours", data={"gate": str(gate)})
    run = only_run(standalone, event, "running")
    window.open(f"{standalone.url}/runs/{run}")
    window.wait_text("#output .f2", "green")
    gate.touch()
    red = window.wait_text("#output .stderr .f1", "red")
    assert red.value_of_css_property("font-weight") == "700"
    window.wait_text("h1", "succeeded")
    for opened_again in (False, True):
        if opened_again:
            window.open(f"{standalone.url}/runs/{run}")
        window.choose("find", "GR")
        window.wait_text("#find output", "1 of 2")
        assert highlighted(window) == ["gr", "gr"]
        window.choose("find", "grASS\n")
        window.wait_text("#find output", "1 of 1")
        assert highlighted(window) == ["grass"]
    window.choose("find", "?")
    window.wait_text("#find output", "no matches")
    window.wait_text(".tools a", "stderr").click()
    window.wait(lambda: "stream=stderr" in window.driver.current_url, "stderr alone")
    assert window.text("#output") == "red Roses"


def highlighted(window: Browser) -> list[str]:
    """Return the highlighted search results."""
    found: list[str] = window.driver.execute_script(
        "return [...CSS.highlights.get('found')].map((range) => range.toString())"
    )
    return found


KEEP_TEXTS = """
    window.texts = "";
    const main = document.querySelector("main");
    new MutationObserver(() => { window.texts += main.textContent; })
        .observe(main, {childList: true, characterData: true, subtree: true});
"""
"""Keeps what the page says, even if only for a moment."""


def test_data_is_copied(standalone: Site, window: Browser) -> None:
    event = posted(standalone, "unwanted", data={"path": "/data/x", "frames": [1]})
    window.open(f"{standalone.url}/events/{event}")
    window.driver.execute_script(KEEP_TEXTS)
    window.press("Copy")
    window.wait(lambda: "Copied" in window.driver.execute_script("return texts"), "Copied")
    window.open(f"{standalone.url}/")
    window.choose("text", Keys.CONTROL + "v")
    field = window.driver.find_element(By.NAME, "text").get_attribute("value")
    assert json.loads(str(field)) == {"path": "/data/x", "frames": [1]}


def test_an_event_is_edited_and_replayed(standalone: Site, window: Browser) -> None:
    event = posted(standalone, "quikc", subject="misspelt")
    standalone.wait_status(event, "unmatched")
    window.open(f"{standalone.url}/events/{event}")
    window.driver.find_element(By.PARTIAL_LINK_TEXT, "Edit and replay").click()
    window.wait_text("h1", "Edit and replay")
    text = window.driver.find_element(By.NAME, "sent")
    copy = json.loads(str(text.get_attribute("value")))
    assert (copy["type"], copy["subject"], copy["id"] != "") == ("quikc", "misspelt", True)
    for invalid, kind in ((True, ""), (False, "quick")):
        text = window.driver.find_element(By.NAME, "sent")
        text.clear()
        text.send_keys(json.dumps({**copy, "type": kind}))
        window.press("Send")
        if invalid:
            window.wait_text(".reason", "/type")
    window.wait_text("#runs", "quick", "succeeded")
    assert window.driver.current_url != f"{standalone.url}/events/{event}"
    assert standalone.status(event)["status"] == "unmatched"


def test_all_that_match_a_filter_are_replayed(standalone: Site, window: Browser) -> None:
    events = [posted(standalone, "quick", subject="together", id=f"t{n}") for n in range(3)]
    other = posted(standalone, "quick", subject="alone")
    for event in (*events, other):
        standalone.wait_status(event, "succeeded")
    window.open(f"{standalone.url}/?text=together")
    window.driver.find_element(By.NAME, "all").click()
    window.press("Replay…")
    window.wait_text("h1", "Replay 3 events?")
    window.press("Yes, replay 3")
    window.wait_text("h1", "Replayed 3 events")
    for event in events:
        assert len(standalone.wait_status(event, "succeeded")["runs"]) == 2
    assert len(standalone.status(other)["runs"]) == 1


def test_similar_failures_are_retried_together(
    standalone: Site, window: Browser, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    data = {"gate": str(gate)}
    events = [posted(standalone, "flaky", id=f"7{n}", data=data) for n in range(3)]
    for event in events:
        standalone.wait_status(event, "failed")
    window.open(f"{standalone.url}/applications")
    row = window.wait_text("#failures tr", "flaky", "cannot read file #", "3")
    gate.touch()
    row.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    window.wait_text("h1", "Retry 3 runs?")
    window.press("Yes, retry 3")
    window.wait_text("h1", "Retried 3 runs")
    for event in events:
        standalone.wait_status(event, "succeeded")


def test_a_sleeping_run_is_cancelled_and_retried(standalone: Site, window: Browser) -> None:
    event = posted(standalone, "nap")
    run = only_run(standalone, event, "running")
    window.open(f"{standalone.url}/runs/{run}")
    window.press("Cancel")
    window.wait_text("h1", "cancelled")
    window.press("Retry")
    window.wait_text("h1", "running")
    window.wait_text(".tabs", "2")
    window.press("Cancel")
    standalone.wait_status(event, "cancelled")


def test_a_click_is_not_lost_to_an_update(standalone: Site, window: Browser) -> None:
    event = posted(standalone, "nap")
    run = only_run(standalone, event, "running")
    window.open(f"{standalone.url}/runs/{run}")
    press = window.hold("Cancel")
    assert http(f"{standalone.url}/runs/{run}/cancel", b"").status == 202
    standalone.wait_status(event, "cancelled")
    window.wait_text("#live", "updates paused")
    assert "Cancel" in window.text("main")
    press.release().perform()
    window.wait_text("main", "already ended")


def test_a_failed_run_is_found_by_state_and_text(standalone: Site, window: Browser) -> None:
    event = posted(standalone, "broken", subject="the Lost scan.dat")
    other = posted(standalone, "broken", subject="another")
    for each in (event, other):
        standalone.wait_status(each, "failed")
    window.open(f"{standalone.url}/")
    window.choose("state", "failed")
    window.choose("text", "lost SCAN")
    window.press("Filter")
    window.wait(lambda: "text=lost" in window.driver.current_url, "the filtered page")
    assert [row.get_attribute("id") for row in window.all("#events tbody tr")] == [f"event-{event}"]
    window.driver.find_element(By.PARTIAL_LINK_TEXT, "broken").click()
    window.wait_text("#attempt", "exit code", "3")
    window.wait_text("#output", "cannot read file 7")


def test_an_event_is_replayed(standalone: Site, window: Browser) -> None:
    event = posted(standalone, "quick")
    first = only_run(standalone, event, "succeeded")
    window.open(f"{standalone.url}/events/{event}")
    window.press("Replay")
    window.wait_text("#runs", "superseded by a replay")
    assert only_run(standalone, event, "succeeded") != first


def test_work_of_a_paused_application_waits_until_it_is_resumed(
    standalone: Site, window: Browser
) -> None:
    window.open(f"{standalone.url}/applications")
    window.press("Pause", "#application-idle")
    window.wait_text("#application-idle", "paused")
    event = posted(standalone, "idle")
    window.open(f"{standalone.url}/workers")
    window.wait_text("tr", "idle", "application paused")
    window.open(f"{standalone.url}/applications")
    window.press("Resume", "#application-idle")
    standalone.wait_status(event, "succeeded")


def test_a_first_start_suggests_commands(site: Site, window: Browser) -> None:
    site.start_standalone()
    window.open(f"{site.url}/")
    assert f"curl {site.url}/dispatch/add/2/2" in window.text("main")
    command = window.all("main pre")[1].text
    [url] = [word for word in shlex.split(command) if word.startswith(site.url)]
    [event] = [word for word in shlex.split(command) if word.startswith("{")]
    window.mark()
    assert http(url, event.encode(), Content_Type="application/cloudevents+json").status == 202
    window.wait_text("#events", "unmatched")
    assert window.marked()


def test_the_page_works_without_javascript(standalone: Site, scriptless: Browser) -> None:
    event = posted(standalone, "nap", subject="without scripts")
    run = only_run(standalone, event, "running")
    scriptless.open(f"{standalone.url}/")
    assert not scriptless.driver.find_element(By.ID, "live").is_displayed()
    scriptless.choose("text", "without scripts")
    scriptless.press("Filter")
    scriptless.wait_text(f"#event-{event} .chip", "nap").click()
    scriptless.wait(lambda: run in scriptless.driver.current_url, "the run's page")
    scriptless.press("Cancel")
    standalone.wait_status(event, "cancelled")
    scriptless.open(f"{standalone.url}/runs/{run}")
    assert "cancelled" in scriptless.text("h1")


def test_event_content_is_escaped(standalone: Site, window: Browser) -> None:
    data = {"text": f"{MARKUP}\x00\x1b[31m\u202e</pre>"}
    event = posted(standalone, MARKUP, id=MARKUP, subject=f"{MARKUP}'\"", data=data)
    window.console()
    window.open(f"{standalone.url}/?text={MARKUP}")
    assert window.text(f"#event-{event}").count(MARKUP) == 2
    assert window.driver.find_element(By.NAME, "text").get_attribute("value") == MARKUP
    window.open(f"{standalone.url}/events/{event}")
    assert window.text("dl.facts").count(MARKUP) == 3
    assert json.loads(window.text("pre")) == data
    window.all("summary")[-2].click()
    window.wait_text("pre", MARKUP, '"specversion"')
    assert window.console() == []


@pytest.mark.parametrize(
    "path", ["/", "/events/{event}", "/runs/{run}", "/applications", "/workers"]
)
def test_pages_load_nothing_from_elsewhere(standalone: Site, window: Browser, path: str) -> None:
    event = posted(standalone, "quick")
    url = standalone.url + path.format(event=event, run=only_run(standalone, event, "succeeded"))
    response = shown(url)
    policy = str(response.headers["Content-Security-Policy"])
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    window.console()
    window.open(url)
    window.wait_text("#live", "live")
    assert window.console() == []


@pytest.mark.parametrize(
    "action",
    [
        "/events/{event}/replay",
        "/events/{event}/retry",
        "/events/{event}/cancel",
        "/runs/{run}/cancel",
        "/runs/{run}/retry",
        "/applications/nap/pause",
        "/applications/nap/resume",
    ],
)
@pytest.mark.parametrize("site_of", ["cross-site", "same-site"])
def test_requests_from_other_sites_are_refused(standalone: Site, action: str, site_of: str) -> None:
    event = posted(standalone, "quick")
    run = only_run(standalone, event, "succeeded")
    before = standalone.status(event)
    url = standalone.url + action.format(event=event, run=run)
    response = http(url, b"", Accept=HTML, Sec_Fetch_Site=site_of)
    assert response.status == 403
    assert standalone.status(event) == before
    applications = http(f"{standalone.url}/applications").json["applications"]
    assert [each["paused"] for each in applications if each["name"] == "nap"] == [None]


def test_a_form_of_another_site_is_refused(standalone: Site, window: Browser) -> None:
    event = posted(standalone, "quick")
    run = only_run(standalone, event, "succeeded")
    action = f"{standalone.url}/events/{event}/replay"
    window.open(f"data:text/html,<main><form method=post action={action}><button>Win</form></main>")
    window.press("Win")
    window.wait_text("body", "another site")
    assert only_run(standalone, event, "succeeded") == run


def test_problems_are_shown_as_pages(standalone: Site, window: Browser) -> None:
    unknown = "01a20997-c0e5-77ee-8e00-a2944b68dfdf"
    window.open(f"{standalone.url}/events/{unknown}")
    assert window.text("h1") == "Not Found"
    event = posted(standalone, "quick")
    standalone.wait_status(event, "succeeded")
    window.open(f"{standalone.url}/events/{event}")
    window.press("Cancel")
    window.wait_text("h1", "Conflict")
    assert shown(f"{standalone.url}/events/{unknown}").status == 404
    assert http(f"{standalone.url}/events/{event}/cancel", b"", Accept=HTML).status == 409
    assert shown(f"{standalone.url}/?state=lost").status == 400


def test_a_problem_has_the_headers_of_a_page(standalone: Site) -> None:
    for path in ("/nowhere", "/?state=lost"):
        headers = shown(f"{standalone.url}{path}").headers
        assert headers["Content-Type"] == "text/html;charset=utf-8"
        assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_a_live_page_keeps_the_host_of_its_request(standalone: Site) -> None:
    event = posted(standalone, "quick")
    standalone.wait_status(event, "succeeded")
    url = f"{standalone.url}/events/{event}"
    for host in ("elsewhere.example", f"127.0.0.1:{standalone.port}"):
        headers = {"Accept": "text/event-stream", "Host": host}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - our own server
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            page = next(line for line in response if line.startswith(b"data:")).decode()
        assert f"http://{host}/receive" in page


@pytest.fixture(scope="module")
def axe() -> str:
    """Source of axe-core."""
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sample(standalone: Site) -> dict[str, str]:
    """Uuids of a sample event and two runs."""
    failed = posted(standalone, "broken", subject="sample")
    napping = posted(standalone, "nap", subject="sample")
    return {
        "event": failed,
        "run": only_run(standalone, failed, "failed"),
        "napping": only_run(standalone, napping, "running"),
    }


@pytest.mark.parametrize("screen", [("light", 1200), ("dark", 1200), ("light", 390)])
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/?text=no+such+text",
        "/events/{event}",
        "/edit?event={event}",
        "/together?action=replay&event={event}",
        "/runs/{run}",
        "/runs/{napping}",
        "/applications",
        "/workers",
        "/nowhere",
    ],
)
def test_axe_finds_nothing_serious(  # noqa: PLR0913, PLR0917 - fixtures and parameters
    standalone: Site,
    window: Browser,
    axe: str,
    sample: dict[str, str],
    path: str,
    screen: tuple[str, int],
) -> None:
    scheme, width = screen
    window.prefer(scheme)
    window.resize(width, 844)
    window.open(standalone.url + path.format(**sample))
    found: list[Any] = [
        f"{each['id']}: {node['html']} {node['failureSummary']}"
        for each in violations(window, axe)
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"]
    ]
    assert found == []
