"""database: how far the tables are, and bringing them up to date."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pacifica.dispatcher import orm
from pacifica.dispatcher.cli import main
from tests.support import free_port
from tests.unit.conftest import change


def invoke(url: str, *arguments: str) -> Result:
    """Run a command on a database."""
    return CliRunner().invoke(main, ["database", *arguments], env={"PEEWEE_URL": url})


@pytest.fixture
def newest(database: orm.Database) -> str:
    """The last migration, when a database is ready for use."""
    return database.schema().version


def test_tables_are_made_and_then_are_up_to_date(url: str, newest: str) -> None:
    fresh = f"{url}-fresh"
    result = invoke(fresh, "migrate")
    assert (result.exit_code, result.stdout) == (0, f"{fresh}: brought from nothing to {newest}\n")
    for command in ("migrate", "check"):
        result = invoke(fresh, command)
        assert (result.exit_code, result.stdout) == (0, f"{fresh}: up to date ({newest})\n")


def test_tables_that_are_behind(url: str, newest: str, database: orm.Database) -> None:
    applied = database.schema().applied
    change(database, "DELETE FROM schema_migration WHERE name = ?", (newest,))
    result = invoke(url, "check")
    assert (result.exit_code, result.stdout) == (1, f"{url}: at {applied[-2]}, without {newest}\n")
    document = json.loads(invoke(url, "check", "--json").stdout)
    assert document == {
        "database": url,
        "version": applied[-2],
        "missing": [newest],
        "unknown": [],
    }


def test_what_a_later_version_has_made_is_not_up_to_date(url: str, database: orm.Database) -> None:
    change(
        database,
        "INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '2026-11-23 00:00:00')",
    )
    result = invoke(url, "check")
    assert (result.exit_code, result.stdout) == (
        1,
        f"{url}: made by a later version (9999_later)\n",
    )


def test_a_look_makes_no_database(tmp_path: Path) -> None:
    file = tmp_path / "none.sqlite3"
    result = invoke(f"sqlite:///{file}", "check")
    assert result.exit_code == 1
    assert ": at nothing, without 0001_first_tables, " in result.stdout
    assert not file.exists()


def test_programs_are_told_from_what_to_what(url: str, newest: str) -> None:
    document = {"database": url, "from": newest, "to": newest}
    assert json.loads(invoke(url, "migrate", "--json").stdout) == document


def test_a_database_that_does_not_answer_ends_with_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.ini").write_text("[database]\nconnect_attempts = 1\n")
    monkeypatch.chdir(tmp_path)
    url = f"postgresql://me:secret@127.0.0.1:{free_port()}/x"
    for command in ("check", "migrate"):
        result = invoke(url, command)
        assert (result.exit_code, result.stdout) == (4, "")
        assert "cannot be used" in result.stderr
        assert "secret" not in result.stderr


def test_a_url_that_cannot_be_used_ends_with_2() -> None:
    assert invoke("oracle://x", "check").exit_code == 2
    assert invoke("postgresql://user@host:port/name", "check").exit_code == 2
