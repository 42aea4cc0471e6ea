"""The files of one attempt, in a folder of its own."""

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
"""Maximum size of an application's result in bytes."""


class Workdir:
    """A folder with the event, the application's working directory, and its result.

    Attributes:
        event: path of the file that holds the event as JSON.
        result: path of the file that the application may write its result to.
        directory: path of the application's working directory.
    """

    def __init__(self, folder: Path) -> None:
        """Choose the folder; nothing is created yet."""
        self._folder = str(folder)
        self.event = os.path.join(self._folder, "event.json")  # noqa: PTH118 - a third of the cost
        self.result = os.path.join(self._folder, "result.json")  # noqa: PTH118
        self.directory = os.path.join(self._folder, "work")  # noqa: PTH118

    @classmethod
    def of(cls, directory: Path, run: str, attempt: int) -> Self:
        """Return the folder of an attempt in a worker's directory."""
        return cls(directory / f"{run}.{attempt}")

    def parts(self, directory: Path) -> tuple[str, ...]:
        """Return the parts of the working directory's path below the worker's directory."""
        return Path(self.directory).relative_to(directory).parts

    def make(self, event: Event) -> None:
        """Create the folder, readable only by this user, with the event in it.

        Raises:
            DiskFullError: no space is left.
            ApplicationError: the folder cannot be created.
        """
        try:
            self._make_folder()
            os.mkdir(self.directory, 0o700)  # noqa: PTH102
            _write(self.event, event.to_json().encode())
        except OSError as exc:
            if lack := _lack(exc, os.path.dirname(self._folder)):  # noqa: PTH120
                raise DiskFullError(
                    f"no room for the working directory ({lack}): {exc.strerror}: {self._folder}",
                    lack,
                ) from exc
            raise ApplicationError(f"cannot create the working directory: {exc}") from exc

    def _make_folder(self) -> None:
        try:  # the common case is one system call
            os.mkdir(self._folder, 0o700)  # noqa: PTH102 - a third of the cost
        except FileNotFoundError:
            os.makedirs(self._folder, 0o700)  # noqa: PTH103

    def read_result(self) -> str | None:
        """Return the JSON text that the application wrote, or None if it wrote none.

        Raises:
            ApplicationError: the result is too large or not valid JSON.
        """
        try:
            if not stat.S_ISREG(os.stat(self.result).st_mode):  # noqa: PTH116
                raise ApplicationError("the result is not a regular file")
            with open(self.result, "rb") as file:  # noqa: PTH123
                content = file.read(MAX_RESULT + 1)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise ApplicationError(f"cannot read the result: {exc.strerror}") from exc
        if len(content) > MAX_RESULT:
            raise ApplicationError(f"the result exceeds {MAX_RESULT} bytes")
        try:
            return check_json(content)
        except EventError as exc:
            raise ApplicationError(f"the result is not valid JSON: {exc}") from exc

    def remove(self) -> None:
        """Remove the folder."""
        try:  # the common case, in which the application left no files, is three system calls
            os.rmdir(self.directory)  # noqa: PTH106
            os.unlink(self.event)  # noqa: PTH108
            os.rmdir(self._folder)  # noqa: PTH106
        except OSError:
            shutil.rmtree(self._folder, ignore_errors=True)


def _write(path: str, content: bytes) -> None:
    """Create a file, without the calls by which a buffered file learns what it is."""
    with open(path, "wb", buffering=0) as file:  # noqa: PTH123
        left = memoryview(content)
        while left:
            left = left[file.write(left) :]


def _lack(exc: OSError, parent: str) -> str:
    """Return what a full disk lacks, or an empty text for any other error."""
    if exc.errno == errno.EDQUOT:
        return "quota"
    if exc.errno != errno.ENOSPC:
        return ""
    with suppress(OSError, AttributeError):  # Windows has no inodes
        disk = os.statvfs(parent)
        if disk.f_files and not disk.f_favail:
            return "inodes"
    return "space"
