"""Several nodes in parallel: each is visited once, and the walk always ends."""

import random
import threading
import time

import pytest

from witw.flickr.crawl.pool import spread


def tree(seed, most=4, depth=5):
    """Return the children of each node of a random tree."""
    chance, below = random.Random(seed), {}

    def grow(name):
        count = chance.randrange(most) if len(name) < depth else 0
        below[name] = [f"{name}{n}" for n in range(count)]
        for child in below[name]:
            grow(child)

    grow("r")
    return below


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("seed", range(4))
def test_every_node_is_visited_once(workers, seed):
    below, seen, lock = tree(seed), [], threading.Lock()

    def visit(node):
        with lock:
            seen.append(node)
        return node.upper(), below[node]

    found = spread(["r"], visit, workers)
    assert sorted(seen) == sorted(below)
    assert sorted(found) == sorted(node.upper() for node in below)


@pytest.mark.parametrize("workers", [1, 4])
def test_no_node_means_no_visit(workers):
    assert spread([], lambda _: pytest.fail("visited"), workers) == []


def test_several_start_nodes_are_visited():
    assert sorted(spread([3, 1, 2], lambda node: (node, []), 2)) == [1, 2, 3]


def test_visits_overlap_up_to_the_number_of_workers():
    at_once, most, lock = 0, 0, threading.Lock()

    def visit(node):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.02)
        with lock:
            at_once -= 1
        return node, [node * 2, node * 2 + 1] if node < 16 else []

    assert len(spread([1], visit, 3)) == 31
    assert most == 3


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_the_first_error_ends_it_and_no_visit_is_begun_after(workers, error):
    seen, lock = [], threading.Lock()

    def visit(node):
        with lock:
            seen.append(node)
        if node == 5:
            raise error
        time.sleep(0.01)
        return node, [node + 1, node + 100] if node < 1_000 else []

    before = threading.active_count()
    with pytest.raises(type(error)):
        spread([1], visit, workers)
    begun = len(seen)
    time.sleep(0.1)
    # Visits under way finish, and no new visit starts.
    assert len(seen) <= begun + workers
    deadline = time.monotonic() + 60
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_threads_do_not_outlive_their_work():
    before = threading.active_count()
    spread([1], lambda node: (node, []), 5)
    deadline = time.monotonic() + 60
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before
