"""The output of attempts, as currently stored in pieces, which are read in parts."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.rows import statement, views
from pacifica.dispatcher.orm.schema import OutputRow

_MAX_PIECES: Final = 1000  # of a stream that are read at once
_SIZES = """SELECT written, position, LENGTH(data) FROM output
    WHERE run = ? AND attempt = ? AND stream IN (?, ?) ORDER BY written DESC, position DESC"""
_SINCE = """SELECT stream, position, written, data FROM output
    WHERE run = ? AND attempt = ? AND stream IN (?, ?)
    AND (written > ? OR (written = ? AND position >= ?)) ORDER BY written, position"""
_ENDED = "SELECT finished FROM attempt WHERE run = ? AND number = ?"
_SAVED = """SELECT position + LENGTH(data) FROM output
    WHERE run = ? AND attempt = ? AND stream = ? ORDER BY position DESC LIMIT 1"""
# MariaDB would read the data of every piece for its length, so only that of one is read.
_PLACES = """SELECT written, position FROM output
    WHERE run = ? AND attempt = ? AND stream = ? AND position >= COALESCE((
        SELECT CASE WHEN position + LENGTH(data) > ? THEN position ELSE position + 1 END
        FROM output WHERE run = ? AND attempt = ? AND stream = ? AND position <= ?
        ORDER BY position DESC LIMIT 1), 0)
    AND position < ? ORDER BY position LIMIT ?"""
_FIRST = """SELECT stream, position + ? AS position, written, SUBSTR(data, ?, ?) AS data FROM output
    WHERE run = ? AND attempt = ? AND stream = ? AND position = ?"""
_FURTHER = """SELECT stream, position, written, data FROM output
    WHERE run = ? AND attempt = ? AND stream = ? AND position > ? AND position <= ?
    ORDER BY position"""


def output_end(
    database: Database, uuid: str, attempt: int, stream: str | None, size: int
) -> tuple[list[Piece], bool]:
    """Return the last pieces of an attempt's stored output, in the order written.

    Args:
        database: the database.
        uuid: the uuid of the run.
        attempt: the attempt's number.
        stream: "stdout" or "stderr"; None for both.
        size: the number of bytes that suffices.

    Returns:
        the pieces, and True if there are earlier ones.
    """
    streams = (stream, stream) if stream else ("stdout", "stderr")
    key = (uuid, attempt, *streams)
    with database.reading():
        sizes = database.fetch(_SIZES, key).fetchall()
        totals = list(accumulate(length for _, _, length in sizes))
        needed = min(len(sizes), sum(total < size for total in totals) + 1)
        if not needed:
            return [], False
        written, position, _ = sizes[needed - 1]
        query = statement(database, OutputRow, _SINCE, *key, written, written, position)
        return views(database, query, Piece), needed < len(sizes)


def output_saved(database: Database, uuid: str, attempt: int) -> tuple[dict[str, int], bool]:
    """Return the extent of an attempt's stored output; cheap enough to poll.

    Returns:
        the position where the stored part of each stream ends, and True if the attempt has ended
        and no output follows.
    """
    key = (uuid, attempt)
    with database.reading():
        ended = database.fetch(_ENDED, key).fetchone()
        found = {
            stream: database.fetch(_SAVED, (*key, stream)).fetchone()
            for stream in ("stdout", "stderr")
        }
    return {stream: row[0] for stream, row in found.items() if row}, ended != (None,)


def output_part(
    database: Database,
    uuid: str,
    attempt: int,
    extents: Mapping[str, tuple[int, int]],
    max_bytes: int,
) -> list[Piece]:
    """Return the first part of the stored output in these extents, in the order written.

    Each stream is in the order of its positions, even if a clock was set back.

    Args:
        database: the database.
        uuid: the uuid of the run.
        attempt: the attempt's number.
        extents: for each stream, its first wanted position, and the position where it ends.
        max_bytes: maximum number of bytes; a longer piece is cut.
    """
    found: list[tuple[float, Piece]] = []
    with database.reading():
        places = [
            place
            for stream, extent in extents.items()
            for place in _places(database, (uuid, attempt, stream), extent, max_bytes)
        ]
        for stream, (first, last) in _first(sorted(places), max_bytes).items():
            key = (uuid, attempt, stream)
            known = max(0, extents[stream][0] - first)
            cut = (known, known + 1, max_bytes)
            pieces = [
                *views(database, statement(database, OutputRow, _FIRST, *cut, *key, first), Piece),
                *views(
                    database, statement(database, OutputRow, _FURTHER, *key, first, last), Piece
                ),
            ]
            found += zip(accumulate((each.written for each in pieces), max), pieces, strict=True)
    return [piece for _, piece in sorted(found, key=lambda each: (each[0], each[1].position))]


class _Place(NamedTuple):
    """The place of a piece in the order written.

    Attributes:
        written: the latest time of the stream so far.
        size: bytes up to the next piece of the stream, so at least those wanted of this one.
    """

    written: float
    position: int
    stream: str
    size: int


def _places(
    database: Database, key: tuple[str, int, str], extent: tuple[int, int], beyond: int
) -> Iterator[_Place]:
    # If there are too many pieces, the place of the last one has more than `beyond` bytes.
    begin, end = extent
    parameters = (*key, begin, *key, begin, end, _MAX_PIECES + 1)
    rows = database.fetch(_PLACES, parameters).fetchall()
    written = accumulate((row[0] for row in rows), max)
    positions = [position for _, position in rows]
    if len(rows) > _MAX_PIECES:
        end = positions[-1] + beyond + 1
    for time, (position, after) in zip(written, pairwise([*positions, end]), strict=True):
        yield _Place(time, position, key[2], after - max(begin, position))


def _first(places: Sequence[_Place], max_bytes: int) -> dict[str, tuple[int, int]]:
    """Return the first and last position, by stream, of the first places with these bytes."""
    totals = accumulate(each.size for each in places)
    number = max(1, sum(total <= max_bytes for total in totals))
    taken: dict[str, tuple[int, int]] = {}
    for each in places[:number]:
        first, _ = taken.get(each.stream, (each.position, 0))
        taken[each.stream] = (first, each.position)
    return taken
