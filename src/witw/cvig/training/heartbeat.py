"""Processes of a training tell each other that they live.

A process that is killed closes its connections, and the others notice at once. A machine that loses
its power or its network closes nothing: the others would wait for hours.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch.distributed.distributed_c10d import Store

PULSE_S = 5.0
# The longest that a process may keep its own thread from telling, as in a disk's long pause [s].
SILENCE_S = 300.0


def key(rank: int) -> str:
    """Return the key in the store that a process counts up as long as it lives."""
    return f"witw/alive/{rank}"


@contextmanager
def beating(store: Store, rank: int, machines: Sequence[str]) -> Iterator[None]:
    """Tell the others that this process lives, and end it if one of them is silent.

    Args:
        store: that all share.
        rank: of this process.
        machines: the machine of every process, in the order of ranks.
    """
    quiet = [0] * len(machines)  # pulses since a process was heard
    over = threading.Event()
    store.set(key(rank), "0")
    own = store.clone()  # a connection that no collective waits on
    # Apart, because asking may itself wait for a machine that is gone.
    for work, args in ((_tell, (own, rank, quiet, over)), (_watch, (rank, machines, quiet, over))):
        threading.Thread(target=work, args=args, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _tell(store: Store, rank: int, quiet: list[int], over: threading.Event) -> None:
    """Count up the own key, and note when those of the others have changed."""
    keys = [key(other) for other in range(len(quiet))]
    before = [b""] * len(quiet)
    count = 0
    while not over.wait(PULSE_S):
        count += 1
        try:
            store.set(keys[rank], str(count))
            found = store.multi_get(keys)
        except RuntimeError:  # nobody is heard where the store is gone
            continue
        for other, beat in enumerate(found):
            if beat != before[other]:
                quiet[other] = 0
        before = found


def _watch(rank: int, machines: Sequence[str], quiet: list[int], over: threading.Event) -> None:
    """End this process when another is silent; pulses are counted, as all may be suspended."""
    limit = SILENCE_S / PULSE_S
    while not over.wait(PULSE_S):
        for other in range(len(quiet)):
            quiet[other] += 1
        silent = [machines[other] for other, n in enumerate(quiet) if n > limit]
        if not silent:
            continue
        # Not even this one is heard: the machine of the first process, with the store, is gone.
        names = machines[:1] if quiet[rank] > limit else sorted(set(silent))
        print(  # noqa: T201 - the main thread waits for what will not come
            f"witw: Nothing was heard for {SILENCE_S:g} s from {', '.join(names)}, where a part of "
            "this training runs. Run the same command again: it goes on from checkpoints/.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)
