"""Artifacts: the files that an attempt left in its working directory.

Only regular files below that folder can be reached: each folder on the path is opened relative to
its parent, and none may be a symbolic link. So neither a crafted name nor an application that
moves its files at the same time leads elsewhere.
"""

import os
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from pacifica.dispatcher.errors import NotFoundError

MAX_FILES: Final = 1000
"""Maximum number of files listed for an attempt."""

_MAX_ENTRIES: Final = 10_000  # an application may create any number of empty folders
_MAX_DEPTH: Final = 32
_CHUNK: Final = 64 * 1024
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_FOLDER: Final = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_DIRECTORY", 0)
# Without blocking, because opening a named pipe would wait for its writer.
_FILE: Final = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file.

    Attributes:
        path: path below the working directory, with slashes.
        size: size in bytes.
        modified: time of the last modification, in epoch seconds.
    """

    path: bytes
    size: int
    modified: float

    @property
    def name(self) -> str:
        """The path for display; bytes that are not UTF-8 are replaced."""
        return self.path.decode(errors="replace")

    @property
    def quoted(self) -> str:
        """The path in a URL, which may hold any bytes."""
        return quote(self.path)


def list_artifacts(base: Path, folder: Sequence[str]) -> tuple[list[Artifact], bool]:
    """Return the files below a folder, sorted by name, and True if the list is complete.

    The list contains at most MAX_FILES.

    Args:
        base: a trusted folder.
        folder: the parts of the folder's path below it.

    Raises:
        NotFoundError: the folder does not exist.
    """
    with _opened(base, folder) as descriptor:
        budget = iter(range(_MAX_ENTRIES))
        walk = _walk(descriptor, "", budget)
        found = list(islice(walk, MAX_FILES))
        complete = next(walk, None) is None and next(budget, None) is not None
        walk.close()  # closes the folders that it has open
    return sorted(found, key=lambda each: each.path), complete


def open_artifact(base: Path, folder: Sequence[str], name: Sequence[str]) -> BinaryIO:
    """Open a file in a folder.

    Args:
        base: a trusted folder.
        folder: the parts of the folder's path below it.
        name: the parts of the file's path below the folder, as given by a client; bytes that are
            not UTF-8 are surrogates (PEP 383).

    Raises:
        NotFoundError: not a regular file in that folder.
    """
    if not all(_is_name(part) for part in name):
        raise NotFoundError("file not found")
    with _opened(base, [*folder, *name[:-1]]) as descriptor:
        try:
            opened = os.open(_bytes(name[-1]), _FILE, dir_fd=descriptor)
        except (OSError, UnicodeEncodeError) as exc:
            raise NotFoundError("file not found") from exc
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise NotFoundError("file not found")
    return os.fdopen(opened, "rb")


def chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the next `size` bytes of a file, a chunk at a time.

    Raises:
        NotFoundError: the file has become shorter.
    """
    while size:
        data = file.read(min(size, _CHUNK))
        if not data:
            raise NotFoundError("the file became shorter while it was being sent")
        size -= len(data)
        yield data


def _is_name(part: str) -> bool:
    return part not in {"", ".", ".."} and not set(part) & {"/", "\0"}


def _bytes(part: str) -> bytes:
    return part.encode("utf-8", "surrogateescape")


@contextmanager
def _opened(base: Path, folder: Sequence[str]) -> Iterator[int]:
    if os.open not in os.supports_dir_fd:
        raise NotFoundError("artifacts are not available on this system")
    try:
        descriptor = os.open(base, os.O_RDONLY)
        for part in folder:
            parent, descriptor = descriptor, -1
            try:
                descriptor = os.open(_bytes(part), _FOLDER, dir_fd=parent)
            finally:
                os.close(parent)
    except PermissionError as exc:
        raise NotFoundError("the web tier lacks permission to read the folder") from exc
    except (OSError, UnicodeEncodeError) as exc:
        raise NotFoundError("the folder does not exist") from exc
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _walk(
    folder: int, prefix: str, budget: Iterator[int], depth: int = 0
) -> Generator[Artifact, None, None]:
    with os.scandir(folder) as entries:
        for entry, _ in zip(entries, budget, strict=False):
            try:
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    path = os.fsencode(f"{prefix}{entry.name}")
                    yield Artifact(path, found.st_size, found.st_mtime)
                elif stat.S_ISDIR(found.st_mode) and depth < _MAX_DEPTH:
                    child = os.open(entry.name, _FOLDER, dir_fd=folder)
                    try:
                        yield from _walk(child, f"{prefix}{entry.name}/", budget, depth + 1)
                    finally:
                        os.close(child)
            except OSError:  # removed in the meantime, or not readable
                continue
