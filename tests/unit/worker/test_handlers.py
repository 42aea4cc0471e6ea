"""Python handlers and their results."""

import sys
from pathlib import Path

import pytest

from pacifica.dispatcher.applications import BUILT_IN
from tests.factories import make_event
from tests.unit.worker.factories import Driver, handler

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell")


@pytest.mark.parametrize(("name", "result"), [("add", 9), ("mul", 24)])
def test_built_in_handlers_calculate(driver: Driver, name: str, result: int) -> None:
    [application] = [each for each in BUILT_IN if each.name == name]
    run = driver.run(application, make_event(data=[2, 3, 4]))
    assert (run.status, run.result) == ("succeeded", result)


def test_a_callable_handler_gets_the_event(driver: Driver, tmp_path: Path) -> None:
    source = "def handle(event):\n    print('output')\n    return [event.id, event.data]\n"
    run = driver.run(handler(tmp_path, source, "handle"), make_event(7, data={"a": 1}))
    assert (run.status, run.result, driver.output(run)) == (
        "succeeded",
        ["7", {"a": 1}],
        "output\n",
    )


def test_a_class_handles_the_event(driver: Driver, tmp_path: Path) -> None:
    source = "class Custom:\n    def handle(self, event):\n        return event.type\n"
    run = driver.run(handler(tmp_path, source, "Custom"))
    assert (run.status, run.result) == ("succeeded", "org.example")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('unexpected value')", "unexpected value"),
        ("return {1, 2}", "not JSON serializable"),
        ("return float('nan')", "not JSON compliant"),
        ("import no_such_module", "no_such_module"),
    ],
)
def test_the_error_of_a_failing_handler_is_output(
    driver: Driver, tmp_path: Path, body: str, message: str
) -> None:
    run = driver.run(handler(tmp_path, f"def handle(event):\n    {body}\n", "handle"))
    assert (run.status, run.exit_code, run.result) == ("failed", 1, None)
    assert message in driver.output(run, "stderr")


def test_a_missing_handler_is_named(driver: Driver, tmp_path: Path) -> None:
    run = driver.run(handler(tmp_path, "", "handle"))
    assert run.status == "failed"
    assert "'handle'" in driver.output(run, "stderr")


def test_a_file_in_the_working_directory_is_not_imported(driver: Driver, tmp_path: Path) -> None:
    # A file that an application wrote must never replace a module.
    run = driver.run(handler(tmp_path, "import sys\ndef handle(event): return sys.path", "handle"))
    assert isinstance(run.result, list)
    assert "" not in run.result


def test_a_module_beside_the_configuration_replaces_none_of_the_standard_library(
    driver: Driver, tmp_path: Path
) -> None:
    for name in ("json", "queue", "random"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError\n")
    source = "import json, queue, random\ndef handle(event): return json.dumps(1)"
    assert driver.run(handler(tmp_path, source, "handle")).result == "1"
