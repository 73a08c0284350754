"""A server that speaks S3 with a bucket for each test, and a run folder with a data set."""

import hashlib
import os
from pathlib import Path

import pytest

from tests.dataset.push.made_bucket import IDS, Bucket, make
from tests.imagery.s3 import s3


@pytest.fixture(scope="session")
def server():
    with s3() as running:
        yield running


@pytest.fixture
def bucket(server, request, monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{server.endpoint}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    digest = hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
    return Bucket(server, f"bucket-{digest}")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make a run folder of four pairs, which is the test's working folder; return its data set."""
    run = tmp_path / "run"
    run.mkdir()
    monkeypatch.chdir(run)
    make(IDS)
    return Path("results/dataset")
