"""The documentation is true: its commands do what it says, and it leaves out no key or option."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from itertools import pairwise
from pathlib import Path

import click
import pytest
import yaml

from pacifica.dispatcher import adapters, applications, cli, config, filters, rest
from tests.support import Site, http, wait_until

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PORT = "8069"
"""The port that the documentation names; the tests put a free one in its place."""

WEB = ("make run", "pacifica-dispatcher standalone", "python -m pacifica.dispatcher", "gunicorn ")
WORKER = "celery "
VARYING = [
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME"),
    (r'"host": "[^"]*"', '"host": "HOST"'),
    (r"\b\d\.\ds\b", "TOOK"),
]
"""What differs between two runs of a command."""

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
    """All fenced blocks of a page, in order."""
    found = re.findall(
        r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return [Block(language, text) for language, text in found]


def masked(text: str) -> str:
    """A text without what differs between two runs of a command."""
    for pattern, mask in VARYING:
        text = re.sub(pattern, mask, text)
    return text.strip()


class Reader:
    """Somebody who follows a page: types its commands and compares what they print.

    Shell variables and the folder last from a command to the next, as in a terminal; a web tier is
    stopped with Ctrl-C before the next one is started.
    """

    def __init__(self, site: Site) -> None:
        """Sit down in the site's folder, with the environment of the tests active."""
        self._site = site
        self._memory = site.folder / "shell-state"
        self._memory.write_text(f"export PWD='{site.folder}'\n")
        self._path = f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}"
        self._web: subprocess.Popen[bytes] | None = None

    def follow(self, page: Path) -> None:
        """Do all that a page says."""
        for block, after in pairwise([*blocks(page), Block("", "")]):
            if block.language == "sh":
                shown = after.text if after.language in {"text", "json"} else ""
                self._do(block.text.strip(), shown)

    def leave(self) -> None:
        """Press Ctrl-C where the web tier runs; nobody may listen afterwards."""
        if self._web is not None:
            os.killpg(self._web.pid, signal.SIGINT)
            self._web.wait(45)  # gunicorn itself gives its processes 30 s
            with pytest.raises(OSError, match="refused"):
                http(self._site.url)
        self._web = None

    def _do(self, command: str, shown: str) -> None:
        if command.startswith("docker-compose up "):
            compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
            assert command.rsplit(maxsplit=1)[-1] in compose["services"]
        elif command.startswith(WORKER):
            self._start(command)
        elif command.startswith(WEB):
            self.leave()
            self._web = self._start(command)
            self._try_web(shown)
        elif shown:
            self._expect(command, masked(shown))
        else:
            done = self._run(command)
            assert done.returncode == 0, done

    def _start(self, command: str) -> subprocess.Popen[bytes]:
        script = f'. "{self._memory}"; cd "$PWD"; exec {self._localized(command)}'
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

        def as_shown() -> bool:
            printed.append(masked(self._run(command).stdout))
            return printed[-1] == shown

        try:
            wait_until(as_shown, command, timeout=15)
        except AssertionError as exc:
            raise AssertionError(f"{exc}; it printed\n{printed[-1]}\nnot\n{shown}") from exc

    def _run(self, command: str) -> subprocess.CompletedProcess[str]:
        script = f'set -a; . "{self._memory}"; cd "$PWD"\n{self._localized(command)}\n'
        script += f'status=$?; export -p > "{self._memory}"; exit $status'
        environment = {
            **os.environ,
            "PATH": self._path,
            "PYTEST_ADDOPTS": "--collect-only -q",
            "DISPATCHER_URL": self._site.url,
        }
        return subprocess.run(
            ["sh", "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def _localized(self, text: str) -> str:
        if text.startswith("pacifica-dispatcher standalone"):
            text += f" --port {PORT}"
        return text.replace(PORT, str(self._site.port))


@pytest.fixture
def checkout(site: Site) -> Site:
    """A checkout whose environment is that of the tests, so that nothing is installed again."""
    for name in ("Makefile", "pyproject.toml", "config.ini"):
        shutil.copy(ROOT / name, site.folder)
    for name in ("tests", "fuzz"):
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
    """Each web tier also has to run an application, so the worker has to work."""
    with (checkout.folder / "config.ini").open("a") as file:
        file.write(f"[server]\nport = {checkout.port}\n")
        file.write(f"[celery]\nbroker_url = {rabbitmq_url}\nqueue = {queue}\n")
    reader = Reader(checkout)
    reader.follow(ROOT / "README.md")
    reader.leave()


def test_every_command_of_the_tutorial(site: Site) -> None:
    reader = Reader(site)
    reader.follow(DOCS / "tutorial.md")
    reader.leave()


def test_every_command_of_the_how_to(site: Site) -> None:
    reader = Reader(site)
    reader.follow(DOCS / "how-to.md")
    reader.leave()


def test_the_application_of_the_readme_is_that_of_the_sample_configuration() -> None:
    [shown] = [each.text for each in blocks(ROOT / "README.md") if each.language == "ini"]
    sample = [line for line in (ROOT / "config.ini").read_text().splitlines() if line]
    assert shown.splitlines() == [line for line in sample if not line.startswith(";")]


def samples() -> Iterator[tuple[str, str]]:
    """Every configuration that a page shows."""
    for page in (ROOT / "README.md", *sorted(DOCS.glob("*.md"))):
        for number, block in enumerate(blocks(page)):
            if block.language == "ini":
                yield f"{page.name}-{number}", block.text


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in samples()])
def test_every_configuration_shown_is_valid(site: Site, text: str) -> None:
    site.configure(text)
    process = site.start(sys.executable, "-m", "pacifica.dispatcher", "check")
    assert process.wait(30) == 0, site.logs()


def documented(section: str) -> dict[str, str]:
    """The keys that the reference has for a section, with their defaults."""
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    part = text.partition(f"### `[{section}]`\n")[2].partition("\n##")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (?:`([^`]*)`|([^|`]*)) \|", part, re.MULTILINE)
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
    families = {f"{each}.ATTRIBUTE" for each in filters.ATTRIBUTE_DIALECTS} | {"env.NAME"}
    assert set(shown) == {*readers, *(families if section == "application:NAME" else ())}
    for key in readers.keys() & defaults.keys():
        if shown[key] == "none":
            assert defaults[key] in (None, "", frozenset()), key
        else:
            assert readers[key](shown[key]) == defaults[key], key


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    """A group and all commands in it, by what is typed for them."""
    yield name, group
    for each in group.commands.values():
        if isinstance(each, click.Group):
            yield from commands(each, f"{name} {each.name}")
        else:
            yield f"{name} {each.name}", each


COMMANDS = dict(commands(cli.main, "pacifica-dispatcher"))


@pytest.mark.parametrize("typed", COMMANDS)
def test_every_command_and_option_has_help_and_is_in_the_reference(typed: str) -> None:
    command = COMMANDS[typed]
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    assert command.help
    assert isinstance(command, click.Group) or f"`{typed}`" in text
    for option in command.params:
        assert isinstance(option, click.Argument) or getattr(option, "help", None), option
        for name in option.opts if isinstance(option, click.Option) else ():
            assert f"`{name}" in text, name


def test_every_resource_is_in_the_reference() -> None:
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    for path in rest.RESOURCES:
        assert f" /{path}" in text, path


def test_the_table_of_requests_is_that_of_the_description() -> None:
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    table = text.partition("\n## HTTP\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    shown = {each.removesuffix("/…") for row in rows for each in re.findall(r"`([^`]*)`", row)}
    assert shown == {
        f"{method.upper()} {re.sub(r'{(.*?)}', lambda name: name[1].upper(), address)}"
        for address, methods in rest.DOCUMENT["paths"].items()
        for method in methods
    }


@pytest.mark.parametrize(
    "page", [*ROOT.glob("*.md"), *DOCS.glob("*.md")], ids=lambda page: str(page.name)
)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [each for each in targets if not (page.parent / each).exists()] == []
