"""Fetch a backbone's weights from a hub on loopback, with the hub's own client."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import timm
import torch
from safetensors.torch import save

from witw.cvig.network.timm_backbone import Timm


@contextmanager
def hub(body):
    """Serve a hub that has one file under every name."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()

        def do_GET(self):
            self.do_HEAD()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def fetch(tmp_path):
    """Fetch the weights of test_vit to models/, with an empty cache."""
    counter = iter(range(9))
    spec = {"stage": "backbone", "version": 1, "train": {"backbone": "test_vit"}}
    file = tmp_path / "models" / "test_vit.safetensors"
    argv = [sys.executable, "-m", "witw.cvig.backbone"]
    argv += ["--spec", json.dumps(spec), "--file", str(file)]

    def run(state):
        with hub(save(state)) as address:
            env = os.environ | {
                "HF_ENDPOINT": address,
                "HF_HUB_CACHE": str(tmp_path / f"cache{next(counter)}"),
                "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_OFFLINE": "0",
            }
            done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        return file, done

    return run


def weights(seed):
    torch.manual_seed(seed)
    return timm.create_model("test_vit").state_dict()


def test_training_starts_with_the_fetched_weights_and_checks_them(fetch):
    state = weights(1)
    file, done = fetch(state)
    assert done.returncode == 0, done.stderr
    made = Timm("test_vit", str(file), 0, (64, 64), False).net.state_dict()
    assert made
    assert all(torch.equal(value, state[key]) for key, value in made.items())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (file.parent / f"{file.name}.sha256").read_text() == f"{digest}  {file.name}\n"
    file.unlink()
    _, done = fetch(weights(2))
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("witw: ")]
    assert "the file fetched first had" in line
    assert not file.exists()
