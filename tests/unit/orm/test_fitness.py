"""Databases that cannot hold events: each is refused with one sentence."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnfitError, TooLargeError
from tests.factories import change, make_event


def prepare(url: str) -> None:
    with closing(orm.Database(url)) as database:
        database.prepare(attempts=10, wait=60)


def refused(url: str, act: Callable[[str], None] = prepare) -> str:
    """Return the sentence by which a database is refused at once."""
    with pytest.raises(DatabaseUnfitError) as caught:
        act(url)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def check(url: str) -> None:
    with closing(orm.Database(url)) as database:
        database.check()


def run_sql(url: str, *statements: str) -> None:
    """Run statements as the tests' user."""
    if url.startswith("postgresql"):
        with psycopg.connect(url, autocommit=True) as postgres:
            for each in statements:
                postgres.execute(each.encode())
        return
    parts = urlsplit(url)
    with (
        pymysql.connect(
            host=parts.hostname or "",
            port=parts.port or 3306,
            user=parts.username or "",
            database=parts.path[1:],
            autocommit=True,
        ) as mysql,
        mysql.cursor() as cursor,
    ):
        for each in statements:
            cursor.execute(each)


def name_of(url: str) -> str:
    return urlsplit(url).path[1:]


@contextmanager
def poor_user(url: str, *, may: str = "SELECT") -> Iterator[str]:
    """Yield the URL of a user with only these rights to all tables."""
    name = name_of(url)
    user = f"{name}_user"
    if url.startswith("postgresql"):
        grant = [
            f"CREATE ROLE {user} LOGIN",
            f"GRANT {may} ON ALL TABLES IN SCHEMA public TO {user}",
        ]
        drop = [f"DROP OWNED BY {user}", f"DROP ROLE {user}"]
    else:
        account = f"{user[:30]}@'%'"
        user = user[:30]
        grant = [f"CREATE USER {account}", f"GRANT {may} ON {name}.* TO {account}"]
        drop = [f"DROP USER {account}"]
    run_sql(url, *grant)
    try:
        parts = urlsplit(url)
        yield parts._replace(netloc=f"{user}@{parts.hostname}:{parts.port}").geturl()
    finally:
        run_sql(url, *drop)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_postgres_with_another_encoding(postgres_url: str, encoding: str) -> None:
    name = f"{name_of(postgres_url)}_encoding"
    create = f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
    run_sql(postgres_url, create)
    try:
        reason = refused(urlsplit(postgres_url)._replace(path=name).geturl())
    finally:
        run_sql(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")
    assert reason.endswith(f"its encoding is {encoding}; create it with ENCODING 'UTF8'")


@pytest.mark.parametrize("charset", ["latin1", "utf8mb3"])
def test_mysql_with_another_character_set(mysql_url: str, charset: str) -> None:
    run_sql(mysql_url, f"ALTER DATABASE CHARACTER SET {charset}")
    assert f"its character set is {charset}" in refused(mysql_url)


def test_mysql_with_a_table_in_another_character_set(mysql_url: str) -> None:
    prepare(mysql_url)
    run_sql(mysql_url, "ALTER TABLE event MODIFY sent LONGTEXT CHARACTER SET latin1")
    assert "its character set is latin1" in refused(mysql_url, check)


def test_mysql_through_another_character_set(mysql_url: str) -> None:
    assert "remove charset from the URL" in refused(f"{mysql_url}?charset=latin1")


@pytest.mark.parametrize("act", [prepare, check])
def test_postgres_that_is_read_only(postgres_url: str, act: Callable[[str], None]) -> None:
    prepare(postgres_url)
    name = name_of(postgres_url)
    run_sql(postgres_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert "it is read-only; set default_transaction_read_only" in refused(postgres_url, act)


@pytest.mark.parametrize("act", [prepare, check])
def test_postgres_whose_search_path_finds_nothing(
    postgres_url: str, act: Callable[[str], None]
) -> None:
    run_sql(postgres_url, f"ALTER DATABASE {name_of(postgres_url)} SET search_path = nosuch")
    assert "no schema of its search_path (nosuch) exists" in refused(postgres_url, act)


@pytest.mark.parametrize("act", [prepare, check])
def test_a_user_who_may_only_read(server_url: str, act: Callable[[str], None]) -> None:
    prepare(server_url)
    with poor_user(server_url) as url:
        assert " denied " in refused(url, act)


@pytest.mark.parametrize("table", ["run", "output", "pace"])
@pytest.mark.parametrize("act", [prepare, check])
def test_a_missing_table(database_url: str, table: str, act: Callable[[str], None]) -> None:
    prepare(database_url)
    with closing(orm.Database(database_url)) as database:
        change(database, f"ALTER TABLE {table} RENAME TO elsewhere")
    assert table in refused(database_url, act)


def test_a_missing_column(database_url: str) -> None:
    prepare(database_url)
    with closing(orm.Database(database_url)) as database:
        change(database, "ALTER TABLE event DROP COLUMN expired")
    assert "expired" in refused(database_url, check)


def test_tables_of_something_else(database_url: str) -> None:
    prepare(database_url)
    with closing(orm.Database(database_url)) as database:
        change(database, "DROP TABLE schema_migration")
    assert "already exists" in refused(database_url)


def test_a_missing_right_is_unavailability_for_an_event(server_url: str) -> None:
    def accept(url: str) -> None:
        with closing(orm.Database(url)) as database:
            orm.accept(database, [orm.Arrival(make_event(), [])])

    prepare(server_url)
    with poor_user(server_url) as url:
        assert " denied " in refused(url, accept)


@pytest.mark.parametrize("act", [prepare, check])
def test_a_damaged_page(database: orm.Database, url: str, act: Callable[[str], None]) -> None:
    database.close()
    with Path(url.removeprefix("sqlite:///")).open("r+b") as file:
        file.seek(-4096, os.SEEK_END)
        file.write(b"\xff" * 4096)
    assert "is damaged: " in refused(url, act)


def refuse_access(monkeypatch: pytest.MonkeyPatch, refused: Path) -> None:
    """Let a file or folder be read only, as no file is for root."""
    access = os.access

    def may(path: str | Path, mode: int, *, effective_ids: bool) -> bool:
        allowed = access(path, mode, effective_ids=effective_ids)
        return allowed and not (Path(path) == refused and mode & os.W_OK)

    monkeypatch.setattr(os, "access", may)


@pytest.mark.parametrize("act", [prepare, check])
def test_a_folder_that_cannot_be_written(
    database: orm.Database,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[str], None],
) -> None:
    database.close()
    refuse_access(monkeypatch, tmp_path)
    assert f"folder {tmp_path} cannot be written" in refused(url, act)


def test_a_file_that_cannot_be_written(
    database: orm.Database, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.close()
    refuse_access(monkeypatch, tmp_path / "db.sqlite3")
    assert "cannot be read and written" in refused(url, check)


def test_an_event_that_the_database_does_not_take_is_too_large(mysql_url: str) -> None:
    prepare(mysql_url)
    with closing(orm.Database(mysql_url)) as database:
        large = make_event(1, data="x" * database.max_row())
        with pytest.raises(TooLargeError, match="in the database, which takes"):
            orm.accept(database, [orm.Arrival(large, [])])


def test_events_that_are_large_together_are_stored_by_several_statements(mysql_url: str) -> None:
    prepare(mysql_url)
    with closing(orm.Database(mysql_url)) as database:
        data = '"' * (database.max_row() // 4)
        arrivals = [orm.Arrival(make_event(number, data=data), []) for number in range(4)]
        assert len(orm.accept(database, arrivals)) == 4
