"""database: check and migrate."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness import free_port
from pacifica.dispatcher import orm
from pacifica.dispatcher.cli import main
from tests.factories import accept_runs, app, change


def invoke(url: str, *arguments: str) -> Result:
    """Run a command on a database."""
    return CliRunner().invoke(main, ["database", *arguments], env={"PEEWEE_URL": url})


@pytest.fixture
def newest(database: orm.Database) -> str:
    """The last migration."""
    return database.schema().version


def test_migrate_creates_the_tables(url: str, newest: str) -> None:
    fresh = f"{url}-fresh"
    result = invoke(fresh, "migrate")
    assert (result.exit_code, result.stdout) == (0, f"{fresh}: migrated from nothing to {newest}\n")
    for command in ("migrate", "check"):
        result = invoke(fresh, command)
        assert (result.exit_code, result.stdout) == (0, f"{fresh}: up to date ({newest})\n")


def test_migrate_estimates_without_changing_anything(
    url: str, newest: str, database: orm.Database
) -> None:
    result = invoke(f"{url}-fresh", "migrate", "--estimate")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, f"{newest}: 0 rows, about 0 s")
    assert invoke(f"{url}-fresh", "check").stdout.startswith(f"{url}-fresh: at nothing")
    assert invoke(url, "migrate", "--estimate").stdout == f"{url}: up to date\n"
    accept_runs(database, app(), 1, 2)
    change(database, "DELETE FROM schema_migration WHERE name = '0009_expired'")
    document = json.loads(invoke(url, "migrate", "--estimate", "--json").stdout)
    assert document == {"missing": [{"migration": "0009_expired", "rows": 2, "seconds": 0.001}]}
    assert database.schema().missing == ("0009_expired",)


def test_check_finds_a_missing_migration(url: str, newest: str, database: orm.Database) -> None:
    applied = database.schema().applied
    change(database, "DELETE FROM schema_migration WHERE name = ?", (newest,))
    result = invoke(url, "check")
    assert (result.exit_code, result.stdout) == (
        1,
        f"{url}: at {applied[-2]}, not applied: {newest}\n",
    )
    document = json.loads(invoke(url, "check", "--json").stdout)
    assert document == {
        "database": url,
        "version": applied[-2],
        "missing": [newest],
        "unknown": [],
    }


def test_check_finds_a_migration_of_a_later_version(url: str, database: orm.Database) -> None:
    change(
        database,
        "INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '2026-11-23 00:00:00')",
    )
    result = invoke(url, "check")
    assert (result.exit_code, result.stdout) == (
        1,
        f"{url}: migrated by a later version (9999_later)\n",
    )


def test_check_creates_no_database(tmp_path: Path) -> None:
    file = tmp_path / "none.sqlite3"
    result = invoke(f"sqlite:///{file}", "check")
    assert result.exit_code == 1
    assert ": at nothing, not applied: 0001_first_tables, " in result.stdout
    assert not file.exists()


def test_migrate_prints_both_versions_as_json(url: str, newest: str) -> None:
    document = {"database": url, "from": newest, "to": newest}
    assert json.loads(invoke(url, "migrate", "--json").stdout) == document


def test_an_unavailable_database_exits_with_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.ini").write_text("[database]\nconnect_attempts = 1\n")
    monkeypatch.chdir(tmp_path)
    url = f"postgresql://me:secret@127.0.0.1:{free_port()}/x"
    for command in ("check", "migrate"):
        result = invoke(url, command)
        assert (result.exit_code, result.stdout) == (4, "")
        assert " unavailable: " in result.stderr
        assert "secret" not in result.stderr


def test_an_invalid_url_exits_with_2() -> None:
    assert invoke("oracle://x", "check").exit_code == 2
    assert invoke("postgresql://user@host:port/name", "check").exit_code == 2
