"""Jobs that were handed to a manager live on; what descends from a worker is ended."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import psutil
import pytest

from harness import DEADLINE, wait_until
from pacifica.dispatcher.execution.process import ORIGIN, end_tree, origin
from pacifica.dispatcher.execution.process.origin import Origin, cgroup_of, find_reaper

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell")

MARK = "TEST_HANDED_OVER"
_MANAGER = """
while read -r variables; do env $variables setsid sleep 600 & done < "$0/jobs"
"""
_DIRECT = "exec setsid sleep 600"
_ORPHANED = "(setsid sleep 600 &)"

Run: TypeAlias = Callable[[str, Mapping[str, str]], psutil.Process]
Submit: TypeAlias = Callable[[Mapping[str, str]], psutil.Process]


def ended_pid() -> int:
    """Return the id of a process that has ended."""
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


def marks() -> dict[str, str]:
    """Return a mark that no other test has."""
    return {MARK: uuid.uuid4().hex}


def find(marks: Mapping[str, str]) -> psutil.Process:
    """Wait for the sleeping process with a mark, and return it."""
    found: list[psutil.Process] = []

    def is_there() -> bool:
        for each in psutil.process_iter():
            try:
                if each.name() == "sleep" and marks.items() <= each.environ().items():
                    found.append(each)
            except psutil.Error:
                continue
        return bool(found)

    wait_until(is_there)
    return found[0]


def lives(process: psutil.Process) -> bool:
    """Return True if a process has not ended."""
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
def submit(tmp_path: Path) -> Iterator[Submit]:
    """Submit jobs with these variables to a manager, a daemon like that of `at`."""
    os.mkfifo(tmp_path / "jobs")
    arguments = ["/bin/sh", "-c", f"(setsid sh -c '{_MANAGER}' '{tmp_path}' &)"]
    subprocess.run(arguments, check=True, env=os.environ)
    jobs = []
    with (tmp_path / "jobs").open("w", encoding="utf-8") as queue:

        def submit(variables: Mapping[str, str]) -> psutil.Process:
            print(*(f"{name}={text}" for name, text in variables.items()), file=queue, flush=True)
            jobs.append(find(variables))
            return jobs[-1]

        yield submit
    for job in jobs:
        job.kill()


@pytest.fixture
def run() -> Iterator[Run]:
    """Run a script in this environment, and return its sleeping process."""
    shells, sleepers = [], []

    def run(script: str, environment: Mapping[str, str]) -> psutil.Process:
        arguments = ["/bin/sh", "-c", script]
        shells.append(subprocess.Popen(arguments, env={**os.environ, **environment}))
        sleepers.append(find(environment))
        return sleepers[-1]

    yield run
    for sleeper in sleepers:
        with suppress(psutil.NoSuchProcess):
            sleeper.kill()
    for shell in shells:
        shell.wait(DEADLINE)


DEAD_WORKER = Origin(
    supervisor=ended_pid(), main=ended_pid(), began=0.0, reaper=find_reaper(), cgroup="/"
)
LIVING_WORKER = replace(DEAD_WORKER, main=os.getpid(), began=psutil.Process().create_time())


@pytest.mark.parametrize("worker", [DEAD_WORKER, LIVING_WORKER], ids=["dead", "living"])
def test_a_job_of_a_manager_lives_on(submit: Submit, worker: Origin) -> None:
    marked = marks()
    job = submit({**marked, ORIGIN: str(worker)})
    assert end_tree(marked) == ""
    assert lives(job)


def test_a_job_of_this_process_lives_on(submit: Submit) -> None:
    marked = marks()
    job = submit({**marked, ORIGIN: str(origin())})
    end_tree(marked, ended_pid())
    assert lives(job)


def test_an_orphan_of_a_dead_worker_is_ended(run: Run) -> None:
    marked = marks()
    orphan = run(_ORPHANED, {**marked, ORIGIN: str(DEAD_WORKER)})
    end_tree(marked)
    assert not lives(orphan)


def test_an_orphan_that_a_living_worker_did_not_adopt_is_not_its_own(run: Run) -> None:
    marked = marks()
    orphan = run(_ORPHANED, {**marked, ORIGIN: str(LIVING_WORKER)})
    end_tree(marked)
    assert lives(orphan)


def test_an_orphan_in_another_control_group_is_not_the_dead_workers(run: Run) -> None:
    marked = marks()
    elsewhere = replace(DEAD_WORKER, cgroup="/system.slice/dispatcher-worker.service")
    orphan = run(_ORPHANED, {**marked, ORIGIN: str(elsewhere)})
    end_tree(marked)
    assert lives(orphan)


def test_a_child_of_this_process_is_ended(run: Run) -> None:
    marked = marks()
    child = run(_DIRECT, {**marked, ORIGIN: str(DEAD_WORKER)})
    end_tree(marked)
    assert not lives(child)


def test_an_origin_survives_the_environment() -> None:
    worker = replace(DEAD_WORKER, cgroup="/a:b/c")
    assert Origin.of({ORIGIN: str(worker)}) == worker


@pytest.mark.parametrize("text", ["", "1", "1:2:3", "a:b:c:d:e", "1:2:x:4:/"])
def test_an_invalid_origin_is_none(text: str) -> None:
    assert Origin.of({ORIGIN: text}) is None


@pytest.mark.skipif(sys.platform != "linux", reason="control groups")
def test_a_control_group_below_is_shared() -> None:
    own = cgroup_of(os.getpid())
    assert replace(DEAD_WORKER, cgroup=own).shares_cgroup(os.getpid())
    assert not replace(DEAD_WORKER, cgroup=f"{own}/below").shares_cgroup(os.getpid())
    assert DEAD_WORKER.shares_cgroup(os.getpid())


def test_a_process_that_does_not_exist_has_no_control_group() -> None:
    assert cgroup_of(ended_pid()) == "/"
