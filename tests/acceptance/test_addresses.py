"""Printed addresses work: IPv6, all interfaces, Unix sockets, TLS, a path; secrets stay hidden."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from harness import PROGRAM, Site, free_port, http, wait_until

CONFIG = """
[database]
connect_attempts = 1
[celery]
broker_url = filesystem://localhost{folder}/broker
[server]
port = {port}
{more}
[application:true]
exact.type = test
command = true
"""
GUNICORN = Path(sys.executable).with_name("gunicorn")


def configure(site: Site, more: str = "") -> None:
    site.configure(CONFIG.format(folder=site.folder, port=site.port, more=more))


def printed(site: Site, process: subprocess.Popen[bytes]) -> str:
    """Return the address that a server prints once it listens."""

    def found() -> str:
        assert process.poll() is None, site.logs()
        lines = re.findall(r"^(?:Listening on|.* is ready:) (.*)$", site.logs(), re.MULTILINE)
        return lines[-1] if lines else ""

    return wait_until(found, "the printed address", timeout=60)


def shell(site: Site, command: str) -> str:
    """Run a command, which must succeed, and return its output."""
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=site.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, (done, site.logs())
    return done.stdout


def ask(site: Site, url: str, *arguments: str) -> str:
    """Run a command of the command line client for a server."""
    return shell(site, shlex.join([*PROGRAM, *arguments, "--url", url]))


@pytest.mark.parametrize(
    ("address", "host"),
    [("::1", "[::1]"), ("::", "[::1]"), ("0.0.0.0", "127.0.0.1"), ("localhost", "localhost")],  # noqa: S104
)
def test_the_printed_address_can_be_opened(site: Site, address: str, host: str) -> None:
    configure(site, f"address = {address}")
    url = printed(site, site.start(*PROGRAM, "serve"))
    assert url == f"http://{host}:{site.port}/"
    assert shell(site, f"curl -sgf {url}health/live") == '{"status": "ok"}\n'
    assert "true" in ask(site, url, "applications")
    page = http(url, Accept="text/html").text
    assert f"http://{host}:{site.port}/receive" in page


def test_an_address_in_use_is_refused(site: Site) -> None:
    configure(site, "address = ::")
    with socket.create_server(("127.0.0.1", site.port)):
        assert site.start(*PROGRAM, "serve").wait(60) == 1
    assert f"Cannot listen on ::, port {site.port}: Address already in use" in site.logs()


def test_the_address_of_a_server_with_tls(site: Site, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "tls.pem")
    )
    (site.folder / "cherrypy.ini").write_text(
        "[global]\nserver.ssl_module = 'builtin'\n"
        "server.ssl_certificate = 'tls.pem'\nserver.ssl_private_key = 'tls.pem'\n"
    )
    configure(site)
    url = printed(site, site.start(*PROGRAM, "serve", "--cp-config", "cherrypy.ini"))
    assert url == f"https://127.0.0.1:{site.port}/"
    assert "ok" in shell(site, f"curl -sf --cacert ca.pem {url}health/live")


@pytest.fixture
def socket_file(site: Site) -> Path:
    """The path of the Unix socket of a configured server."""
    configure(site)
    (site.folder / "cherrypy.ini").write_text("[global]\nserver.socket_file = 'd.sock'\n")
    return site.folder / "d.sock"


def serve(site: Site, tier: str = "serve") -> subprocess.Popen[bytes]:
    return site.start(*PROGRAM, tier, "--cp-config", "cherrypy.ini")


def test_a_unix_socket(site: Site, socket_file: Path) -> None:
    with socket.create_server(("127.0.0.1", site.port)):  # the port is not needed
        server = serve(site, "standalone")
        url = printed(site, server)
    assert url == f"unix:{socket_file}"
    [example] = re.findall("^Try it:  (.*)$", site.logs(), re.MULTILINE)
    uuid = shell(site, example)
    assert "succeeded" in ask(site, url, "status", uuid.strip(), "--wait")
    assert uuid.strip() in ask(site, url, "events")
    server.terminate()
    assert server.wait(60) == 0, site.logs()
    assert not socket_file.exists()
    assert "Traceback" not in site.logs()


def test_the_socket_of_a_dead_server_is_replaced(site: Site, socket_file: Path) -> None:
    server = serve(site)
    printed(site, server)
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    assert socket_file.is_socket()
    again = serve(site)
    wait_until(lambda: site.log(1).read_text().count("Listening on") == 1, "the server", timeout=60)
    assert "true" in ask(site, f"unix:{socket_file}", "applications")
    again.terminate()
    assert again.wait(60) == 0


def test_the_socket_of_another_server_is_not_taken(site: Site, socket_file: Path) -> None:
    printed(site, serve(site))
    assert serve(site).wait(60) == 1
    assert "Cannot listen on unix:d.sock: another server listens there" in site.logs()
    assert "true" in ask(site, f"unix:{socket_file}", "applications")


def test_a_file_in_the_place_of_the_socket_is_kept(site: Site, socket_file: Path) -> None:
    socket_file.write_text("precious")
    assert serve(site).wait(60) == 1
    assert "Cannot listen on unix:d.sock: not a socket" in site.logs()
    assert socket_file.read_text() == "precious"


def test_a_server_below_a_path(site: Site) -> None:
    configure(site, "path = /lab/dispatcher")
    url = printed(site, site.start(*PROGRAM, "serve"))
    assert url == f"http://127.0.0.1:{site.port}/lab/dispatcher/"
    assert "ok" in shell(site, f"curl -sf {url}health/live")
    uuid = site.post(type="test").json["uuid"]
    assert uuid in ask(site, url, "events", "--all")
    assert f'href="/lab/dispatcher/events/{uuid}"' in http(url, Accept="text/html").text


@pytest.mark.parametrize("root", ["", "/lab"])
def test_other_forms_of_a_path_under_gunicorn(site: Site, root: str) -> None:
    configure(site)
    bind = ("-b", f"127.0.0.1:{site.port}", "pacifica.dispatcher.wsgi:application")
    site.start(GUNICORN, *bind, SCRIPT_NAME=root)
    wait_until(lambda: status(site, f"GET {root}/health/live") == 200, "gunicorn", timeout=60)
    assert status(site, f"GET {root}//health///live") == 200
    assert status(site, f"GET http://disp.example.org{root}/health/live") == 200
    created = reply(site, f"POST {root}//receive")
    assert created.startswith("HTTP/1.1 202 ")
    assert f"\r\nlocation: {root}/status/" in created.lower()
    for target in ("//evil.example", "//evil.example/..", "//evil.example/%2e%2e"):
        refused = reply(site, f"GET {root}{target}")
        assert refused.startswith("HTTP/1.1 404 ")
        assert "location:" not in refused.lower()


def reply(site: Site, line: str) -> str:
    """Send a request with a raw target, and an event as its body."""
    body = '{"specversion": "1.0", "id": "1", "source": "/s", "type": "test"}'
    with socket.create_connection(("127.0.0.1", site.port), 30) as connection:
        connection.sendall(
            f"{line} HTTP/1.1\r\nHost: disp.example.org\r\nConnection: close\r\n"
            f"Content-Type: application/cloudevents+json\r\nContent-Length: {len(body)}\r\n\r\n"
            f"{body}".encode()
        )
        with connection.makefile("rb") as file:
            return file.read().decode()


def status(site: Site, line: str) -> int:
    """Return the status of the response to a raw request, 0 without one."""
    try:
        return int(reply(site, line).split()[1])
    except (OSError, IndexError):
        return 0


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_no_client_learns_of_the_database_or_the_broker(site: Site, accept: str) -> None:
    port = free_port()
    broker = f"pyamqp://brokeruser:hush-hush@127.0.0.1:{port}//"
    site.configure(f"[server]\nport = {site.port}\n[celery]\nbroker_url = {broker}\n")
    site.start_web()
    site.start(*PROGRAM, "send", "--type", "x", "--source", "/s", "--url", site.url).wait(60)
    http(f"{site.url}/dispatch/add/1/2")
    wait_until(lambda: "broker" in http(f"{site.url}/health/ready").json, "the broker's trouble")
    assert http(f"{site.url}/health/ready").json == {
        "status": "ok",
        "broker": "Broker unavailable; runs start when it is back",
    }
    (site.folder / "db.sqlite3").rename(site.folder / "elsewhere")
    for path in ("/health/ready", "/workers", "/events", "/", "/applications"):
        refused = http(f"{site.url}{path}", Accept=accept)
        assert refused.status == 503, path
        assert "Database unavailable; try again later" in refused.text
        for secret in ("sqlite", str(site.folder), "brokeruser", "hush", str(port)):
            assert secret not in refused.text
    assert "request.refused" in site.logs()
    assert "hush" not in site.logs()


def test_no_secret_of_a_url_is_shown(site: Site) -> None:
    hidden = f"postgresql://dbuser:hush1@127.0.0.1:{free_port()}/d?passfile=hush2&sslpassword=hush3"
    configure(site)
    variables = {"PEEWEE_URL": hidden}
    assert site.start(*PROGRAM, "check", **variables).wait(60) == 0
    assert site.start(*PROGRAM, "database", "check", **variables).wait(60) == 4
    assert site.start(*PROGRAM, "serve", **variables).wait(60) == 1
    bad = hidden.replace("/d?", "/d?nosuchoption=1&")
    assert site.start(*PROGRAM, "check", PEEWEE_URL=bad).wait(60) == 2
    assert site.start(*PROGRAM, "check", BROKER_URL="redis://h/0?password=hush4").wait(60) == 2
    assert site.logs().count("postgresql://dbuser:***@127.0.0.1:") >= 4
    assert "hush" not in site.logs()
