"""All commands together: none of them waits for what it does not need."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from pacifica.dispatcher.cli import main
from tests.unit.cli.conftest import EVENT, Said, Server, ask, status_document

_IMPORTED = """
import sys
from pacifica.dispatcher.cli import main
main(sys.argv[1:], standalone_mode=False)
print(*sys.modules)
"""
_HEAVY = {"celery", "kombu", "cherrypy", "peewee", "psutil", "jsonpath_rfc9535", "rich", "urllib3"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["serve", "--help"]])
def test_help_imports_nothing_that_takes_time(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED, *arguments], capture_output=True, text=True, check=True
    )
    assert _HEAVY.isdisjoint(done.stdout.splitlines()[-1].split())


def test_a_command_that_asks_needs_no_server_parts(server: Server) -> None:
    server.says[f"GET /status/{EVENT}"] = Said(status_document())
    arguments = ["status", EVENT, "--url", server.url]
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED, *arguments], capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.splitlines()[-1].split())
    assert imported.isdisjoint(_HEAVY - {"rich", "urllib3"})
    ours = {each for each in imported if each.startswith("pacifica.dispatcher.")}
    assert {each for each in ours if not each.startswith("pacifica.dispatcher.cli")} == {
        "pacifica.dispatcher.errors"
    }


def complete(server: Server, words: str, incomplete: str = "") -> list[str]:
    """What bash is told to offer."""
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


def test_the_names_of_applications_are_the_server_s(server: Server) -> None:
    names = [{"name": "hello"}, {"name": "help"}, {"name": "add"}]
    server.says["GET /applications"] = Said({"applications": names})
    assert complete(server, "pause", "hel") == ["hello", "help"]
    assert complete(server, "events --application", "a") == ["add"]


def test_without_a_server_no_name_is_offered(server: Server) -> None:
    assert complete(server, "resume") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_for_completion(shell: str) -> None:
    environment = {"_PACIFICA_DISPATCHER_COMPLETE": f"{shell}_source"}
    result = CliRunner().invoke(main, env=environment, prog_name="pacifica-dispatcher")
    assert "pacifica-dispatcher" in result.stdout


def test_a_url_of_the_option_goes_before_the_environment(server: Server) -> None:
    server.says["GET /events"] = Said({"events": []})
    assert ask(server, "events", "--url", f"{server.url}/elsewhere").exit_code == 1
    assert server.asked == ["GET /elsewhere/events?limit=50"]
