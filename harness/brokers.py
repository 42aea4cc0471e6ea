"""The brokers: RabbitMQ, Redis and a folder."""

import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import redis

from harness.ports import HOST, free_port
from harness.servers import FileServer, ProcessServer, Server, program


class RabbitMQ(ProcessServer):
    """RabbitMQ, with its own port mapper instead of the system's."""

    programs = ("rabbitmq-server", "epmd")
    _mapper: subprocess.Popen[bytes] | None = None

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Choose its ports and set its environment."""
        super().__init__(folder, environment)
        self._mapper_port = free_port()
        files = {
            "CONF_ENV_FILE": "environment",
            "CONFIG_FILE": "rabbitmq.conf",
            "ADVANCED_CONFIG_FILE": "advanced.config",
            "ENABLED_PLUGINS_FILE": "plugins",
            "MNESIA_BASE": "mnesia",
            "LOG_BASE": "log",
            "PID_FILE": "pid",
        }
        self.environment |= {f"RABBITMQ_{name}": str(folder / to) for name, to in files.items()}
        self.environment |= {
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_NODENAME": f"harness-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            # Makes the start script exec the server instead of staying as its parent.
            "RUNNING_UNDER_SYSTEMD": "1",
        }

    @property
    def url(self) -> str:
        """Its address."""
        return f"pyamqp://guest:guest@{HOST}:{self.port}//"

    def command(self) -> list[str]:
        """Return the command that runs it."""
        return [program("rabbitmq-server")]

    def prepare(self) -> None:
        """Write its configuration and start the port mapper."""
        (self.folder / "environment").touch()
        (self.folder / "plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = {HOST}:{self.port}\n")
        port = str(self._mapper_port)
        self._mapper = self.spawn([program("epmd"), "-port", port, "-address", HOST])

    def control(self, *command: str) -> None:
        """Run a command of `rabbitmqctl`."""
        self.run(
            [program("rabbitmqctl"), "--node", self.environment["RABBITMQ_NODENAME"], *command]
        )

    async def close(self) -> None:
        """Stop it and its port mapper."""
        await super().close()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()


class Redis(ProcessServer):
    """Redis without persistence."""

    programs = ("redis-server",)

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://{HOST}:{self.port}/0"

    def command(self) -> list[str]:
        """Return the command that runs it."""
        options = ["--port", str(self.port), "--bind", HOST, "--save", ""]
        return [program("redis-server"), *options]

    def replicate(self, master: int | None) -> None:
        """Make it a read-only replica of the server on a port, or a master again."""
        words = ("NO", "ONE") if master is None else (HOST, str(master))
        with closing(redis.Redis.from_url(self.url)) as client:
            client.execute_command("REPLICAOF", *words)  # type: ignore[no-untyped-call]


class Files(FileServer):
    """A folder as a broker."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"filesystem://localhost{self.folder}"


BROKERS: Final[Mapping[str, type[Server]]] = {
    "rabbitmq": RabbitMQ,
    "redis": Redis,
    "files": Files,
}
