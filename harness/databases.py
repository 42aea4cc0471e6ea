"""The databases: PostgreSQL, MariaDB and SQLite."""

import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult

from harness.ports import HOST
from harness.servers import FileServer, ProcessServer, Server, program


class PostgreSQL(ProcessServer):
    """PostgreSQL, as an unprivileged user since it refuses to run as root."""

    programs = ("postgres", "initdb")
    fast_stop = signal.SIGINT

    @property
    def url(self) -> str:
        """Its address."""
        return f"postgresql://dispatcher@{HOST}:{self.port}/postgres"

    def command(self) -> list[str]:
        """Return the command that runs it."""
        settings = {"listen_addresses": HOST, "unix_socket_directories": ""}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        data = str(self.folder / "data")
        return [program("postgres"), "-D", data, "-p", str(self.port), *options]

    def prepare(self) -> None:
        """Create its data directory."""
        user = self.user()
        if user is not None:
            shutil.chown(self.folder, user)
        options = ["-U", "dispatcher", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        self.run([program("initdb"), "-D", str(self.folder / "data"), *options])

    def user(self) -> str | None:
        """Return the user that it must run as."""
        return "postgres" if os.geteuid() == 0 else None


class PgBouncer(ProcessServer):
    """A pooler before a PostgreSQL server: each transaction gets another session."""

    programs = ("pgbouncer",)

    def __init__(
        self,
        folder: Path,
        target: SplitResult,
        environment: Mapping[str, str] = os.environ,
        connections: int = 4,
    ) -> None:
        """Choose the database behind it, and the number of connections to it."""
        super().__init__(folder, environment)
        self.target, self.connections = target, connections

    @property
    def pid(self) -> int:
        """Its process id, that of the server's client."""
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        """Its address."""
        return self.target._replace(netloc=f"{HOST}:{self.port}").geturl()

    def command(self) -> list[str]:
        """Return the command that runs it."""
        user = ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses to run as root
        return [program("pgbouncer"), "-q", *user, str(self.folder / "pgbouncer.ini")]

    def prepare(self) -> None:
        """Write its configuration."""
        target = f"host={self.target.hostname} port={self.target.port} user={self.target.username}"
        (self.folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = {target}\n[pgbouncer]\nlisten_addr = {HOST}\n"
            f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = {self.connections}\n"
            "server_login_retry = 1\n"
        )


class MariaDB(ProcessServer):
    """MariaDB, used with the MySQL driver."""

    programs = ("mariadbd", "mariadb-install-db")

    @property
    def url(self) -> str:
        """Its address."""
        return f"mysql://dispatcher@{HOST}:{self.port}/dispatcher"

    def command(self) -> list[str]:
        """Return the command that runs it."""
        return [
            *(program("mariadbd"), "--no-defaults", *self._options()),
            *(f"--port={self.port}", f"--bind-address={HOST}", "--skip-name-resolve"),
            *(f"--socket={self.folder / 'socket'}", f"--pid-file={self.folder / 'pid'}"),
            *(f"--init-file={self.folder / 'init.sql'}", "--innodb-buffer-pool-size=64M"),
        ]

    def prepare(self) -> None:
        """Create its data directory."""
        (self.folder / "init.sql").write_text(
            "CREATE DATABASE IF NOT EXISTS dispatcher CHARACTER SET utf8mb4;\n"
            f"CREATE USER IF NOT EXISTS dispatcher@'{HOST}';\n"
            f"GRANT ALL ON dispatcher.* TO dispatcher@'{HOST}';\n"
            f"CREATE USER IF NOT EXISTS operator@'{HOST}';\n"
            f"GRANT ALL ON *.* TO operator@'{HOST}';\n"
        )
        method = "--auth-root-authentication-method=normal"
        self.run([program("mariadb-install-db"), "--no-defaults", *self._options(), method])

    def _options(self) -> list[str]:
        user = ["--user=root"] if os.geteuid() == 0 else []
        # In a shared folder, a server that starts removes the temporary tables of the others.
        temporary = f"--tmpdir={self.folder}"
        return [*user, f"--datadir={self.folder / 'data'}", temporary]


class SQLite(FileServer):
    """A file as a database."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"sqlite:///{self.folder / 'db.sqlite3'}"


DATABASES: Final[Mapping[str, type[Server]]] = {
    "postgres": PostgreSQL,
    "mysql": MariaDB,
    "sqlite": SQLite,
}
