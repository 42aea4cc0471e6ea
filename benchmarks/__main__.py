"""`python -m benchmarks`: measure and print a table."""

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from benchmarks import store, table, tiers
from benchmarks.measure import MEASURES, Plan


def main() -> None:
    """Run the measures given on the command line."""
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    began = time.monotonic()

    def progress(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", file=sys.stderr, flush=True)

    figures: list[table.Figure] = []
    with ExitStack() as stack:
        plan = _plan(options, stack, progress)
        print(table.header(), flush=True)
        for name in options.only:
            for figure in MEASURES[name](plan):
                figures.append(figure)
                print(table.row(figure), flush=True)
    if options.json:
        table.save(options.json, _machine(options), figures)


def _interrupt(number: int, _frame: object) -> NoReturn:
    """Exit, ignoring further signals during the cleanup."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    print("stopping", file=sys.stderr, flush=True)
    raise SystemExit(128 + number)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="make a short, rough run")
    parser.add_argument(
        "--stored",
        type=int,
        metavar="N",
        help="events in the full database (default: 500,000, or 0 with --quick); 0 skips it",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=MEASURES,
        default=list(MEASURES),
        help="measures to run (default: all)",
    )
    options = parser.parse_args()
    if options.stored is None:
        options.stored = 0 if options.quick else 500_000
    return options


def _plan(options: argparse.Namespace, stack: ExitStack, progress: Callable[[str], None]) -> Plan:
    brokers = [name for name in tiers.BROKERS if tiers.reachable(name)]
    for name in sorted({*tiers.BROKERS} - {*brokers}):
        progress(f"{name} skipped: no response at {tiers.BROKERS[name]}")
    stored = None
    if options.stored:
        stored = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        store.fill(stored, options.stored, progress)
    sizes = (
        (1, 300, 3_000, 150, 1_000, 5, 20, 300)
        if options.quick
        else (5, 3_000, 20_000, 1_500, 10_000, 30, 200, 20_000)
    )
    return Plan(*sizes, brokers=brokers, stored=stored, progress=progress)


def _machine(options: argparse.Namespace) -> dict[str, object]:
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "stored": options.stored,
        "quick": options.quick,
    }


if __name__ == "__main__":
    main()
