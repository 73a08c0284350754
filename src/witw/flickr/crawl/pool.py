"""Visits tree nodes in parallel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue


def spread[N, V](
    start: Sequence[N], visit: Callable[[N], tuple[V, list[N]]], workers: int
) -> list[V]:
    """Visit nodes and those they lead to; returns what the visits brought, in no order.

    Args:
        start: first nodes.
        visit: returns its result and the nodes to visit next.
        workers: threads; with one, this thread does it all.

    Raises:
        Exception: the first that a visit raised; no other visit is begun then.
    """
    if workers <= 1:
        stack, results = list(start), []
        while stack:
            result, below = visit(stack.pop())
            results.append(result)
            stack += reversed(below)
        return results
    return _Crew(visit, workers).run(start)


class _Crew[N, V]:
    def __init__(self, visit: Callable[[N], tuple[V, list[N]]], workers: int) -> None:
        self._visit = visit
        self._todo: SimpleQueue[N | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[V, list[N]] | BaseException] = SimpleQueue()
        self._ended = threading.Event()
        self._workers = workers

    def run(self, start: Sequence[N]) -> list[V]:
        # Daemons: a signal ends the process at once, not when the slowest answer is in.
        crew = [threading.Thread(target=self._work, daemon=True) for _ in range(self._workers)]
        for thread in crew:
            thread.start()
        try:
            return self._all(start)
        finally:
            # Over what is still to do, so that it is not begun.
            self._ended.set()
            for _ in crew:
                self._todo.put(None)

    def _all(self, start: Sequence[N]) -> list[V]:
        results: list[V] = []
        open_nodes = len(start)
        for node in start:
            self._todo.put(node)
        while open_nodes:
            outcome = self._done.get()
            if isinstance(outcome, BaseException):
                raise outcome
            result, below = outcome
            results.append(result)
            open_nodes += len(below) - 1
            for node in below:
                self._todo.put(node)
        return results

    def _work(self) -> None:
        while (node := self._todo.get()) is not None and not self._ended.is_set():
            try:
                self._done.put(self._visit(node))
            except BaseException as error:  # it is raised where the results are awaited
                self._done.put(error)
