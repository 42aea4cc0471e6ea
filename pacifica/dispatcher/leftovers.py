"""The files that an attempt left in its working directory, to be read from outside.

Nothing but regular files below that folder can be reached: each folder on the way is opened by
itself, below the one before, and none may be a symbolic link. So neither a name leads elsewhere,
nor an application that changes its files meanwhile.
"""

import os
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from pacifica.dispatcher.errors import NotFoundError

MAX_FILES: Final = 1000
"""Files of an attempt that are listed at the most."""

_MAX_LOOKED_AT: Final = 10_000  # entries; an application may leave any number of empty folders
_MAX_DEPTH: Final = 32
_CHUNK: Final = 64 * 1024
_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_FOLDER: Final = os.O_RDONLY | _LINK | getattr(os, "O_DIRECTORY", 0)
_FILE: Final = os.O_RDONLY | _LINK | getattr(os, "O_NONBLOCK", 0)  # no waiting for a pipe's writer


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file.

    Attributes:
        name: its path below the working directory, with slashes; what is not UTF-8 is replaced.
        size: in bytes.
        modified: in seconds since the epoch.
    """

    name: str
    size: int
    modified: float


def leftovers(base: Path, folder: Sequence[str]) -> tuple[list[Leftover], bool]:
    """The files in a folder, by name; no more than MAX_FILES.

    Args:
        base: a folder that is trusted.
        folder: the way from there.

    Returns:
        the files, and whether these are all.

    Raises:
        NotFoundError: there is no such folder.
    """
    with _opened(base, folder) as number:
        budget = iter(range(_MAX_LOOKED_AT))
        walk = _walk(number, "", budget)
        found = list(islice(walk, MAX_FILES))
        whole = next(walk, None) is None and next(budget, None) is not None
        walk.close()  # and so the folders that it is in
    return sorted(found, key=lambda each: each.name), whole


def open_leftover(base: Path, folder: Sequence[str], name: Sequence[str]) -> BinaryIO:
    """Open a file in a folder.

    Args:
        base: a folder that is trusted.
        folder: the way from there.
        name: the parts of the file's path from there on, as a client gave them.

    Raises:
        NotFoundError: there is no such regular file.
    """
    if not all(_is_name(part) for part in name):
        raise NotFoundError("there is no such file")
    with _opened(base, [*folder, *name[:-1]]) as number:
        try:
            opened = os.open(name[-1], _FILE, dir_fd=number)
        except (OSError, UnicodeEncodeError) as exc:
            raise NotFoundError("there is no such file") from exc
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise NotFoundError("there is no such file")
    return os.fdopen(opened, "rb")


def chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """So many bytes of a file, a part at a time.

    Raises:
        NotFoundError: there are no longer so many.
    """
    while size:
        data = file.read(min(size, _CHUNK))
        if not data:
            raise NotFoundError("the file became shorter while it was sent")
        size -= len(data)
        yield data


def _is_name(part: str) -> bool:
    """Whether it can name something in a folder, and nothing elsewhere."""
    return part not in {"", ".", ".."} and not set(part) & {"/", "\0"}


@contextmanager
def _opened(base: Path, folder: Sequence[str]) -> Iterator[int]:
    if os.open not in os.supports_dir_fd:
        raise NotFoundError("files of attempts cannot be shown on this system")
    try:
        number = os.open(base, os.O_RDONLY)
        for part in folder:
            above, number = number, -1
            try:
                number = os.open(part, _FOLDER, dir_fd=above)
            finally:
                os.close(above)
    except PermissionError as exc:
        raise NotFoundError("the web tier may not read the folder") from exc
    except (OSError, UnicodeEncodeError) as exc:
        raise NotFoundError("there is no such folder") from exc
    try:
        yield number
    finally:
        os.close(number)


def _walk(
    folder: int, way: str, budget: Iterator[int], depth: int = 0
) -> Generator[Leftover, None, None]:
    """The regular files below an open folder, as long as the budget lasts."""
    with os.scandir(folder) as entries:
        for entry, _ in zip(entries, budget, strict=False):
            try:
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    name = os.fsencode(f"{way}{entry.name}").decode(errors="replace")
                    yield Leftover(name, found.st_size, found.st_mtime)
                elif stat.S_ISDIR(found.st_mode) and depth < _MAX_DEPTH:
                    below = os.open(entry.name, _FOLDER, dir_fd=folder)
                    try:
                        yield from _walk(below, f"{way}{entry.name}/", budget, depth + 1)
                    finally:
                        os.close(below)
            except OSError:  # gone meanwhile, or not to be read
                continue
