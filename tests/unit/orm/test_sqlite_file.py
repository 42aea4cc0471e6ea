"""The SQLite file: deleted, replaced, overwritten or restored while it is open."""

import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from harness import DEADLINE, wait_until
from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnavailableError
from tests.factories import make_event

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be replaced")


class Tier:
    """A database with two threads, as a tier has several, each with a connection of its own."""

    def __init__(self, url: str) -> None:
        """Open the database in each thread."""
        self.database = orm.Database(url)
        self.file = Path(url.removeprefix("sqlite:///"))
        self.threads = [ThreadPoolExecutor(1) for _ in range(2)]
        self.number = 0
        for thread in range(2):
            self.accept(thread)

    def accept(self, thread: int = 0) -> str:
        """Accept an event in a thread; return its id."""
        self.number += 1
        arrival = orm.Arrival(make_event(self.number), [])
        self.threads[thread].submit(orm.accept, self.database, [arrival]).result(DEADLINE)
        return str(self.number)

    def refuses(self, reason: str) -> None:
        """Check that no thread accepts an event, for this reason."""
        for thread in range(2):
            with pytest.raises(DatabaseUnavailableError, match=reason):
                self.accept(thread)

    def accepts_again(self) -> str:
        """Wait until an event is accepted; return its id."""

        def accepted() -> str:
            try:
                return self.accept()
            except DatabaseUnavailableError:
                return ""

        return wait_until(accepted, "a clean database")

    def stop(self) -> None:
        """End the threads, which close their connections."""
        for each in self.threads:
            each.shutdown()
        self.database.close()

    def stored(self) -> set[str]:
        """Return the ids of the events in the file that is there, which must not be damaged."""
        with closing(sqlite3.connect(self.file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            return {id_ for (id_,) in connection.execute("SELECT id FROM event")}

    def log(self, kind: str) -> Path:
        """Return the path of the log (wal) or its index (shm)."""
        return Path(f"{self.file}-{kind}")


@pytest.fixture
def tier(database: orm.Database, url: str) -> Iterator[Tier]:
    database.check()
    database.close()
    tier = Tier(url)
    yield tier
    tier.stop()


@pytest.fixture
def backup(tier: Tier, tmp_path: Path) -> Path:
    """A backup of the database; an event was accepted since."""
    file = tmp_path / "backup.sqlite3"
    with closing(sqlite3.connect(tier.file)) as source, closing(sqlite3.connect(file)) as target:
        source.backup(target)
    tier.accept()
    return file


def remove_all(tier: Tier) -> None:
    for each in (tier.file, tier.log("wal"), tier.log("shm")):
        each.unlink()


def test_nothing_is_accepted_into_a_deleted_file(tier: Tier) -> None:
    remove_all(tier)
    tier.refuses(r"is not there; restore it")
    assert not tier.file.exists()


def test_a_deleted_file_is_not_read(tier: Tier) -> None:
    remove_all(tier)
    with pytest.raises(DatabaseUnavailableError, match="is not there"):
        tier.database.check()


def test_a_file_that_was_only_away_is_used_again(tier: Tier, tmp_path: Path) -> None:
    tier.file.rename(tmp_path / "elsewhere")
    tier.refuses("is not there")
    (tmp_path / "elsewhere").rename(tier.file)
    tier.log("wal").rename(tmp_path / "wal")
    (tmp_path / "wal").rename(tier.log("wal"))
    event = tier.accepts_again()
    tier.accept(1)
    tier.stop()
    assert {"1", "2", event} <= tier.stored()


def test_a_restored_backup_is_used(tier: Tier, backup: Path) -> None:
    remove_all(tier)
    tier.refuses("is not there")
    shutil.copy(backup, tier.file)
    event = tier.accepts_again()
    tier.accept(1)
    tier.stop()
    assert tier.stored() == {"1", "2", event, str(tier.number)}


def test_a_backup_beside_the_previous_log_is_refused_until_the_log_is_removed(
    tier: Tier, backup: Path
) -> None:
    backup.rename(tier.file)
    tier.refuses("was replaced")
    tier.refuses(r"belongs to the previous file; remove .*-wal and .*-shm")
    tier.log("wal").unlink()
    tier.log("shm").unlink()
    event = tier.accepts_again()
    tier.accept(1)
    tier.stop()
    assert tier.stored() == {"1", "2", event, str(tier.number)}


def test_a_new_thread_does_not_read_the_previous_log(tier: Tier, backup: Path) -> None:
    backup.rename(tier.file)
    with (
        ThreadPoolExecutor(1) as another,
        pytest.raises(DatabaseUnavailableError, match="belongs to the previous file"),
    ):
        another.submit(tier.database.check).result(DEADLINE)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no such table"),
        (b"this is a text\n" * 1000, "not a database"),
    ],
)
def test_a_file_of_another_kind_is_refused(tier: Tier, content: bytes, reason: str) -> None:
    remove_all(tier)
    tier.refuses("is not there")
    tier.file.write_bytes(content)
    tier.refuses(reason)
    assert tier.file.read_bytes() == content


def test_a_backup_of_another_version_is_refused(tier: Tier, backup: Path) -> None:
    with closing(sqlite3.connect(backup, isolation_level=None)) as connection:
        connection.execute("INSERT INTO schema_migration (name, applied) VALUES ('9999', 0)")
    remove_all(tier)
    backup.rename(tier.file)
    tier.refuses("was replaced")
    tier.refuses("was replaced by another one, which has tables of another version")


def test_a_damaged_backup_is_refused(tier: Tier, backup: Path) -> None:
    with backup.open("r+b") as file:
        file.seek(-4096, os.SEEK_END)
        file.write(b"\xff" * 4096)
    remove_all(tier)
    backup.rename(tier.file)
    tier.refuses("was replaced")
    tier.refuses("was replaced by another one, which is damaged: ")


def checkpoint(tier: Tier) -> None:
    with closing(sqlite3.connect(tier.file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(FULL)")


def copy_over(tier: Tier, backup: Path) -> None:
    tier.file.write_bytes(backup.read_bytes())


def truncate(tier: Tier, _: Path) -> None:
    os.truncate(tier.file, 8192)


def empty(tier: Tier, _: Path) -> None:
    os.truncate(tier.file, 0)


@pytest.mark.parametrize("overwrite", [copy_over, truncate, empty])
def test_an_overwritten_file_is_not_written(
    tier: Tier, backup: Path, overwrite: Callable[[Tier, Path], None]
) -> None:
    for number in range(100):
        tier.accept(number % 2)
    checkpoint(tier)
    tier.accept()
    overwrite(tier, backup)
    content = tier.file.read_bytes()
    tier.refuses("was overwritten or truncated while it was open; stop all tiers")
    tier.stop()
    assert tier.file.read_bytes() == content


@pytest.mark.parametrize("kinds", [["wal"], ["shm"], ["wal", "shm"]])
def test_a_log_that_is_removed_is_saved(tier: Tier, kinds: list[str]) -> None:
    accepted = {"1", "2"}
    for kind in kinds:
        tier.log(kind).unlink()
    for _ in range(5):
        for thread in range(2):
            try:
                accepted.add(tier.accept(thread))
            except DatabaseUnavailableError as exc:
                assert "was removed while it was open" in str(exc)  # noqa: PT017 - either is fine
            time.sleep(0.03)  # the index is looked at ten times a second
    assert {str(tier.number), str(tier.number - 1)} <= accepted
    tier.stop()
    assert accepted <= tier.stored()


def test_a_renamed_folder_is_noticed(database: orm.Database, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "db.sqlite3")) as copy:
        database.check()
        database.peewee.connection().backup(copy)
    tier = Tier(f"sqlite:///{folder}/db.sqlite3")
    folder.rename(tmp_path / "other")
    tier.refuses("is not there")
    (tmp_path / "other").rename(folder)
    tier.accept()
    tier.stop()


def test_checkpoints_and_a_vacuum_of_another_tool_are_no_matter(tier: Tier) -> None:
    accepted = {"1", "2"}
    for number in range(50):
        accepted.add(tier.accept(number % 2))
        if number % 10 == 0:
            checkpoint(tier)
    with closing(sqlite3.connect(tier.file, isolation_level=None)) as connection:
        connection.execute("DELETE FROM event WHERE id IN ('1', '2')")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    accepted |= {tier.accept(0), tier.accept(1)}
    tier.stop()
    assert tier.stored() == accepted - {"1", "2"}


def test_the_checks_of_a_transaction_take_microseconds(tier: Tier) -> None:
    peewee = tier.database.peewee
    with tier.database.reading():
        connection, times = peewee.connection(), []
        for _ in range(200):
            began = time.perf_counter()
            peewee.connect(reuse_if_open=True)
            peewee.verify_commit()
            times.append(time.perf_counter() - began)
        assert connection is peewee.connection()
    assert sorted(times)[20] < 50e-6  # the others may have waited for a processor
