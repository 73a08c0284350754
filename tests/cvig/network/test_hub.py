import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from witw.cvig.network import backbones, hub
from witw.errors import UserError


@pytest.mark.parametrize("is_deaf", [False, True])
def test_an_unresponsive_hub_is_reported_soon(is_deaf, tmp_path, monkeypatch):
    """One port is closed, one accepts but stays silent; the hub's client would try for a minute."""
    from huggingface_hub import constants

    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        if not is_deaf:
            server.close()
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        start = time.monotonic()
        with pytest.raises(UserError, match="does not answer and the cache") as told:
            backbones.build("test_convnext", "timm", 16, (64, 64), 8, (16, 1), False)
        assert time.monotonic() - start < 20
    assert "`train.weights` 'timm' for 'test_convnext'" in str(told.value)
    assert address in str(told.value)
    assert constants.HF_HUB_OFFLINE is False


def test_a_responsive_hub_is_recognised():
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(403)

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert hub.answers(f"http://127.0.0.1:{server.server_port}")
