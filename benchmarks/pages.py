"""The page: what a server takes to make it, and what many open pages cost."""

import http.client
import random
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from benchmarks import client, store, tiers
from benchmarks.table import Figure

if TYPE_CHECKING:
    from benchmarks.measure import Plan

_APPLICATIONS: Final = 10
_ASKED: Final = 11
_OPEN: Final = 50
_MANY: Final = 200
_SETTLED: Final = 4.0
_PIECE: Final = 64 * 1024
_LINE: Final = b"\x1b[32mfile %06d\x1b[0m: \x1b[1;34m2048\x1b[0m frames\n"


def configure(site: tiers.Site) -> None:
    """Name the applications of the stored events."""
    with (site.folder / "config.ini").open("a", encoding="utf-8") as file:
        for number in range(_APPLICATIONS):
            section = f"[application:bench-{number}]\nexact.type = bench.{number}\ncommand = true\n"
            file.write(section)


def pages(plan: "Plan", site: tiers.Site) -> Iterator[Figure]:
    """The time to make each page; a search that is not done after a while goes on on the next."""
    event, run, newest = _samples(site.folder)
    with site.web() as server:
        for name, path in _paths(event, run, newest).items():
            plan.progress(f"pages: {name}")
            spent = statistics.median(_asked(server.url, path) for _ in range(_ASKED))
            yield Figure(f"page: {name}", spent * 1000, "ms", most=100)


def live(plan: "Plan", site: tiers.Site) -> Iterator[Figure]:
    """What open pages cost the server, while an event arrives each second."""
    with site.web() as server:
        idle = _busy(plan, server)
        for name, paths in (
            ("that show the same", ["/"]),
            ("that all show something else", [f"/?limit={n + 1}" for n in range(_OPEN)]),
        ):
            with _readers(server.url, _OPEN, paths):
                busy = _busy(plan, server)
            label = f"{_OPEN} open pages {name}"
            yield Figure(label, (busy - idle) * 100, "%", idle * 100, "of a core, none", most=5)


def readers(plan: "Plan", site: tiers.Site) -> Iterator[Figure]:
    """Events accepted while many pages are open, beside when none is."""
    rates: list[tuple[float, float]] = []
    with site.web() as server:
        client.send(server.url, plan.singles)
        for number in range(plan.rounds):
            plan.progress(f"readers: round {number + 1} of {plan.rounds}")
            alone = client.send(server.url, plan.singles).rate
            with _readers(server.url, _MANY, ["/", "/applications", "/workers"]):
                rates.append((client.send(server.url, plan.singles).rate, alone))
            plan.progress(f"  {rates[-1][0]:,.0f}/s, {alone:,.0f}/s")
    store.Watch(site.folder).forget()
    ratio = statistics.median(beside / alone for beside, alone in rates)
    beside, alone = (statistics.median(each) for each in zip(*rates, strict=True))
    name = f"single events accepted, {_MANY} open pages"
    yield Figure(name, beside, "/s", alone, "no open page", ratio, least=0.8)


def _samples(folder: Path) -> tuple[str, str, str]:
    """An event, its run, which gets a long output in colours, and when the newest came."""
    with closing(sqlite3.connect(folder / store.FILE)) as database, database:
        [event, run] = database.execute(
            "SELECT event, uuid FROM run WHERE state = 'failed' ORDER BY event LIMIT 1"
        ).fetchone()
        text = b"".join(_LINE % number for number in range(20_000))
        for position in range(0, len(text), _PIECE):
            piece = (run, 1, "stdout", position, 1.0, text[position : position + _PIECE])
            database.execute(
                "INSERT INTO output (run, attempt, stream, position, written, data)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                piece,
            )
        [newest] = database.execute("SELECT MAX(received) FROM event").fetchone()
    return event, run, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(newest - 86_400 * 10))


def _paths(event: str, run: str, tenth_day: str) -> dict[str, str]:
    number = random.randrange(100_000)  # noqa: S311 - any will do
    return {
        "events": "/",
        "events, failed": "/?state=failed",
        "events, running (none)": "/?state=running",
        "events, unmatched (none)": "/?state=unmatched",
        "events of an application": "/?application=bench-3",
        "events, failed, of an application": "/?application=bench-0&state=failed",
        "events of an application that never failed": "/?application=bench-3&state=failed",
        "events of a type": "/?type=bench.7",
        "events of no such type": "/?type=bench.x",
        "events from a source": f"/?source={quote('/bench/42', safe='')}",
        "events before ten days ago": f"/?until={tenth_day}",
        "events, a text in one subject": f"/?text=file-{number}.raw",
        "events, a text in many": "/?text=99.raw",
        "an event": f"/events/{event}",
        "a run with 1 MB of output in colours": f"/runs/{run}",
        "applications": "/applications",
        "workers": "/workers",
    }


def _asked(url: str, path: str) -> float:
    """The seconds until a page is there."""
    connection = http.client.HTTPConnection(str(urlsplit(url).netloc))
    began = time.perf_counter()
    connection.request("GET", path, headers={"Accept": "text/html"})
    answer = connection.getresponse()
    answer.read()
    spent = time.perf_counter() - began
    connection.close()
    assert answer.status == http.client.OK, (path, answer.status)
    return spent


@contextmanager
def _readers(url: str, count: int, paths: Sequence[str]) -> Iterator[None]:
    """Keep pages open."""
    command = [sys.executable, "-m", "benchmarks.readers", url, str(count), *paths]
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"open\n"
            yield
        finally:
            process.kill()


def _busy(plan: "Plan", server: tiers.Server) -> float:
    """The share of a core that a server takes, while an event arrives each second."""
    plan.progress(f"live: {plan.heartbeat:g} s")
    time.sleep(_SETTLED)
    connection = client.Connection(server.url)
    before, began = tiers.processor_time(server.pid), time.monotonic()
    while (spent := time.monotonic() - began) < plan.heartbeat:
        for request in client.requests(1):
            connection.ask(request)
        time.sleep(1 - spent % 1)
    connection.socket.close()
    return (tiers.processor_time(server.pid) - before) / (time.monotonic() - began)
