"""A photo host on loopback for the benchmarks: nginx with a fixed delay per response.

nginx and its delay module are system packages: `apt-get install nginx-extras`.
"""

from __future__ import annotations

import io
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

# Debian, Ubuntu; Fedora.
MODULES = (Path("/usr/lib/nginx/modules"), Path("/usr/lib64/nginx/modules"))
SIZE_PX = (500, 375)
BYTES = 73_000
SCENES = 200

CONFIG = """
daemon off;
user root;
worker_processes 1;
pid {home}/pid;
error_log {home}/error.log;
{modules}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    types {{ image/jpeg jpg; }}
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        ssl_certificate {home}/cert.pem;
        ssl_certificate_key {home}/key.pem;
        root {home}/files;
        {late}
    }}
}}
"""


@dataclass(frozen=True)
class Host:
    """Addresses and photos of the host."""

    http: str
    https: str
    certificate: Path
    paths: dict[str, str]


def scene(seed: int) -> bytes:
    """Return a JPEG with the size, entropy and file size of a 500 px photo, from 1/f noise."""
    rng = np.random.default_rng(seed)
    width, height = SIZE_PX
    pixels = np.zeros((height, width, 3))
    for octave in range(2, 9):
        cells = rng.normal(0, 1, (2**octave * 3 // 4, 2**octave, 3))
        layers = [
            Image.fromarray(cells[..., band].astype(np.float32)).resize(SIZE_PX, Image.BICUBIC)
            for band in range(3)
        ]
        pixels += np.stack(layers, 2) * 70 / 2 ** (octave / 1.6)
    picture = Image.fromarray(np.clip(pixels + 128, 0, 255).astype(np.uint8))
    body = b""
    for quality in range(97, 40, -3):
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=quality)
        body = out.getvalue()
        if len(body) <= BYTES:
            break
    return body


def photos(count: int, folder: Path) -> dict[str, str]:
    """Write photos with distinct bytes (through a comment); return their paths by id."""
    scenes = [scene(seed) for seed in range(min(count, SCENES))]
    paths = {}
    for n in range(count):
        photo_id = str(52_000_000_000 + 7919 * n)
        body = scenes[n % SCENES]
        comment = photo_id.encode().ljust(max(16, BYTES - len(body) - 4))[:60_000]
        name = f"65535/{photo_id}_{n:010x}.jpg"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        length = (len(comment) + 2).to_bytes(2)
        path.write_bytes(body[:2] + b"\xff\xfe" + length + comment + body[2:])
        paths[photo_id] = f"/{name}"
    return paths


def lateness(latency_s: float) -> tuple[str, str]:
    """Return the directives that load the delay module and delay every response.

    Raises:
        SystemExit: nginx or a delay module is missing; the message says what to install.
    """
    folder = next((f for f in MODULES if f.is_dir()), Path("absent"))
    if shutil.which("nginx") is None:
        raise SystemExit("nginx is not installed: apt-get install nginx-extras")
    if latency_s <= 0:
        return "", ""
    lua = [folder / "ndk_http_module.so", folder / "ngx_http_lua_module.so"]
    if all(path.is_file() for path in lua):
        load = "".join(f"load_module {path};\n" for path in lua)
        return load, f"location / {{ access_by_lua_block {{ ngx.sleep({latency_s}) }} }}"
    echo = folder / "ngx_http_echo_module.so"
    if echo.is_file():
        return f"load_module {echo};", (
            f"location / {{ echo_sleep {latency_s}; echo_exec @file; }} location @file {{ }}"
        )
    raise SystemExit("nginx has no delay module: apt-get install nginx-extras")


@contextmanager
def serve(home: Path, paths: dict[str, str], latency_s: float) -> Iterator[Host]:
    """Serve ``home/files`` over http and, with a self-made certificate, over https."""
    modules, late = lateness(latency_s)
    port, tls_port = free_port(), free_port()
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-days", "2", "-keyout", home / "key.pem", "-out", home / "cert.pem"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *files],
        check=True,
        capture_output=True,
    )
    config = home / "nginx.conf"
    config.write_text(
        CONFIG.format(home=home, modules=modules, late=late, port=port, tls_port=tls_port)
    )
    process = subprocess.Popen(["nginx", "-p", home, "-c", config], stderr=subprocess.PIPE)
    try:
        _await(port, process)
        yield Host(f"127.0.0.1:{port}", f"127.0.0.1:{tls_port}", home / "cert.pem", paths)
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise SystemExit(f"nginx: {process.stderr.read().decode() if process.stderr else ''}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit("nginx does not answer")
