"""A runner of commands against a fake server."""

from click.testing import CliRunner, Result

from pacifica.dispatcher.cli import main
from tests.unit.cli.fake_server import Server


def call(server: Server, *arguments: str, stdin: str | bytes | None = None) -> Result:
    """Run a command that calls the server."""
    environment = {"DISPATCHER_URL": server.url, "TZ": "UTC"}
    result = CliRunner().invoke(main, arguments, input=stdin, env=environment)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result
