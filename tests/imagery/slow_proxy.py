"""A proxy in front of a server on loopback that delays each response."""

import contextlib
import http.client
import http.server
import threading
import time
from contextlib import contextmanager


@contextmanager
def slow(endpoint, seconds):
    """Run the proxy; yield its host and port, and for each request how many waited with it."""
    waiting, together = set(), []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            waiting.add(self)
            together.append(len(waiting))
            time.sleep(seconds)
            waiting.discard(self)
            link = http.client.HTTPConnection(endpoint, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
            link.request(self.command, self.path, headers=headers)
            answer = link.getresponse()
            body = answer.read()
            with contextlib.suppress(ConnectionError):
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") or len(body)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
            link.close()

        def do_HEAD(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 200

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", together
        server.shutdown()
