"""Visits tree nodes in parallel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue


def spread[N, V](
    start: Sequence[N], visit: Callable[[N], tuple[V, list[N]]], workers: int
) -> list[V]:
    """Visit the start nodes and all nodes they lead to; return the results in no fixed order.

    Args:
        start: First nodes.
        visit: Returns a node's result and the nodes to visit next.
        workers: Number of threads; with one, the calling thread does all the work.

    Raises:
        Exception: The first exception of a visit; no further visit starts after it.
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
        # Daemon threads let a signal end the process at once instead of after the slowest response.
        crew = [threading.Thread(target=self._work, daemon=True) for _ in range(self._workers)]
        for thread in crew:
            thread.start()
        try:
            return self._all(start)
        finally:
            # The flag stops busy threads before their next node; the markers wake idle threads.
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
            except BaseException as error:  # raised again where the results are awaited
                self._done.put(error)
