"""`python -m fuzz`: feed random input to every parser and print a table of the results.

Exit codes: 0 no findings; 1 findings; 2 wrong usage, or a target could not start; 130 interrupted.
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

from fuzz.targets import CPU_LIMIT, TARGETS, try_input

_HERE: Final = Path(__file__).parent
_MAX_LENGTH: Final = 4096  # bytes per input, before its marked part is repeated
_HANG: Final = 30  # seconds of wall-clock time
_MEMORY: Final = 2048  # MiB
_CLEAN, _FOUND, _NOT_STARTED, _INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one target.

    Attributes:
        target: the target's name.
        executions: the number of inputs.
        seconds: the duration.
        finding: the file with the failing input; empty for no finding.
        log: the output of a failed process; None for success.
    """

    target: str
    executions: int
    seconds: float
    finding: str
    log: str | None


def main() -> int:
    """Run the command line."""
    options = _options()
    if options.input:
        return _run_input(options.only, options.input)
    if find_spec("atheris") is None:
        print("atheris is not installed; run `make fuzz` to install it", file=sys.stderr)
        return _NOT_STARTED
    try:
        results = asyncio.run(_fuzz_all(options))
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
        "--seconds", type=float, default=600.0, metavar="N", help="total duration (default 600)"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=CPU_LIMIT,
        metavar="N",
        help=f"maximum CPU seconds per input (default {CPU_LIMIT:g})",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed for reproducible inputs; 0 for random ones (default)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=TARGETS,
        default=list(TARGETS),
        help="targets to fuzz (default: all)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count(),
        metavar="N",
        help="targets in parallel (default: number of CPUs)",
    )
    parser.add_argument(
        "--findings", type=Path, default=Path("findings"), help="directory for failing inputs"
    )
    parser.add_argument(
        "--input", type=Path, metavar="FILE", help="run this one input, without atheris"
    )
    return parser.parse_args()


def _run_input(targets: list[str], file: Path) -> int:
    """Run one input; an exception passes, for its traceback."""
    for name in targets:
        began = time.process_time()
        try_input(name, file.read_bytes())
        print(f"{name}: {time.process_time() - began:.3f} s")
    return _CLEAN


async def _fuzz_all(options: argparse.Namespace) -> list[Result]:
    """Fuzz the targets in parallel, each for its share of the time, and print a table."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    jobs = min(options.jobs, len(options.only))
    seconds = max(1, int(options.seconds * jobs / len(options.only)))
    slots = asyncio.Semaphore(jobs)
    options.findings.mkdir(parents=True, exist_ok=True)

    async def fuzz(name: str) -> Result:
        async with slots:
            result = await _fuzz_target(name, seconds, options)
        rate = result.executions / max(1.0, result.seconds)
        found = result.finding or ("nothing" if result.log is None else "did not run")
        print(f"| {name} | {result.executions:,} | {rate:,.0f} | {found} |", flush=True)
        return result

    print("| target | inputs | per second | found |\n| --- | --- | --- | --- |", flush=True)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fuzz(name)) for name in options.only]
    return [each.result() for each in tasks]


async def _fuzz_target(name: str, seconds: int, options: argparse.Namespace) -> Result:
    """Fuzz one target in a child process, starting from its seeds."""
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
    """Return the exception, or the end of the log, without libFuzzer's statistics."""
    exception = re.search(r"(?ms)^ === Uncaught Python exception: ===\n(.*?)\n\n", log)
    return exception[1] if exception else log[-4000:]


if __name__ == "__main__":
    sys.exit(main())
