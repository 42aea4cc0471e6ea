"""The proxy of the how-to: nginx with TLS, authentication, a path, and either kind of address."""

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import trustme

from harness import PROGRAM, Site, free_port, wait_until
from tests.servers import absent

ROOT = Path(__file__).resolve().parents[2]
USER = "ada:lovelace"
CONFIG = """
[server]
port = {port}
path = /dispatcher
connections_per_address = 0
[application:count]
exact.type = count
command = sh -c "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line-$i; sleep 1; done"
"""
MAIN = """
{user}
daemon off;
pid nginx.pid;
error_log nginx.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;
{block}}}
"""


@dataclass(frozen=True)
class Front:
    """A site behind a proxy."""

    site: Site
    port: int

    @property
    def url(self) -> str:
        """The URL of the root, with a user."""
        return f"https://{USER}@localhost:{self.port}/dispatcher"

    def curl(self, path: str, *options: str) -> str:
        """Fetch a path below the root."""
        command = ["curl", "-s", "--cacert", "ca.pem", *options, f"{self.url}{path}"]
        done = subprocess.run(
            command, cwd=self.site.folder, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout


def shown_block() -> str:
    """Return nginx's configuration in the how-to."""
    text = (ROOT / "docs" / "how-to.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```nginx\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert isinstance(block, str)
    return block


def start_nginx(site: Site, upstream: str) -> Front:
    """Start nginx with the block of the how-to, in the folder of a site."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if nginx is None:
        absent("nginx", FileNotFoundError("nginx"))
    front = Front(site, free_port())
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(site.folder / "ca.pem"))
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(site.folder / "dispatcher.key"))
    issued.cert_chain_pems[0].write_to_path(str(site.folder / "dispatcher.crt"))
    (site.folder / "dispatcher.users").write_text(USER.replace(":", ":{PLAIN}"))
    block = shown_block()
    for old, new in (
        ("127.0.0.1:8069", upstream),
        ("443", f"127.0.0.1:{front.port}"),
        ("/etc/nginx/", ""),
    ):
        assert old in block
        block = block.replace(old, new)
    user = "user root;" if os.geteuid() == 0 else ""  # the folders of tests are private
    (site.folder / "nginx.conf").write_text(MAIN.format(block=block, user=user))
    site.start(nginx, "-p", f"{site.folder}/", "-c", "nginx.conf", "-e", "nginx.log")
    wait_until(lambda: front.curl("/health/live") == '{"status": "ok"}\n', "nginx", timeout=60)
    return front


@pytest.fixture(params=["port", "socket"])
def front(request: pytest.FixtureRequest, site: Site, tmp_path: Path) -> Front:
    """A standalone behind nginx, on a port or a Unix socket."""
    settings = "[global]\ntools.proxy.on = True\ntools.proxy.local = ''\n"
    upstream = f"127.0.0.1:{site.port}"
    if request.param == "socket":
        file = tmp_path / "web.sock"
        settings += f"server.socket_file = {str(file)!r}\n"
        upstream = f"unix:{file}"
    (site.folder / "cherrypy.ini").write_text(settings)
    site.configure(CONFIG.format(port=site.port))
    site.start(*PROGRAM, "standalone", "--cp-config", "cherrypy.ini")
    wait_until(lambda: "is ready:" in site.logs(), "the dispatcher", timeout=60)
    return start_nginx(site, upstream)


def test_the_proxy_of_the_how_to(front: Front) -> None:
    assert "401" in front.curl("/", "-u", "ada:wrong", "-o", "/dev/null", "-w", "%{http_code}")
    accepted = front.curl("/receive", "-i", *event("count"))
    [location] = re.findall("(?im)^location: (.*?)\r?$", accepted)
    assert location.startswith("/dispatcher/status/")
    uuid = location.rpartition("/")[2]

    page = front.curl("/", "-H", "Accept: text/html")
    links = re.findall(r'(?:href|src|action)="(/[^"]*)"', page)
    assert f"/dispatcher/events/{uuid}" in links
    assert f"https://localhost:{front.port}/dispatcher/receive" in front.curl(
        f"/events/{uuid}", "-H", "Accept: text/html"
    )
    for each in {link for link in links if not link.startswith("/dispatcher/together")}:
        path = each.removeprefix("/dispatcher")
        assert front.curl(path, "-o", "/dev/null", "-w", "%{http_code}") == "200", each

    def status() -> str:
        return str(json.loads(front.curl(f"/status/{uuid}"))["status"])

    wait_until(lambda: status() == "running", "the run", timeout=60)
    [run] = json.loads(front.curl(f"/status/{uuid}"))["runs"]
    begun = time.monotonic()
    stream = front.curl(
        f"/runs/{run['uuid']}/output", "-N", "-m", "4", "-H", "Accept: text/event-stream"
    )
    assert "line-1" in stream, "the stream was buffered"
    assert time.monotonic() - begun < 30
    live = front.curl("/", "-N", "-m", "4", "-H", "Accept: text/event-stream")
    assert f"/dispatcher/events/{uuid}" in live

    command = shlex.join([*PROGRAM, "status", uuid, "--wait", "--url", front.url])
    done = subprocess.run(
        ["sh", "-c", f"SSL_CERT_FILE=ca.pem {command}"],
        cwd=front.site.folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, "succeeded" in done.stdout) == (0, True), done
    assert "lovelace" not in front.site.logs()


@pytest.mark.parametrize("front", ["port"], indirect=True)
def test_the_proxy_keeps_its_connections(front: Front) -> None:
    for _ in range(5):
        assert front.curl("/receive", "-o", "/dev/null", "-w", "%{http_code}", *event("x")) == "202"
    kept = [
        each
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_ESTABLISHED and each.raddr[1:] == (front.site.port,)
    ]
    assert len(kept) == 1


def event(kind: str) -> tuple[str, ...]:
    """Return curl's options that send an event in binary mode."""
    fields = {
        "ce-specversion": "1.0",
        "ce-source": "/s",
        "ce-type": kind,
        "ce-id": f"{time.time()}",
    }
    headers = (("-H", f"{name}: {text}") for name, text in fields.items())
    return ("-X", "POST", *(each for pair in headers for each in pair))
