"""Fixtures for tests in their own folder, against a photo host on loopback."""

import threading

import pytest
from download_host import Host


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def host():
    made = Host()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
