"""The kernel's count of processes that it killed for lack of memory."""

from pathlib import Path

import pytest

from pacifica.dispatcher.execution.process.memory import counter, oom_kills

VERSION_1 = "4:memory:/job\n1:name=systemd:/x\n0::/\n"
VERSION_2 = "0::/system.slice/worker.service\n"
_FILES = {
    VERSION_1: "memory/job/memory.oom_control",
    VERSION_2: "system.slice/worker.service/memory.events",
}


@pytest.mark.parametrize("cgroups", [VERSION_1, VERSION_2], ids=["version 1", "version 2"])
@pytest.mark.parametrize("readable", [True, False])
def test_the_count_is_that_of_the_group_or_else_of_the_machine(
    tmp_path: Path, cgroups: str, *, readable: bool
) -> None:
    own, machine, group = tmp_path / "cgroup", tmp_path / "vmstat", tmp_path / _FILES[cgroups]
    own.write_text(cgroups, encoding="utf-8")
    if readable:
        group.parent.mkdir(parents=True)
        group.write_text("under_oom 0\noom_kill 3\n", encoding="utf-8")
    assert counter(own, tmp_path, machine) == (group if readable else machine)


def test_the_count_of_this_machine_is_a_number() -> None:
    assert oom_kills() >= 0
