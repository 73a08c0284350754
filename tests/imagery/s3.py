"""A server that speaks S3 on loopback: moto's, in a separate environment (Makefile)."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest

HERE = Path(__file__).parents[2] / ".s3/bin/moto_server"


class Server:
    """Buckets of a running server; `endpoint` is host and port."""

    def __init__(self, endpoint):
        self.endpoint = endpoint

    def ask(self, method, path, body=None, service="s3", key="testing", **headers):
        # Before `strict`, only the form of a signature is checked.
        scope = f"Credential={key}/20260101/us-east-1/{service}/aws4_request"
        signed = f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"
        headers |= {"Authorization": signed}
        headers.setdefault("Content-Type", "application/octet-stream")
        request = urllib.request.Request(
            f"http://{self.endpoint}/{path}", body, headers, method=method
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def fill(self, bucket, files, acl):
        """Make a bucket from `{key: bytes}`."""
        self.ask("PUT", bucket, **{"x-amz-acl": acl})
        for key, body in files.items():
            self.ask("PUT", f"{bucket}/{key}", body, **{"x-amz-acl": acl})

    def user(self):
        """Make a user with all rights on buckets; return access key and secret."""
        allow = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        self._iam("CreateUser", UserName="me")
        self._iam("PutUserPolicy", UserName="me", PolicyName="all", PolicyDocument=policy)
        made = ElementTree.fromstring(self._iam("CreateAccessKey", UserName="me"))
        found = {node.tag.rsplit("}")[-1]: node.text for node in made.iter()}
        return found["AccessKeyId"], found["SecretAccessKey"]

    def _iam(self, action, **values):
        body = urllib.parse.urlencode({"Action": action, "Version": "2010-05-08", **values})
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", "", body.encode(), service="iam", **kind)

    def strict(self, on):
        """Set whether signatures and rights are checked."""
        self.ask("POST", "moto-api/reset-auth", b"0" if on else b"inf")


@contextmanager
def s3():
    """Run the server; skip if it is not installed."""
    command = str(HERE) if HERE.exists() else shutil.which("moto_server")
    if not command:
        pytest.skip("no S3 server: `make test` installs one into .s3")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    process = subprocess.Popen(
        [command, "-H", "127.0.0.1", "-p", str(port)],
        env=clean,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = Server(f"127.0.0.1:{port}")
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://{server.endpoint}/moto-api/data.json", timeout=5)
                break
            except urllib.error.URLError:
                assert process.poll() is None, "the S3 server ended at once"
                time.sleep(0.25)
        yield server
    finally:
        process.terminate()
        process.wait(10)
