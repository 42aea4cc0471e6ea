"""The files of one attempt, in a folder that nothing else uses."""

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from pacifica.dispatcher.errors import ApplicationError, DiskFullError, EventError
from pacifica.dispatcher.events import Event, check_json

MAX_RESULT: Final = 1024**2
"""Bytes that an application's result may have."""


class Workplace:
    """A folder with the event, the application's working directory, and its result.

    Attributes:
        event: the file that holds the event as JSON.
        result: the file that the application may write its result to.
        directory: the working directory.
    """

    def __init__(self, folder: Path) -> None:
        """Choose the folder; nothing is made yet."""
        self._folder = str(folder)
        self.event = os.path.join(self._folder, "event.json")  # noqa: PTH118 - a third of the cost
        self.result = os.path.join(self._folder, "result.json")  # noqa: PTH118
        self.directory = os.path.join(self._folder, "work")  # noqa: PTH118
        self._cancel = os.path.join(self._folder, "cancel")  # noqa: PTH118

    @classmethod
    def of(cls, directory: Path, run: str, attempt: int) -> Self:
        """That of an attempt, in a worker's directory."""
        return cls(directory / f"{run}.{attempt}")

    def way(self, directory: Path) -> tuple[str, ...]:
        """The parts of the working directory's path below the worker's directory."""
        return Path(self.directory).relative_to(directory).parts

    def make(self, event: Event) -> None:
        """Make the folder, for this user only.

        Raises:
            DiskFullError: there is no room for it.
            ApplicationError: it cannot be made.
        """
        try:
            os.makedirs(self._folder, 0o700)  # noqa: PTH103 - a third of the cost
            os.mkdir(self.directory, 0o700)  # noqa: PTH102
            with open(self.event, "w", encoding="utf-8") as file:  # noqa: PTH123
                file.write(event.to_json())
        except OSError as exc:
            if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise DiskFullError(f"there is no room for its working directory: {exc}") from exc
            raise ApplicationError(f"the working directory cannot be made: {exc}") from exc

    def ask_to_cancel(self) -> None:
        """Ask whoever watches the application to end it; for any process of this machine."""
        with suppress(OSError):  # not made yet, or gone already
            Path(self._cancel).touch()

    def cancel_asked(self) -> bool:
        """Whether it was asked for."""
        return os.path.exists(self._cancel)  # noqa: PTH110 - twice a second, for long

    def read_result(self) -> str | None:
        """The JSON text that the application left, None when it left none.

        Raises:
            ApplicationError: what it left is too large or no JSON.
        """
        try:
            if not stat.S_ISREG(os.stat(self.result).st_mode):  # noqa: PTH116
                raise ApplicationError("its result is no file")
            with open(self.result, "rb") as file:  # noqa: PTH123
                content = file.read(MAX_RESULT + 1)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise ApplicationError(f"its result cannot be read: {exc.strerror}") from exc
        if len(content) > MAX_RESULT:
            raise ApplicationError(f"its result is larger than {MAX_RESULT} bytes")
        try:
            return check_json(content)
        except EventError as exc:
            raise ApplicationError(f"its result is not usable: {exc}") from exc

    def remove(self) -> None:
        """Remove the folder; quickly when the application left nothing behind."""
        try:
            os.rmdir(self.directory)  # noqa: PTH106
            os.unlink(self.event)  # noqa: PTH108
            os.rmdir(self._folder)  # noqa: PTH106
        except OSError:
            shutil.rmtree(self._folder, ignore_errors=True)
