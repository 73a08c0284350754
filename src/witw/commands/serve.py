"""Serve a page to drop photos on: ``witw locate --serve --area rowan``.

The server listens on 127.0.0.1 only and ends with Ctrl-C. The files of each answer stay.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from witw.answer import server

if TYPE_CHECKING:
    from witw.answer.server import Searcher


def serve(
    areas: Sequence[str],
    open_area: Callable[[str], Searcher],
    folder: Path,
    port: int = 0,
    say: Callable[[str], None] = print,
) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        areas: names of the areas to choose from; the first is the default.
        open_area: opens an area by its name.
        folder: folder of the answers' files.
        port: port of the server; 0: a free port.
        say: prints the address and, at the end, the number of answers.

    Raises:
        UserError: the port is in use.
    """
    site = server.Site(areas, open_area, folder.absolute())
    asyncio.run(_until_stopped(site, port, say))
    say(
        f"{site.answered} answered; their files are in {site.folder}" if site.answered else "Ended."
    )


async def _until_stopped(site: server.Site, port: int, say: Callable[[str], None]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    runner, address = await server.start(site, port)
    say(f"Open {address}")
    say("Photos stay on this machine. Do not share the address. Ctrl-C stops the server.")
    try:
        await stopped.wait()
    finally:
        await runner.cleanup()
