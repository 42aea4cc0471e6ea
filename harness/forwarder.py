"""Forward TCP connections on 127.0.0.1: `forwarder.py LISTEN TARGET [SILENCE]`.

Connections are refused while the target refuses them, as on a network. A connection whose target
sends nothing for SILENCE seconds is closed.
"""

import asyncio
import sys
from contextlib import suppress

_PROBE = 0.05


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silence: float | None = None
) -> None:
    with suppress(TimeoutError, OSError):
        while data := await asyncio.wait_for(reader.read(65536), silence):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _wait_until_up(target: int) -> None:
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", target)
            writer.close()
            return
        await asyncio.sleep(_PROBE)


async def _main(port: int, target: int, silence: float | None) -> None:
    ended = asyncio.Event()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", target)
            answers = _copy(target_reader, writer, silence)
            await asyncio.gather(_copy(reader, target_writer), answers)
        except OSError:
            writer.close()
        ended.set()

    async def is_down() -> bool:
        """Wait for the end of a connection; return True if the target refuses others."""
        await ended.wait()
        ended.clear()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            return True
        writer.close()
        return False

    while True:
        await _wait_until_up(target)
        server = await asyncio.start_server(forward, "127.0.0.1", port, backlog=512)
        while not await is_down():
            pass
        server.close()


if __name__ == "__main__":
    limit = float(sys.argv[3]) if len(sys.argv) > 3 else None  # noqa: PLR2004 - its position
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2]), limit))
