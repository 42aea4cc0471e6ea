"""Files and variables around a tier have no effect; unsuitable pools and servers are refused."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from harness import DEADLINE, Site

CONFIG = """
[celery]
broker_url = filesystem://localhost{folder}/broker

[application:hello]
exact.type = hello
command = echo hello

[application:handled]
exact.type = hello
handler = mine:handle
"""
SHADOWS = ("random", "queue", "json", "select", "uuid", "ssl", "email", "celery", "redis", "peewee")
FOREIGN = {
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "CELERY_CONFIG_MODULE": "celeryconfig",
    "CELERY_RESULT_BACKEND": "nowhere://",
    "CELERY_WORKER_POOL": "threads",
    "CELERYD_CONCURRENCY": "9",
    "CONFIG_MODULE": "celeryconfig",
    "DJANGO_SETTINGS_MODULE": "nowhere.settings",
    "LOADER": "nowhere.Loader",
}


def program(name: str) -> str:
    """Return a program of this environment, which does not put the working directory first."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    assert found
    return found


@pytest.fixture
def messy(site: Site) -> Site:
    """A site whose folder has modules with the names of others."""
    site.configure(CONFIG.format(folder=site.folder))
    for name in (*SHADOWS, "celeryconfig"):
        (site.folder / f"{name}.py").write_text(f"raise SystemExit('took {name}.py')\n")
    (site.folder / "mine.py").write_text("import json\ndef handle(event): return json.dumps(1)\n")
    return site


def test_variables_and_modules_that_lie_around_do_not_matter(messy: Site) -> None:
    web = messy.start(program("pacifica-dispatcher"), "serve", "-p", str(messy.port), **FOREIGN)
    messy.wait_listening(web)
    messy.start(program("celery"), "-A", "pacifica.dispatcher.tasks", "worker", "-c2", **FOREIGN)
    messy.wait_status(messy.post(type="hello").json["uuid"], "succeeded")
    assert "environment.ignored variable=CELERY_BROKER_URL" in messy.logs()
    assert "took" not in messy.logs()


def test_they_do_not_matter_to_a_standalone_either(messy: Site) -> None:
    command = program("pacifica-dispatcher"), "standalone", "-p", str(messy.port)
    messy.wait_listening(messy.start(*command, **FOREIGN))
    messy.wait_status(messy.post(type="hello").json["uuid"], "succeeded")
    assert "took" not in messy.logs()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs to become another user")
def test_a_user_without_home_and_name_can_run_all_tiers(site: Site) -> None:
    site.configure(CONFIG.format(folder=site.folder).partition("[application:handled]")[0])
    site.folder.chmod(0o777)
    reading = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
    as_nobody = ("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", *reading)
    bare = ("env", "-i", *as_nobody, program("pacifica-dispatcher"))
    site.wait_listening(site.start(*bare, "standalone", "-p", str(site.port)))
    site.wait_status(site.post(type="hello").json["uuid"], "succeeded")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--pool", "threads"], "Unsupported pool 'thread'; use --pool prefork or --pool solo"),
        (["--pool-start-method", "spawn"], "the pool must fork"),
        (["--time-limit", "5"], "set the timeout of the application instead"),
        (["--soft-time-limit", "5"], "set the timeout of the application instead"),
    ],
    ids=lambda each: each[0],
)
def test_pools_that_cannot_work_are_refused(site: Site, options: list[str], problem: str) -> None:
    site.configure(CONFIG.format(folder=site.folder))
    assert site.start_worker(*options).wait(DEADLINE) == 2
    assert problem in site.logs()
    assert "Traceback" not in site.logs()


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_pools_that_work(site: Site, pool: str) -> None:
    site.configure(CONFIG.format(folder=site.folder).partition("[application:handled]")[0])
    site.start_web()
    site.start_worker("--pool", pool)
    posted = [site.post(type="hello").json["uuid"] for _ in range(10)]
    for uuid in posted:
        site.wait_status(uuid, "succeeded")


def gunicorn(site: Site, *options: str) -> list[str]:
    """Return the command that serves a site by gunicorn."""
    listen = f"127.0.0.1:{site.port}"
    return [program("gunicorn"), "-b", listen, *options, "pacifica.dispatcher.wsgi:application"]


def test_an_application_that_is_loaded_in_advance_is_refused(site: Site) -> None:
    site.configure(CONFIG.format(folder=site.folder))
    assert site.start(*gunicorn(site, "-w", "2", "--preload")).wait(DEADLINE) == 2
    assert "Unsupported WSGI server: it loads the application in one process" in site.logs()
    assert "Traceback" not in site.logs()


@pytest.mark.parametrize("kind", [("-k", "sync"), ("-k", "gthread", "--threads", "4")])
def test_servers_that_work(site: Site, kind: tuple[str, ...]) -> None:
    site.configure(CONFIG.format(folder=site.folder))
    server = site.start(*gunicorn(site, "-w", "2", *kind))
    site.wait_listening(server)
    for number in range(20):
        posted = site.post(type="hello", id=str(number)).json
        assert site.status(posted["uuid"])["event"]["id"] == str(number)
    server.terminate()
    assert server.wait(DEADLINE) == 0


def test_gunicorn_ends_if_the_application_cannot_be_loaded(site: Site) -> None:
    site.configure("[celery]\nbroker_url = nonsense\n")
    # If a second process fails while gunicorn ends, gunicorn itself shows a traceback.
    assert site.start(*gunicorn(site, "-w", "1")).wait(DEADLINE) == 4
    assert "config.ini: [celery] broker_url: must be a URL" in site.logs()
    assert "Traceback" not in site.logs()
