"""`python -m chaos`: break things at random, check the guarantees and print a table.

Exit codes: 0 all guarantees kept; 1 a guarantee broken; 2 wrong usage, or a server or tier could
not start; 130 interrupted.
"""

import argparse
import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Final

from chaos import report
from chaos.combination import Combination
from chaos.disturb import KINDS, possible
from chaos.schedule import Pair, deal
from harness import DeadlineError, processes
from harness.brokers import BROKERS
from harness.databases import DATABASES, PgBouncer
from harness.servers import UnavailableError

_SHORT: Final = 15.0
_COMPLETE: Final = 60.0
"""Seconds from which every pair gets every kind of disturbance; below, each kind is dealt out …"""

_TIMES: Final = 2
"""… to this number of pairs."""

_MARK: Final = "CHAOS_RUN"
"""Environment variable that all processes of a run of the suite inherit."""

_THREADS: Final = 64
_KEPT, _BROKEN, _NOT_STARTED, _INTERRUPTED = 0, 1, 2, 130


def main() -> int:
    """Run the combinations given on the command line."""
    options = _options()
    began = time.monotonic()

    def progress(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", file=sys.stderr, flush=True)

    print(f"seed {options.seed}", flush=True)
    pairs = []
    for pair in _pairs(options):
        reasons = _missing(*pair)
        if reasons and os.environ.get("CI"):
            progress(f"{' and '.join(pair)}: {', '.join(reasons)}")
            return _NOT_STARTED
        if reasons:
            print(f"{' and '.join(pair)}: skipped, {', '.join(reasons)}", flush=True)
        else:
            pairs.append(pair)
    try:
        results = _run(pairs, options, progress)
    except (UnavailableError, DeadlineError) as exc:
        progress(str(exc))
        return _NOT_STARTED
    except (asyncio.CancelledError, KeyboardInterrupt):
        progress("interrupted; all processes are stopped")
        return _INTERRUPTED
    if options.json:
        report.save(options.json, results)
    hoped = {kind for kinds in _hands(pairs, options).values() for kind in kinds}
    missed = sorted(hoped - {kind for result in results for kind in result.kinds})
    if missed:
        print(f"Not caused in any pair: {', '.join(missed)}", flush=True)
    broken = sorted({g.name for result in results for g in result.guarantees if not g.kept})
    print(f"BROKEN: {'; '.join(broken)}" if broken else "All guarantees were kept.", flush=True)
    if not results:
        return _NOT_STARTED
    return _BROKEN if broken else _KEPT


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument(
        "--broker", action="append", choices=BROKERS, help="brokers to use (default: all)"
    )
    parser.add_argument(
        "--database",
        action="append",
        choices=DATABASES,
        help="databases to use (default: all)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="N",
        default=os.environ.get("CHAOS_SECONDS", _SHORT),
        help="seconds of disturbances for each combination; from"
        f" {_COMPLETE:g}, each gets every kind (default: $CHAOS_SECONDS, or {_SHORT:g})",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=KINDS,
        default=[],
        help="kind of disturbance to cause; can be repeated (default: all)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=random.SystemRandom().randrange(1_000_000),
        help="seed of the random choices (default: a random one)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=2,
        metavar="N",
        help="number of combinations to try at the same time (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results as JSON")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep the working directory even if all guarantees were kept",
    )
    return parser.parse_args()


def _pairs(options: argparse.Namespace) -> Sequence[Pair]:
    return [*product(options.broker or BROKERS, options.database or DATABASES)]


def _missing(broker: str, database: str) -> list[str]:
    servers = [BROKERS[broker], DATABASES[database]]
    if database == "postgres":
        servers.append(PgBouncer)
    return [reason for server in servers if (reason := server.missing())]


def _hands(pairs: Sequence[Pair], options: argparse.Namespace) -> Mapping[Pair, Collection[str]]:
    """Return the kinds of disturbances of each pair."""
    able = {
        (broker, database): [
            kind
            for kind in possible(BROKERS[broker], DATABASES[database])
            if kind in (options.only or KINDS)
        ]
        for broker, database in pairs
    }
    return able if options.seconds >= _COMPLETE else deal(able, _TIMES, options.seed)


def _run(
    pairs: Sequence[Pair], options: argparse.Namespace, progress: Callable[[str], None]
) -> list[report.Result]:
    """Try combinations; whatever happens, leave no process behind."""
    mark = os.environ[_MARK] = uuid.uuid4().hex
    results: list[report.Result] = []
    try:
        asyncio.run(_try_all(pairs, options, progress, results))
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        asyncio.run(processes.kill_marked(**{_MARK: mark}))
    return results


async def _try_all(
    pairs: Sequence[Pair],
    options: argparse.Namespace,
    progress: Callable[[str], None],
    results: list[report.Result],
) -> None:
    """Try combinations, some at the same time; stop all of them if one cannot be tried."""
    loop, turns = asyncio.get_running_loop(), asyncio.Semaphore(options.jobs)
    loop.set_default_executor(ThreadPoolExecutor(_THREADS))
    task = asyncio.current_task()
    assert task is not None
    # Clean up on SIGTERM, as on Ctrl-C.
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    hands = _hands(pairs, options)

    async def in_turn(pair: Pair) -> None:
        async with turns:
            name = " and ".join(pair)
            kinds = hands[pair]
            result = await _try(pair, kinds, options, lambda text: progress(f"{name}: {text}"))
        results.append(result)
        print("\n".join(report.table(result)), flush=True)

    try:
        async with asyncio.TaskGroup() as tasks:
            for pair in pairs:
                tasks.create_task(in_turn(pair))
    except* (UnavailableError, DeadlineError) as group:
        raise group.exceptions[0] from None


async def _try(
    pair: Pair,
    kinds: Collection[str],
    options: argparse.Namespace,
    progress: Callable[[str], None],
) -> report.Result:
    progress("starting")
    folder = _create_folder()
    kept = False
    try:
        combination = Combination(folder, *pair, progress)
        observed = await combination.run(options.seconds, options.seed, kinds)
        result = report.judge(*pair, options.seed, observed)
        kept = result.kept
    finally:
        if kept and not options.keep:
            shutil.rmtree(folder)
        else:
            progress(f"files kept in {folder}")
    return result


def _create_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.chmod(0o711)  # PostgreSQL runs as another user when this is root
    return folder


if __name__ == "__main__":
    sys.exit(main())
