"""Serve a page on this machine to drop photos on: ``witw locate --serve --area rowan``.

It listens on 127.0.0.1 alone and ends with Ctrl-C; the files of each answer stay.
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
        areas: names to choose from, the first is offered first.
        open_area: opens one.
        folder: where the files of the answers are kept.
        port: 0: any that is free.
        say: tells the address, and at the end what was kept.

    Raises:
        UserError: the port is taken.
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
    say("Photos stay on this machine; the address is for you alone. Ctrl-C ends it.")
    try:
        await stopped.wait()
    finally:
        await runner.cleanup()
