"""A writer to order, and the canvas of these tests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from igpo_lightning.rewriting import Ask, Reply

LENGTH = 41  # tokens of a trace and its end


class Scripted:
    """A writer that answers by ``script(id, attempt)``, after letting others run; it counts its asks."""

    model = "scripted"

    def __init__(self, script: Callable[[str, int], Reply | Exception], concurrency: int = 4) -> None:
        self.script, self.concurrency = script, concurrency
        self.settings = {"rewriter.model": self.model}
        self.asks: list[Ask] = []
        self.asked: Counter[str] = Counter()
        self.hold = asyncio.Event()  # replies wait for it
        self.hold.set()
        self.door = asyncio.Event()  # and turns for this one
        self.door.set()
        self.closed = False

    def prepare(self) -> None:
        return

    async def turn(self, ask: Ask) -> None:
        await self.door.wait()

    async def write(self, ask: Ask) -> Reply:
        self.asks.append(ask)
        self.asked[ask.id] += 1
        await asyncio.sleep(0)
        await self.hold.wait()
        reply = self.script(ask.id, ask.attempt)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def close(self) -> None:
        self.closed = True
