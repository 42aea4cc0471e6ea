"""The measures; each yields its figures."""

import os
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks import client, empty, inside, pages, store, tiers
from benchmarks.table import Figure
from benchmarks.tiers import Site
from harness import wait_until
from harness.databases import PostgreSQL
from harness.servers import running

_BATCH: Final = 100
_FEW: Final = 1_000
_NOW: Final = "date +%s%N"
_TIMEOUT: Final = 300.0
_POLL: Final = 0.2
_SETTLE: Final = 10.0
_SLEEPERS: Final = 50
_TRUE: Final = which("true") or "true"
_WARM_UP: Final = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """The extent of the measures.

    Attributes:
        rounds: the number of times each comparison is made; the median of the ratios counts.
        singles: the number of events per round sent one by one.
        batched: the number of events per round sent in batches.
        runs: the number of runs per round.
        backlog: the number of runs that wait for a worker.
        heartbeat: the seconds for which processor time is measured.
        starts: the number of events whose time to the start of their process is measured.
        memory: the number of events after which memory is measured.
        brokers: the available brokers, as keys of `tiers.BROKERS`.
        stored: a folder with a full database; None to skip it.
        progress: is called with each step.
    """

    rounds: int
    singles: int
    batched: int
    runs: int
    backlog: int
    heartbeat: float
    starts: int
    memory: int
    brokers: Sequence[str]
    stored: Path | None
    progress: Callable[[str], None]


def accept(plan: Plan) -> Iterator[Figure]:
    """Measure the rate of accepted events, one by one and in batches, without a worker."""
    with ExitStack() as stack:
        bare = stack.enter_context(tiers.bare_server(_folder(stack)))
        sites = _sites(stack, plan, "RabbitMQ", _TRUE)
        watches = [store.Watch(site.database_url) for site in sites]
        urls = [stack.enter_context(site.web()).url for site in sites]
        baseline, singles, batches = [], [], []
        for number in range(plan.rounds):
            plan.progress(f"accept: round {number + 1} of {plan.rounds}")
            baseline.append(_accepted(plan, bare.url, plan.singles))
            singles.append([_accepted(plan, url, plan.singles) for url in urls])
            batches.append([_accepted(plan, url, plan.batched, _BATCH) for url in urls])
        for watch in watches:
            watch.cancel()
    single, *single_stored = zip(*singles, strict=True)
    batched, *batched_stored = zip(*batches, strict=True)
    name, batch_name = "single events accepted", f"events in batches of {_BATCH} accepted"
    yield _compared(name, "/s", single, ("bare CherryPy", baseline), least=0.5)
    yield _compared(batch_name, "/s", batched, ("single events", single), least=10)
    yield from _full(name, "/s", single, single_stored)
    yield from _full(batch_name, "/s", batched, batched_stored)


def runs(plan: Plan) -> Iterator[Figure]:
    """Measure the rate of runs of /bin/true, compared to empty tasks and to processes alone."""
    for broker in plan.brokers:
        with ExitStack() as stack:
            sites = _sites(stack, plan, broker, _TRUE)
            urls = [stack.enter_context(site.web()).url for site in sites]
            other = stack.enter_context(tiers.site(_folder(stack), broker, _TRUE))
            drained, tasks, alone = [], [], []
            for number in range(plan.rounds):
                plan.progress(f"runs, {broker}: round {number + 1} of {plan.rounds}")
                alone.append([_spawned(processes, plan.runs) for processes in (1, 2)])
                tasks.append(_tasks_drained(other, plan.runs))
                pairs = zip(sites, urls, strict=True)
                drained.append([_runs_drained(site, url, plan.runs) for site, url in pairs])
                rates = ", ".join(f"{rate:,.0f}/s" for rate in (tasks[-1], *drained[-1]))
                plan.progress(f"  empty tasks, runs: {rates}")
        ours, *stored = zip(*drained, strict=True)
        name = f"runs of /bin/true, {broker}"
        yield _compared(name, "/s", ours, ("empty Celery tasks", tasks), least=0.4)
        one, two = zip(*alone, strict=True)
        yield _compared(name, "/s", ours, ("/bin/true from one process", one))
        yield _compared(name, "/s", ours, ("/bin/true from two processes", two))
        yield from _full(name, "/s", ours, stored)


def postgres(plan: Plan) -> Iterator[Figure]:
    """Measure accepting and running with PostgreSQL, compared to SQLite."""
    if reason := PostgreSQL.missing():
        plan.progress(f"PostgreSQL skipped: {reason}")
        return
    broker = plan.brokers[0]
    with ExitStack() as stack:
        folder = _folder(stack)
        folder.chmod(0o755)  # the server may run as another user
        server = PostgreSQL(folder / "postgres", os.environ)
        stack.enter_context(running(server))
        sites = [
            stack.enter_context(tiers.site(_folder(stack), broker, _TRUE, url))
            for url in (server.url, None)
        ]
        urls = [stack.enter_context(site.web()).url for site in sites]
        singles, batches, drained = [], [], []
        for number in range(plan.rounds):
            plan.progress(f"PostgreSQL, SQLite: round {number + 1} of {plan.rounds}")
            singles.append([_accepted(plan, url, plan.singles) for url in urls])
            batches.append([_accepted(plan, url, plan.batched, _BATCH) for url in urls])
            for site in sites:
                store.Watch(site.database_url, all_runs=True).cancel()
            pairs = zip(sites, urls, strict=True)
            drained.append([_runs_drained(site, url, plan.runs) for site, url in pairs])
    names = (
        "single events accepted",
        f"events in batches of {_BATCH} accepted",
        f"runs of /bin/true, {broker}",
    )
    for name, measured in zip(names, (singles, batches, drained), strict=True):
        ours, sqlite = zip(*measured, strict=True)
        yield _compared(f"{name}, PostgreSQL", "/s", ours, ("SQLite", sqlite))


def drain(plan: Plan) -> Iterator[Figure]:
    """Measure the rate of runs with a long backlog, compared to a short one."""
    for broker in plan.brokers:
        many: list[float] = []
        few: list[float] = []
        for number in range(max(1, plan.rounds // 2)):
            plan.progress(f"drain, {broker}: round {number + 1}")
            for rates, count in ((few, plan.backlog // 20), (many, plan.backlog)):
                with ExitStack() as stack:
                    site = stack.enter_context(tiers.site(_folder(stack), broker, _TRUE))
                    url = stack.enter_context(site.web()).url
                    rates.append(_runs_drained(site, url, count))
            plan.progress(f"  few, many: {few[-1]:,.0f}/s, {many[-1]:,.0f}/s")
        name = f"runs with a backlog of {plan.backlog:,}, {broker}"
        yield _compared(name, "/s", many, (f"a backlog of {plan.backlog // 20:,}", few), least=0.8)


def heartbeat(plan: Plan) -> Iterator[Figure]:
    """Measure the processor time of a worker while applications run, compared to idling."""
    with ExitStack() as stack:
        command = f"sleep {plan.heartbeat * 2 + _TIMEOUT:g}"
        site = stack.enter_context(tiers.site(_folder(stack), plan.brokers[0], command))
        url = stack.enter_context(site.web()).url
        watch = store.Watch(site.database_url)
        worker = stack.enter_context(site.worker(_SLEEPERS))
        _wait(lambda: tiers.processes(worker) > _SLEEPERS)
        idle = _busy(plan, worker)
        client.send(url, _SLEEPERS)
        _wait(lambda: watch.running() == _SLEEPERS)
        busy = _busy(plan, worker)
    name = f"heartbeat of {_SLEEPERS} applications"
    yield Figure(name, (busy - idle) * 100, "%", idle * 100, "of a core, idle", most=2)


def _busy(plan: Plan, worker: int) -> float:
    """Measure the share of a core that a worker uses."""
    plan.progress(f"heartbeat: {plan.heartbeat:g} s")
    time.sleep(_SETTLE)
    before, began = tiers.processor_time(worker), time.monotonic()
    time.sleep(plan.heartbeat)
    return (tiers.processor_time(worker) - before) / (time.monotonic() - began)


def start(plan: Plan) -> Iterator[Figure]:
    """Measure the time from posting an event to the start of its process, when idle."""
    for broker in plan.brokers:
        with ExitStack() as stack:
            measured = []
            for site in _sites(stack, plan, broker, _NOW):
                plan.progress(f"start, {broker}: {plan.starts} events, one at a time")
                measured.append(_starts(site, plan.starts, standalone=broker == "files"))
        name = "POST to start, " + ("standalone" if broker == "files" else broker)
        ours, *stored = ([statistics.median(times)] for times in measured)
        yield Figure(f"{name}, median", ours[0], "ms", most=60 if broker == "files" else 15)
        yield Figure(f"{name}, p99", statistics.quantiles(measured[0], n=100)[98], "ms")
        yield from _full(f"{name}, median", "ms", ours, stored)


def memory(plan: Plan) -> Iterator[Figure]:
    """Measure the resident memory of the web process and a worker after few and many events."""
    broker = plan.brokers[0]
    with ExitStack() as stack:
        site = stack.enter_context(tiers.site(_folder(stack), broker, _TRUE))
        web = stack.enter_context(site.web())
        worker = stack.enter_context(site.worker())
        watch = store.Watch(site.database_url)
        read = []
        for count in (_BATCH, plan.memory):
            plan.progress(f"memory: {count:,} events")
            client.send(web.url, count - len(watch.finished()))
            _until_finished(watch, count)
            read.append((tiers.resident(web.pid)[0], *tiers.resident(worker)))
    names = "web process", "worker", "worker's two children"
    for name, before, after in zip(names, *read, strict=True):
        label = f"memory, {plan.memory:,} events: {name}"
        yield _compared(label, "MiB", [after], (f"after {_BATCH} events", [before]))


def web(plan: Plan) -> Iterator[Figure]:
    """Measure the pages, on the full database unless it is skipped."""
    with ExitStack() as stack:
        site = _sites(stack, plan, plan.brokers[0], _TRUE)[-1]
        if plan.stored is None:
            store.fill(site.folder, _FEW, plan.progress)  # the pages need events to show
        pages.configure(site)
        yield from pages.pages(plan, site)
        yield from pages.live(plan, site)
        yield from pages.readers(plan, site)


MEASURES: Final[dict[str, Callable[[Plan], Iterator[Figure]]]] = {
    "read": inside.read,
    "match": inside.match,
    "accept": accept,
    "runs": runs,
    "postgres": postgres,
    "drain": drain,
    "heartbeat": heartbeat,
    "start": start,
    "memory": memory,
    "web": web,
}


def _folder(stack: ExitStack) -> Path:
    return Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))


def _sites(stack: ExitStack, plan: Plan, broker: str, command: str) -> list[Site]:
    """Return a site with an empty database and, unless it is skipped, one with the full one."""
    folders = [_folder(stack), *([plan.stored] if plan.stored else [])]
    for folder in folders:
        store.fill(folder, 0, plan.progress)
    return [stack.enter_context(tiers.site(folder, broker, command)) for folder in folders]


def _accepted(plan: Plan, url: str, count: int, batch: int = 1) -> float:
    load = client.send(url, count, batch)
    plan.progress(f"  {load.rate:,.0f}/s; the sender was busy {load.busy / load.seconds:.0%}")
    return load.rate


def _runs_drained(site: Site, url: str, count: int) -> float:
    watch = store.Watch(site.database_url)
    client.send(url, count, _BATCH)
    with site.worker():
        _until_finished(watch, count)
    assert watch.states() == {"succeeded"}
    return _middle_rate(watch.finished())


def _tasks_drained(site: Site, count: int) -> float:
    file = site.folder / "times"
    file.unlink(missing_ok=True)
    site.publish(count)
    with site.empty_worker(file):
        _wait(lambda: len(empty.times(file)) == count)
    return _middle_rate(empty.times(file))


def _middle_rate(times: Iterable[float]) -> float:
    """Return the rate per second, without the first and last 5 % of the times."""
    ordered = sorted(times)
    skipped = len(ordered) // 20
    middle = ordered[skipped : len(ordered) - skipped]
    return (len(middle) - 1) / (middle[-1] - middle[0])


def _spawned(processes: int, count: int) -> float:
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(_spawn, [_WARM_UP] * processes))
        began = time.perf_counter()
        list(pool.map(_spawn, [count // processes] * processes))
        return count / (time.perf_counter() - began)


def _spawn(count: int) -> None:
    for _ in range(count):
        subprocess.run([_TRUE], check=True)


def _starts(site: Site, count: int, *, standalone: bool) -> list[float]:
    sent: list[float] = []
    with _working(site, standalone=standalone) as url:
        watch = store.Watch(site.database_url)
        connection = client.Connection(url)
        for request in client.requests(_WARM_UP + count):
            sent.append(time.time())
            connection.exchange(request)
            _wait(lambda: len(watch.outputs()) == len(sent), 0.01)
            time.sleep(random.uniform(0.02, 0.1))  # noqa: S311 - avoids the rhythm of polling
        started = [int(output) / 1e9 for output in watch.outputs()]
    return [(b - a) * 1000 for a, b in list(zip(sent, started, strict=True))[_WARM_UP:]]


@contextmanager
def _working(site: Site, *, standalone: bool) -> Iterator[str]:
    if standalone:
        with site.standalone() as server:
            yield server.url
    else:
        with site.web() as server, site.worker():
            yield server.url


def _until_finished(watch: store.Watch, count: int) -> None:
    _wait(lambda: len(watch.finished()) == count)


def _wait(condition: Callable[[], bool], longest: float = _POLL) -> None:
    wait_until(condition, "the tiers", _TIMEOUT, longest)


def _compared(
    name: str,
    unit: str,
    values: Sequence[float],
    baseline: tuple[str, Sequence[float]],
    least: float | None = None,
) -> Figure:
    against, others = baseline
    ratio = statistics.median(a / b for a, b in zip(values, others, strict=True))
    value, other = statistics.median(values), statistics.median(others)
    return Figure(name, value, unit, other, against, ratio, least)


def _full(
    name: str, unit: str, values: Sequence[float], stored: Sequence[Sequence[float]]
) -> Iterator[Figure]:
    """Yield the figure for the full database, if it was measured."""
    for many in stored:
        pairs = zip(values, many, strict=True)
        ratio = statistics.median(b / a if unit == "ms" else a / b for a, b in pairs)
        value, baseline = statistics.median(many), statistics.median(values)
        yield Figure(f"{name}, full", value, unit, baseline, "empty database", ratio, most=1.2)
