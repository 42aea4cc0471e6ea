"""`python -m fuzz`: feeds every reader of outside texts with random ones, and prints a table.

Exit codes: 0, nothing was found; 1, something was; 2, wrong usage, or it could not start; 130, it
was interrupted.
"""

import argparse
import asyncio
import os
import re
import signal
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from fuzz.targets import PATIENCE, TARGETS, try_input

_HERE: Final = Path(__file__).parent
_MAX_LENGTH: Final = 4096  # bytes of an input, before a part of it is repeated
_HANG: Final = 30  # seconds, of the clock
_MEMORY: Final = 2048  # MiB
_CLEAN, _FOUND, _NOT_STARTED, _INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a target.

    Attributes:
        target: its name.
        executions: how many inputs it was fed.
        seconds: how long that took.
        finding: the file with the input that it failed on.
        log: what was printed; None when all went well.
    """

    target: str
    executions: int
    seconds: float
    finding: str
    log: str | None


def main() -> int:
    """Fuzz what the command line asks for."""
    options = _options()
    if options.input:
        return _once(options.only, options.input)
    if find_spec("atheris") is None:
        print("atheris is not there; `make fuzz` installs it", file=sys.stderr)
        return _NOT_STARTED
    try:
        results = asyncio.run(_all(options))
    except (asyncio.CancelledError, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    failed = [each for each in results if each.log is not None]
    for each in failed:
        print(f"\n{each.target}:\n{each.log}", file=sys.stderr)
    if any(not each.finding for each in failed):
        return _NOT_STARTED
    return _FOUND if failed else _CLEAN


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=600.0, metavar="N", help="all of it together; else 600"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        metavar="N",
        help=f"seconds of processor time that an input may take; else {PATIENCE:g}",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="feed the same inputs each time; 0: others"
    )
    parser.add_argument(
        "--only", nargs="+", choices=TARGETS, default=list(TARGETS), help="some targets only"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), metavar="N", help="targets at once"
    )
    parser.add_argument(
        "--findings", type=Path, default=Path("findings"), help="where inputs go that were found"
    )
    parser.add_argument(
        "--input", type=Path, metavar="FILE", help="feed this one input, without atheris"
    )
    return parser.parse_args()


def _once(targets: list[str], file: Path) -> int:
    """Feed one input; what it raises is shown with its traceback."""
    for name in targets:
        began = time.process_time()
        try_input(name, file.read_bytes())
        print(f"{name}: {time.process_time() - began:.3f} s")
    return _CLEAN


async def _all(options: argparse.Namespace) -> list[Result]:
    """Fuzz every target for its share of the time, some at once; print a row for each."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    jobs = min(options.jobs, len(options.only))
    seconds = max(1, int(options.seconds * jobs / len(options.only)))
    room = asyncio.Semaphore(jobs)
    options.findings.mkdir(parents=True, exist_ok=True)

    async def fuzzed(name: str) -> Result:
        async with room:
            result = await _fuzzed(name, seconds, options)
        rate = result.executions / max(1.0, result.seconds)
        found = result.finding or ("nothing" if result.log is None else "it did not run")
        print(f"| {name} | {result.executions:,} | {rate:,.0f} | {found} |", flush=True)
        return result

    print("| target | inputs | a second | found |\n| --- | --- | --- | --- |", flush=True)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fuzzed(name)) for name in options.only]
    return [each.result() for each in tasks]


async def _fuzzed(name: str, seconds: int, options: argparse.Namespace) -> Result:
    """Fuzz one target in a process of its own, from the seeds that are kept for it."""
    with TemporaryDirectory(prefix="fuzz-") as folder:
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fuzz.child", name, str(options.patience)),
            *(folder, str(_HERE / "corpus" / name), f"-seed={options.seed}"),
            *(f"-dict={_HERE / 'words.dict'}", f"-artifact_prefix={options.findings}/{name}-"),
            *(f"-max_total_time={seconds}", f"-timeout={_HANG}", f"-max_len={_MAX_LENGTH}"),
            *(f"-rss_limit_mb={_MEMORY}", "-print_final_stats=1"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        log = output.decode(errors="replace")
    executions = re.search(r"^stat::number_of_executed_units:\s*(\d+)", log, re.MULTILINE)
    finding = re.search(r"Test unit written to (\S+)", log)
    return Result(
        name,
        int(executions[1]) if executions else 0,
        time.monotonic() - began,
        finding[1] if finding else "",
        _reason(log) if process.returncode else None,
    )


def _reason(log: str) -> str:
    """What went wrong, without what libFuzzer tells of its work."""
    exception = re.search(r"(?ms)^ === Uncaught Python exception: ===\n(.*?)\n\n", log)
    return exception[1] if exception else log[-4000:]


if __name__ == "__main__":
    sys.exit(main())
