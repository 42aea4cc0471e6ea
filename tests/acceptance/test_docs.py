"""The documentation is correct and complete: commands, keys, options, requests and log events."""

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import TypeGuard

import click
import pytest
import yaml

from harness import DEADLINE, Site, http, wait_until
from pacifica.dispatcher import adapters, applications, cli, config, rest, rules

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PORT = "8069"
"""The port used in the documentation, which the tests replace with a free one."""

WEB = ("make run", "pacifica-dispatcher standalone", "python -m pacifica.dispatcher", "gunicorn ")
WORKER = "celery "
VARYING = [
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME"),
    (r'"host": "[^"]*"', '"host": "HOST"'),
    (r"\b\d\.\ds\b", "DURATION"),
]
"""Patterns of output that differs from run to run, with their placeholders."""

SECTIONS = {
    **config.SECTIONS,
    "application:NAME": config.APPLICATION_KEYS,
    "adapter:NAME": config.ADAPTER_KEYS,
}
SETTINGS = {
    "database": config.DatabaseSettings,
    "celery": config.CelerySettings,
    "server": config.ServerSettings,
    "worker": config.WorkerSettings,
    "webhook": config.WebhookSettings,
    "application:NAME": applications.Application,
    "adapter:NAME": adapters.Adapter,
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Return all fenced blocks of a page, in order."""
    found = re.findall(
        r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return [Block(language, text) for language, text in found]


def masked(text: str) -> str:
    """Replace output that differs from run to run."""
    for pattern, mask in VARYING:
        text = re.sub(pattern, mask, text)
    return text.strip()


class Reader:
    """A reader who follows a page: runs its commands and compares their output.

    Shell variables and the working directory persist between commands, as in a terminal. A web tier
    is stopped with Ctrl-C before the next one is started.
    """

    def __init__(self, site: Site) -> None:
        """Start a shell session in the site's folder, with the tests' environment active."""
        self._site = site
        self._state = site.folder / "shell-state"
        self._state.write_text(f"export PWD='{site.folder}'\n")
        self._path = f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}"
        self._web: subprocess.Popen[bytes] | None = None

    def follow(self, page: Path) -> None:
        """Run all commands of a page."""
        for block, after in pairwise([*blocks(page), Block("", "")]):
            if block.language == "sh":
                shown = after.text if after.language in {"text", "json"} else ""
                self._execute(block.text.strip(), shown)

    def stop_web(self) -> None:
        """Stop the web tier with Ctrl-C, and check that its port is closed."""
        if self._web is not None:
            os.killpg(self._web.pid, signal.SIGINT)
            self._web.wait(DEADLINE)  # gunicorn allows its workers 30 s
            with pytest.raises(OSError, match="refused"):
                http(self._site.url)
        self._web = None

    def _execute(self, command: str, shown: str) -> None:
        if command.startswith("docker-compose up "):
            compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
            assert command.rsplit(maxsplit=1)[-1] in compose["services"]
        elif command.startswith(WORKER):
            self._start(command)
        elif command.startswith(WEB):
            self.stop_web()
            self._web = self._start(command)
            self._try_web(shown)
        elif shown:
            self._expect(command, masked(shown))
        else:
            done = self._run(command)
            assert done.returncode == 0, done

    def _start(self, command: str) -> subprocess.Popen[bytes]:
        script = f'. "{self._state}"; cd "$PWD"; exec {self._localized(command)}'
        return self._site.start("sh", "-c", script, PATH=self._path)

    def _try_web(self, shown: str) -> None:
        assert self._web
        self._site.wait_listening(self._web)
        uuid = http(f"{self._site.url}/dispatch/add/2/2").text
        assert self._site.wait_status(uuid, "succeeded", "failed")["result"] == 4
        printed = self._site.log(self._site.processes.index(self._web)).read_text()
        assert self._localized(shown).strip() in printed

    def _expect(self, command: str, shown: str) -> None:
        printed: list[str] = []

        def matches() -> bool:
            printed.append(masked(self._run(command).stdout))
            return printed[-1] == shown

        try:
            wait_until(matches, command)
        except AssertionError as exc:
            raise AssertionError(f"{exc}; printed\n{printed[-1]}\nexpected\n{shown}") from exc

    def _run(self, command: str) -> subprocess.CompletedProcess[str]:
        script = f'set -a; . "{self._state}"; cd "$PWD"\n{self._localized(command)}\n'
        script += f'status=$?; export -p > "{self._state}"; exit $status'
        environment = {
            **os.environ,
            "PATH": self._path,
            "PYTEST_ADDOPTS": "--collect-only -q --ignore=tests/unit --ignore=tests/integration",
            "DISPATCHER_URL": self._site.url,
        }
        return subprocess.run(
            ["sh", "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=2 * DEADLINE,
            check=False,
        )

    def _localized(self, text: str) -> str:
        if text.startswith("pacifica-dispatcher standalone"):
            text += f" --port {PORT}"
        return text.replace(PORT, str(self._site.port))


@pytest.fixture
def checkout(site: Site) -> Site:
    """A checkout that shares the tests' environment, so that nothing is installed."""
    for name in ("Makefile", "pyproject.toml", "config.ini"):
        shutil.copy(ROOT / name, site.folder)
    for name in ("tests", "fuzz", "harness", "chaos"):  # the tests import the others
        (site.folder / name).symlink_to(ROOT / name)
    environment = site.folder / ".venv"
    environment.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if entry.suffix != ".stamp":
            (environment / entry.name).symlink_to(entry)
    for stamp in ("run.stamp", "test.stamp"):
        (environment / stamp).touch()
    return site


def test_every_command_of_the_readme(queue: str, rabbitmq_url: str, checkout: Site) -> None:
    # Each web tier is also asked to run an application, which exercises the worker.
    with (checkout.folder / "config.ini").open("a") as file:
        file.write(f"[server]\nport = {checkout.port}\n")
        file.write(f"[celery]\nbroker_url = {rabbitmq_url}\nqueue = {queue}\n")
    reader = Reader(checkout)
    reader.follow(ROOT / "README.md")
    reader.stop_web()


def test_every_command_of_the_tutorial(site: Site) -> None:
    reader = Reader(site)
    reader.follow(DOCS / "tutorial.md")
    reader.stop_web()


def test_every_command_of_the_how_to(site: Site) -> None:
    reader = Reader(site)
    reader.follow(DOCS / "how-to.md")
    reader.stop_web()


def test_the_readme_shows_the_application_of_the_sample_configuration() -> None:
    [shown] = [each.text for each in blocks(ROOT / "README.md") if each.language == "ini"]
    sample = [line for line in (ROOT / "config.ini").read_text().splitlines() if line]
    assert shown.splitlines() == [line for line in sample if not line.startswith(";")]


def samples() -> Iterator[tuple[str, str]]:
    """Yield every configuration shown in the documentation, with a name."""
    for page in (ROOT / "README.md", *sorted(DOCS.glob("*.md"))):
        for number, block in enumerate(blocks(page)):
            if block.language == "ini":
                yield f"{page.name}-{number}", block.text


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in samples()])
def test_every_configuration_shown_is_valid(site: Site, text: str) -> None:
    site.configure(text)
    process = site.start(sys.executable, "-m", "pacifica.dispatcher", "check")
    assert process.wait(DEADLINE) == 0, site.logs()


def documented(section: str) -> dict[str, str]:
    """Return the keys that the reference lists for a section, with their defaults."""
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    part = text.partition(f"### `[{section}]`\n")[2].partition("\n##")[0]
    table = part.partition("| --- | --- | --- |\n")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (?:`([^`]*)`|([^|`]*)) \|", table, re.MULTILINE)
    return {key: (quoted or plain).strip() for key, quoted, plain in rows}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_in_the_reference_with_its_default(section: str) -> None:
    readers = SECTIONS[section]
    settings = fields(SETTINGS[section])
    defaults = {each.name: each.default for each in settings if each.default is not MISSING}
    if section == "application:NAME":
        retry = {each.name: each.default for each in fields(applications.Retry)}
        defaults |= {"retries": retry.pop("retries")}
        defaults |= {f"retry_{name}": default for name, default in retry.items()}
    shown = documented(section)
    families = {f"{each}.ATTRIBUTE" for each in rules.ATTRIBUTE_DIALECTS} | {"env.NAME"}
    assert set(shown) == {*readers, *(families if section == "application:NAME" else ())}
    for key in readers.keys() & defaults.keys():
        if shown[key] == "none":
            assert defaults[key] in (None, "", frozenset(), ()), key
        else:
            assert readers[key](shown[key]) == defaults[key], key


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield a group and all commands in it, with their full names."""
    yield name, group
    for each in group.commands.values():
        if isinstance(each, click.Group):
            yield from commands(each, f"{name} {each.name}")
        else:
            yield f"{name} {each.name}", each


COMMANDS = dict(commands(cli.main, "pacifica-dispatcher"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help_and_is_in_the_reference(name: str) -> None:
    command = COMMANDS[name]
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    assert command.help
    assert isinstance(command, click.Group) or f"`{name}`" in text
    for option in command.params:
        assert isinstance(option, click.Argument) or getattr(option, "help", None), option
        for flag in option.opts if isinstance(option, click.Option) else ():
            assert f"`{flag}" in text, flag


def test_the_table_of_requests_matches_the_routes() -> None:
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    table = text.partition("\n## HTTP\n")[2].partition("\n### ")[0]
    assert request_table() in table, f"update reference.md with:\n{request_table()}"


def request_table() -> str:
    """Return the table of all addresses and methods, formatted as in reference.md."""
    rows = ["| request | response |", "| --- | --- |"]
    for route in filter(lambda each: each.described, rest.ROUTES):
        address = re.sub(r"{(.*?)(?:\.\.\.)?}", lambda name: name[1].upper(), route.address)
        for method, declared in route.resource.operations().items():
            shown = f"`{method} {address}`"
            rows.append(f"| {shown} | {declared.status.value}: {_small(declared.summary)} |")
    return "\n".join(rows)


def _small(summary: str) -> str:
    return summary[0].lower() + summary[1:]


@dataclass
class LogEvent:
    """The levels and the fields of a log event."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


def test_the_table_of_log_events_is_complete() -> None:
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    table = text.partition("\n## Log\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([A-Z, ]+) \| (.*?) ?\| ", table, re.MULTILINE)
    documented = {
        name: LogEvent(set(levels.split(", ")), set(re.findall(r"`(\w+)`", names)))
        for name, levels, names in rows
    }
    assert len(documented) == len(rows)
    assert documented == emitted_events()


def emitted_events() -> dict[str, LogEvent]:
    """Return the log events of every call of `emit`, without the bound fields."""
    found: dict[str, LogEvent] = defaultdict(LogEvent)
    for file in (ROOT / "pacifica" / "dispatcher").rglob("*.py"):
        module = ast.parse(file.read_text(encoding="utf-8"))
        for call in calls_of("emit", module):
            assert all(each.arg for each in call.keywords), f"{file}:{call.lineno}: ** in emit"
            levels = [each.id for arg in call.args[1:] for each in ast.walk(arg) if is_level(each)]
            names = event_names(call, module)
            assert names, f"{file}:{call.lineno}: the name of the log event is not a literal"
            for name in names:
                found[name].levels |= set(levels or ["INFO"])
                found[name].fields |= {str(each.arg) for each in call.keywords} - {"exception"}
    return found


def event_names(call: ast.Call, module: ast.Module) -> list[str]:
    """Return the literal name, or those passed to a function whose first parameter it is."""
    match call.args[0]:
        case ast.Constant(value=str(name)):
            return [name]
        case ast.Name(id=parameter):
            functions = [
                each.name
                for each in ast.walk(module)
                if isinstance(each, ast.FunctionDef)
                and call in ast.walk(each)
                and parameter in [arg.arg for arg in each.args.args]
            ]
            calls = [each for name in functions for each in calls_of(name, module)]
            return [name for each in calls for name in event_names(each, module)]
        case _:
            return []


def calls_of(function: str, module: ast.Module) -> Iterator[ast.Call]:
    """Yield the calls of a function or method by its name."""
    for node in ast.walk(module):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name == function:
                yield node


def is_level(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and node.id in {"DEBUG", "INFO", "WARNING", "ERROR"}


@pytest.mark.parametrize(
    "page", [*ROOT.glob("*.md"), *DOCS.glob("*.md")], ids=lambda page: str(page.name)
)
def test_every_link_to_a_file_resolves(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [each for each in targets if not (page.parent / each).exists()] == []
