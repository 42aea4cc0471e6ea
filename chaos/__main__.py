"""`python -m chaos`: breaks things at random, checks the promises, prints a table.

Exit codes: 0, all promises were kept; 1, one was broken; 2, wrong usage, or it could not start;
130, it was interrupted.
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
from collections.abc import Callable, Coroutine, Sequence
from itertools import product
from pathlib import Path
from typing import Final

from chaos import report, servers
from chaos.combination import Combination
from chaos.disturb import KINDS
from chaos.observed import Observed
from chaos.waiting import WaitedInVainError

_SHORT: Final = 35.0
_SHORT_FORM: Final = (("rabbitmq", "postgres"), ("redis", "mysql"), ("files", "sqlite"))
_KEPT, _BROKEN, _NOT_STARTED, _INTERRUPTED = 0, 1, 2, 130


def main() -> int:
    """Try the combinations that the command line asks for."""
    options = _options()
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", file=sys.stderr, flush=True)

    print(f"seed {options.seed}", flush=True)
    pairs = []
    for pair in _pairs(options):
        reasons = [reason for reason in map(servers.missing, pair) if reason]
        if reasons and os.environ.get("CI"):
            tell(f"{' and '.join(pair)}: {', '.join(reasons)}")
            return _NOT_STARTED
        if reasons:
            print(f"{' and '.join(pair)}: skipped, {', '.join(reasons)}", flush=True)
        else:
            pairs.append(pair)
    results = []
    for pair in pairs:
        tell(f"{' and '.join(pair)}: starting")
        try:
            result = _try(pair, options, tell)
        except (servers.UnavailableError, WaitedInVainError) as exc:
            tell(f"{' and '.join(pair)}: {exc}")
            return _NOT_STARTED
        except (asyncio.CancelledError, KeyboardInterrupt):
            tell("interrupted; everything is stopped")
            return _INTERRUPTED
        results.append(result)
        print("\n".join(report.table(result)), flush=True)
    if options.json:
        report.save(options.json, results)
    broken = sorted({p.name for result in results for p in result.promises if not p.kept})
    print(f"BROKEN: {'; '.join(broken)}" if broken else "All promises were kept.", flush=True)
    if not results:
        return _NOT_STARTED
    return _BROKEN if broken else _KEPT


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument(
        "--broker", action="append", choices=servers.BROKERS, help="these only; else all"
    )
    parser.add_argument(
        "--database", action="append", choices=servers.DATABASES, help="these only; else all"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="N",
        default=os.environ.get("CHAOS_SECONDS"),
        help="for how long each combination is disturbed; else $CHAOS_SECONDS, else a short form"
        f" of {_SHORT:g} s each, and without --broker and --database of some combinations only",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=KINDS,
        default=[],
        help="this kind of disturbance only; it can be given several times",
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcome there, too")
    parser.add_argument(
        "--keep", action="store_true", help="keep the folder; it is kept too when a promise broke"
    )
    return parser.parse_args()


def _pairs(options: argparse.Namespace) -> Sequence[tuple[str, str]]:
    if options.seconds is None and not options.broker and not options.database:
        return _SHORT_FORM
    return [*product(options.broker or servers.BROKERS, options.database or servers.DATABASES)]


def _try(
    pair: tuple[str, str], options: argparse.Namespace, tell: Callable[[str], None]
) -> report.Result:
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.chmod(0o711)  # PostgreSQL runs as another user when this is root
    kept = False
    try:
        combination = Combination(folder, *pair, tell)
        seconds = _SHORT if options.seconds is None else options.seconds
        seen = asyncio.run(_interruptible(combination.run(seconds, options.seed, options.only)))
        result = report.judge(*pair, options.seed, seen)
        kept = result.kept
    finally:
        if kept and not options.keep:
            shutil.rmtree(folder)
        else:
            tell(f"kept: {folder}")
    return result


async def _interruptible(work: Coroutine[object, object, Observed]) -> Observed:
    """Do it; SIGTERM cancels it, as Ctrl-C does, so that it cleans up."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


if __name__ == "__main__":
    sys.exit(main())
