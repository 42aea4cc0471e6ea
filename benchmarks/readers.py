"""Browsers with open pages: server-sent events, asked for again whenever they end.

`python -m benchmarks.readers URL COUNT PATH…` keeps COUNT open, of the paths in turn, until it is
terminated; it says `open` once all have got their page.
"""

import asyncio
import sys
from typing import Final
from urllib.parse import urlsplit

_AGAIN: Final = 3.0  # seconds, as the server's `retry` says


async def main() -> None:
    """Keep the pages open that the command line names."""
    url, count, *paths = sys.argv[1:]
    address = urlsplit(url)
    arrived = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as group:
        for number in range(int(count)):
            path = paths[number % len(paths)]
            group.create_task(_keep_open(str(address.hostname), address.port or 80, path, arrived))
        for _ in range(int(count)):
            await arrived.acquire()
        print("open", flush=True)


async def _keep_open(host: str, port: int, path: str, arrived: asyncio.Semaphore) -> None:
    known = ""
    while True:
        reader, writer = await asyncio.open_connection(host, port, limit=16 * 1024**2)
        request = (
            f"GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n"
            f"Connection: close\r\nLast-Event-ID: {known}\r\n\r\n"
        )
        writer.write(request.encode())
        async for line in reader:
            if line.startswith(b"id: "):
                if not known:
                    arrived.release()
                known = line[4:].strip().decode()
        writer.close()
        await asyncio.sleep(_AGAIN)


if __name__ == "__main__":
    asyncio.run(main())
