"""The command group: light imports and shell completion."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from pacifica.dispatcher.cli import main
from tests.unit.cli.command_line import call
from tests.unit.cli.documents import EVENT, status_document
from tests.unit.cli.fake_server import Reply, Server

_IMPORTED = """
import sys
from pacifica.dispatcher.cli import main
main(sys.argv[1:], standalone_mode=False)
print(*sys.modules)
"""
_HEAVY = {"celery", "kombu", "cherrypy", "peewee", "psutil", "jsonpath_rfc9535", "rich", "requests"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["serve", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED, *arguments], capture_output=True, text=True, check=True
    )
    assert _HEAVY.isdisjoint(done.stdout.splitlines()[-1].split())


def test_a_client_command_imports_no_server_parts(server: Server) -> None:
    server.replies[f"GET /status/{EVENT}"] = Reply(status_document())
    arguments = ["status", EVENT, "--url", server.url]
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED, *arguments], capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.splitlines()[-1].split())
    assert imported.isdisjoint(_HEAVY - {"rich", "requests"})
    ours = {each for each in imported if each.startswith("pacifica.dispatcher.")}
    assert {each for each in ours if not each.startswith("pacifica.dispatcher.cli")} == {
        "pacifica.dispatcher.errors",
        "pacifica.dispatcher.http_client",
        "pacifica.dispatcher.log_limit",
        "pacifica.dispatcher.telemetry",
    }


def complete(server: Server, words: str, incomplete: str = "") -> list[str]:
    """Return the completions for bash."""
    environment = {
        "_PACIFICA_DISPATCHER_COMPLETE": "bash_complete",
        "COMP_WORDS": f"pacifica-dispatcher {words} {incomplete}",
        "COMP_CWORD": str(len(words.split()) + 1),
        "DISPATCHER_URL": server.url,
    }
    result = CliRunner().invoke(main, env=environment, prog_name="pacifica-dispatcher")
    return [each.partition(",")[2] for each in result.stdout.splitlines() if each]


def test_commands_and_options_are_completed(server: Server) -> None:
    assert complete(server, "", "re") == ["replay", "resume", "retry"]
    assert complete(server, "database") == ["check", "migrate"]
    assert complete(server, "events", "--st") == ["--status", "--state"]
    assert complete(server, "events --status", "f") == ["failed"]


def test_application_names_come_from_the_server(server: Server) -> None:
    names = [{"name": "hello"}, {"name": "help"}, {"name": "add"}]
    server.replies["GET /applications"] = Reply({"applications": names})
    assert complete(server, "pause", "hel") == ["hello", "help"]
    assert complete(server, "events --application", "a") == ["add"]


def test_without_a_server_no_names_are_completed(server: Server) -> None:
    assert complete(server, "resume") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_completion_script(shell: str) -> None:
    environment = {"_PACIFICA_DISPATCHER_COMPLETE": f"{shell}_source"}
    result = CliRunner().invoke(main, env=environment, prog_name="pacifica-dispatcher")
    assert "pacifica-dispatcher" in result.stdout


def test_the_url_option_overrides_the_environment(server: Server) -> None:
    server.replies["GET /events"] = Reply({"events": []})
    assert call(server, "events", "--url", f"{server.url}/elsewhere").exit_code == 1
    assert server.request_lines == ["GET /elsewhere/events?limit=50"]
