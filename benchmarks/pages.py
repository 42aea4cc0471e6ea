"""Measures of the pages: the time to make them, and the cost of many open ones."""

import random
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from benchmarks import client, store, tiers
from benchmarks.table import Figure
from harness import http

if TYPE_CHECKING:
    from benchmarks.measure import Plan

_APPLICATIONS: Final = 10
_REQUESTS: Final = 11
_OPEN: Final = 50
_MANY: Final = 200
_SETTLE: Final = 4.0
_PIECE: Final = 64 * 1024
_LINE: Final = b"\x1b[32mfile %06d\x1b[0m: \x1b[1;34m2048\x1b[0m frames\n"


def configure(site: tiers.Site) -> None:
    """Configure the applications of the stored events."""
    with (site.folder / "config.ini").open("a", encoding="utf-8") as file:
        for number in range(_APPLICATIONS):
            section = f"[application:bench-{number}]\nexact.type = bench.{number}\ncommand = true\n"
            file.write(section)


def pages(plan: "Plan", site: tiers.Site) -> Iterator[Figure]:
    """Measure the time to make each page; a slow search ends early and continues on the next."""
    paths = _paths(_samples(site.folder))
    with site.web() as server:
        for name, path in paths.items():
            plan.progress(f"pages: {name}")
            spent = statistics.median(_request(server.url, path) for _ in range(_REQUESTS))
            yield Figure(f"page: {name}", spent * 1000, "ms", most=100)


def live(plan: "Plan", site: tiers.Site) -> Iterator[Figure]:
    """Measure the processor time for open pages while an event arrives each second."""
    with site.web() as server:
        idle = _busy(plan, server)
        for name, paths in (
            ("with the same content", ["/"]),
            ("with different content", [f"/?limit={n + 1}" for n in range(_OPEN)]),
        ):
            with _readers(server.url, _OPEN, paths):
                busy = _busy(plan, server)
            label = f"{_OPEN} open pages {name}"
            yield Figure(label, (busy - idle) * 100, "%", idle * 100, "of a core, none", most=5)


def readers(plan: "Plan", site: tiers.Site) -> Iterator[Figure]:
    """Measure the rate of accepted events while many pages are open, compared to none."""
    rates: list[tuple[float, float]] = []
    with site.web() as server:
        client.send(server.url, plan.singles)
        for number in range(plan.rounds):
            plan.progress(f"readers: round {number + 1} of {plan.rounds}")
            alone = client.send(server.url, plan.singles).rate
            with _readers(server.url, _MANY, ["/", "/applications", "/workers"]):
                rates.append((client.send(server.url, plan.singles).rate, alone))
            plan.progress(f"  {rates[-1][0]:,.0f}/s, {alone:,.0f}/s")
    store.Watch(site.database_url).cancel()
    ratio = statistics.median(shared / alone for shared, alone in rates)
    shared, alone = (statistics.median(each) for each in zip(*rates, strict=True))
    name = f"single events accepted, {_MANY} open pages"
    yield Figure(name, shared, "/s", alone, "no open page", ratio, least=0.8)


class _Samples(NamedTuple):
    """The samples that the paths refer to.

    Attributes:
        event: the uuid of an event.
        run: the uuid of its run, which has a long output in colour.
        subject: the subject of one event among the oldest.
        tenth_day: the time ten days before the newest event.
    """

    event: str
    run: str
    subject: str
    tenth_day: str


def _samples(folder: Path) -> _Samples:
    with closing(sqlite3.connect(store.file_in(folder))) as database, database:
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
        [oldest, newest] = database.execute(
            "SELECT MIN(received), MAX(received) FROM event"
        ).fetchone()
        # One of the oldest, since a search starts at the newest.
        received = random.uniform(oldest, oldest + (newest - oldest) / 5)  # noqa: S311 - any will do
        [subject] = database.execute(
            "SELECT subject FROM event WHERE received >= ? AND subject IS NOT NULL"
            " ORDER BY uuid LIMIT 1",
            (received,),
        ).fetchone()
    tenth_day = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(newest - 86_400 * 10))
    return _Samples(event, run, subject, tenth_day)


def _paths(samples: _Samples) -> dict[str, str]:
    return {
        "events": "/",
        "events, failed": "/?state=failed",
        "events, running (none)": "/?state=running",
        "events, unmatched (none)": "/?state=unmatched",
        "events of an application": "/?application=bench-3",
        "events, failed, of an application": "/?application=bench-0&state=failed",
        "events of an application that never failed": "/?application=bench-3&state=failed",
        "events of a type": "/?type=bench.7",
        "events of an unknown type": "/?type=bench.x",
        "events from a source": f"/?source={quote('/bench/42', safe='')}",
        "events before ten days ago": f"/?until={samples.tenth_day}",
        "events, text in one subject": f"/?text={quote(samples.subject, safe='')}",
        "events, text in many subjects": "/?text=99.raw",
        "an event": f"/events/{samples.event}",
        "a run with 1 MB of output in colour": f"/runs/{samples.run}",
        "applications": "/applications",
        "workers": "/workers",
    }


def _request(url: str, path: str) -> float:
    """Request a page; return the seconds until its end."""
    began = time.perf_counter()
    response = http(f"{url}{path}", Accept="text/html")
    spent = time.perf_counter() - began
    assert response.status == HTTPStatus.OK, (path, response.status)
    return spent


@contextmanager
def _readers(url: str, count: int, paths: Sequence[str]) -> Iterator[None]:
    """Keep pages open in a separate process."""
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
    """Measure the share of a core that a server uses while an event arrives each second."""
    plan.progress(f"live: {plan.heartbeat:g} s")
    time.sleep(_SETTLE)
    connection = client.Connection(server.url)
    before, began = tiers.processor_time(server.pid), time.monotonic()
    while (spent := time.monotonic() - began) < plan.heartbeat:
        for request in client.requests(1):
            connection.exchange(request)
        time.sleep(1 - spent % 1)
    connection.socket.close()
    return (tiers.processor_time(server.pid) - before) / (time.monotonic() - began)
