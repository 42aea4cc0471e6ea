"""Browsers with open pages: server-sent events, requested again whenever the stream ends.

`python -m benchmarks.readers URL COUNT PATH…` keeps COUNT streams open, of the paths in turn, until
it is terminated. It prints `open` once every stream has sent its page.
"""

import asyncio
import sys
from typing import Final
from urllib.parse import urlsplit

_RETRY: Final = 3.0  # seconds, as in the `retry` field of the stream


async def main() -> None:
    """Keep open the pages given on the command line."""
    url, count, *paths = sys.argv[1:]
    address = urlsplit(url)
    opened = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as group:
        for number in range(int(count)):
            path = paths[number % len(paths)]
            group.create_task(_keep_open(str(address.hostname), address.port or 80, path, opened))
        for _ in range(int(count)):
            await opened.acquire()
        print("open", flush=True)


async def _keep_open(host: str, port: int, path: str, opened: asyncio.Semaphore) -> None:
    last_id = ""
    while True:
        reader, writer = await asyncio.open_connection(host, port, limit=16 * 1024**2)
        request = (
            f"GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n"
            f"Connection: close\r\nLast-Event-ID: {last_id}\r\n\r\n"
        )
        writer.write(request.encode())
        async for line in reader:
            if line.startswith(b"id: "):
                if not last_id:
                    opened.release()
                last_id = line[4:].strip().decode()
        writer.close()
        await asyncio.sleep(_RETRY)


if __name__ == "__main__":
    asyncio.run(main())
