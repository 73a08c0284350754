"""The client against a real HTTP server on loopback with scripted responses."""

import base64
import gzip
import hashlib
import hmac
import json
import logging
import re
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote

import pytest

from witw.errors import UserError
from witw.flickr.api.client import Client
from witw.flickr.api.quota import Quota
from witw.flickr.api.refusals import RefusedError
from witw.flickr.headers import retry_after_s, user_agent

KEY = "0123456789abcdef0123456789abcdef"
SECRET = "fedcba9876543210"
OK = (200, {}, json.dumps({"answer": {"_content": "42"}, "stat": "ok"}))
UNAVAILABLE = "Sorry, the Flickr API service is not currently available."


def fail(code, message=UNAVAILABLE):
    return (200, {}, json.dumps({"stat": "fail", "code": code, "message": message}))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.seen.append((dict(self.headers), dict(parse_qsl(body)), self.path))
        script = self.server.script
        answer = script.pop(0) if len(script) > 1 else script[0]
        if answer == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
            return
        if answer in ("drip", "drip in the head"):
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n"
            if answer == "drip":
                self.wfile.write(head)
            with suppress(OSError):
                for byte in (b"X-Slow: " if answer != "drip" else b"") + head * 9:
                    self.wfile.write(bytes([byte]))
                    if self.server.released.wait(0.05):
                        break
            self.close_connection = True
            return
        if answer == "stall":
            self.server.outlasted = not self.server.released.wait(5)
            self.close_connection = True
            return
        status, headers, text = answer
        data = text if isinstance(text, bytes) else text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        length = len(data) * (2 if headers.get("X-Cut") else 1)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = bool(headers.get("X-Cut"))

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.daemon_threads = True
    service.script, service.seen, service.released = [OK], [], threading.Event()
    service.outlasted = False
    service.url = f"http://127.0.0.1:{service.server_port}/services/rest/"
    thread = threading.Thread(target=service.serve_forever, args=(0.01,))
    thread.start()
    yield service
    service.released.set()
    service.shutdown()
    thread.join()
    service.server_close()


@pytest.fixture(autouse=True)
def silence(caplog, monkeypatch):
    """Check that no log record of any level or library contains the key or the secret."""
    for name in ("FLICKR_API_KEY", "FLICKR_API_SECRET", "WITW_CONTACT"):
        monkeypatch.delenv(name, raising=False)
    caplog.set_level(logging.DEBUG)
    yield
    for record in caplog.get_records("call"):
        assert KEY not in record.getMessage()
        assert SECRET not in record.getMessage()


def content(answer):
    if "answer" not in answer:
        raise ValueError("no answer")
    return answer["answer"]["_content"]


class Clock:
    """A clock that advances only by sleeping."""

    def __init__(self):
        self.slept = []

    def time(self):
        return 1e9 + sum(self.slept)

    def sleep(self, seconds):
        self.slept.append(seconds)


def ask(server, script, secret="", **options):
    server.script[:] = script
    pauses, clock = [], Clock()
    quota = Quota(clock=clock.time, sleep=clock.sleep)
    settings = {"tries": 4, "pause_s": 0.001, "sleep": pauses.append, "quota": quota, **options}
    client = Client(server.url, KEY, secret, **settings)
    answer = client.call("flickr.test.echo", content, bbox="1,2")
    return answer, client, pauses


def refusal(server, script, secret="", error=UserError, **options):
    with pytest.raises(error) as caught:
        ask(server, script, secret, **options)
    text = str(caught.value)
    assert KEY not in text
    assert SECRET not in text
    assert "\n" not in text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return text


def test_a_signed_call_has_the_signature_of_rfc_5849_and_no_key_elsewhere(server):
    ask(server, [OK], SECRET)
    headers, form, path = server.seen[0]
    oauth = dict(re.findall(r'(oauth_\w+)="([^"]*)"', headers["Authorization"]))
    oauth = {name: unquote(value) for name, value in oauth.items()}
    assert oauth["oauth_consumer_key"] == KEY
    assert KEY not in path
    assert KEY not in str(form)
    assert form["method"] == "flickr.test.echo"
    assert (form["format"], form["nojsoncallback"], form["bbox"]) == ("json", "1", "1,2")
    signed = {**form, **{k: v for k, v in oauth.items() if k != "oauth_signature"}}
    pairs = sorted((quote(k, safe=""), quote(v, safe="")) for k, v in signed.items())
    joined = "&".join(f"{k}={v}" for k, v in pairs)
    base = "&".join(quote(part, safe="") for part in ("POST", server.url, joined))
    digest = hmac.new(f"{SECRET}&".encode(), base.encode(), hashlib.sha1).digest()
    assert oauth["oauth_signature"] == base64.b64encode(digest).decode()


def test_a_server_that_reads_the_key_from_the_header_only_is_asked_in_that_form(server):
    server.script[:] = [fail(100, "Invalid API Key (Key has invalid format)"), OK]
    client = Client(server.url, KEY)
    for _ in range(2):
        assert client.call("flickr.test.echo", content)
    forms = ["OAuth" in headers.get("Authorization", "") for headers, _, _ in server.seen]
    assert forms == [False, True, True]
    assert client.requests == 3


def test_without_a_secret_the_call_is_unsigned_and_the_key_in_the_body(server):
    assert ask(server, [OK])[0] == "42"
    headers, form, path = server.seen[0]
    assert "Authorization" not in headers
    assert form["api_key"] == KEY
    assert KEY not in path


def test_the_user_agent_is_honest(server, monkeypatch):
    ask(server, [OK])
    assert re.fullmatch(r"witw/\d+\.\d+\S*", server.seen[0][0]["User-Agent"])
    monkeypatch.setenv("WITW_CONTACT", "me@example.org\n ünd ich")
    assert user_agent().endswith(" (me@example.org nd ich)")


@pytest.mark.parametrize(
    "fault",
    [
        (429, {}, "<html>slow down</html>"),
        (503, {}, "<html>panda</html>"),
        (500, {}, ""),
        (403, {}, "<html>blocked</html>"),
        (200, {}, "<!DOCTYPE html><h1>Bad, bad panda!</h1>"),
        (200, {}, '{"stat":"fail","code":"201","message":"' + UNAVAILABLE + '",}'),
        (200, {}, ""),
        (200, {}, "[]"),
        (200, {}, "null"),
        (200, {}, '{"stat":"fail"}'),
        (200, {}, '{"answer":{"_content":"41"}}'),
        (200, {}, '{"stat":"ok"}'),
        (200, {}, b"\xff\xfe"),
        (200, {"Content-Encoding": "gzip"}, gzip.compress(b"{}" * 99)[:20]),
        (200, {"X-Cut": "1"}, OK[2]),
        fail(0),
        fail(10, "The Flickr API search databases are temporarily unavailable."),
        fail(105, "Service currently unavailable"),
        fail(201),
        fail("201"),
        "reset",
    ],
)
def test_passing_errors_are_retried_with_a_fresh_nonce(server, fault):
    answer, client, pauses = ask(server, [fault, fault, OK], SECRET)
    assert answer == "42"
    assert client.requests == len(server.seen) == 3
    assert len(pauses) == 2
    nonces = {re.search(r'oauth_nonce="(\w+)"', h["Authorization"])[1] for h, _, _ in server.seen}
    assert len(nonces) == 3


def test_a_proxy_is_not_used_for_this_machine(server, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert ask(server, [OK])[1].requests == 1


def test_a_silent_peer_does_not_hang_the_client(server):
    answer, client, _ = ask(server, ["stall", OK], timeout_s=(1.0, 0.2))
    assert (answer, client.requests) == ("42", 2)
    assert not server.outlasted


def test_a_closed_port_is_an_outage():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = Client(f"http://127.0.0.1:{port}/", KEY, tries=2, sleep=lambda _: None)
    with pytest.raises(UserError, match=r"2 tries .*ConnectionError.*flickr\.api_url"):
        client.call("flickr.test.echo", dict)


def test_retry_after_is_always_respected(server):
    _, _, pauses = ask(server, [(429, {"Retry-After": "7"}, ""), OK], pause_s=1.0)
    assert 7 <= pauses[0] <= 8
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90))
    _, _, pauses = ask(server, [(503, {"Retry-After": later}, ""), OK])
    assert 85 <= pauses[0] <= 91


def test_a_retry_after_of_hours_is_respected_and_logged(server, caplog):
    _, client, pauses = ask(server, [(429, {"Retry-After": "7200"}, ""), OK])
    assert 7200 <= pauses[0] <= 7201
    assert client.requests == 2
    moment = datetime.now(UTC) + timedelta(seconds=7200)
    assert re.search(rf"HTTP 429; try 2 of 4 in 720\d\.\d s, at {moment:%Y-%m-%d %H}", caplog.text)


def test_no_other_client_calls_during_those_hours(tmp_path):
    """The gate outlasts the quota's window and a clock set back, and holds across processes."""
    clock, path = Clock(), tmp_path / "quota.sqlite"
    quotas = [Quota(path, window_s=3660, clock=clock.time, sleep=clock.sleep) for _ in range(2)]
    quotas[0].close(7200)
    quotas[1].take()
    assert sum(clock.slept) == pytest.approx(7200)
    quotas[0].close(7200)
    clock.slept.append(-50_000)
    before = sum(clock.slept)
    quotas[1].take()
    assert sum(clock.slept) - before == pytest.approx(7200)


@pytest.mark.parametrize(("seconds", "patient"), [("999999", True), ("7200", False)])
def test_too_long_a_retry_after_ends_the_run(server, seconds, patient):
    text = refusal(server, [(503, {"Retry-After": seconds}, ""), OK], is_patient=patient)
    assert f"{int(seconds):,} s, until 20" in text
    assert len(server.seen) == 1


def test_a_date_refers_to_the_servers_clock(server):
    """The local clock may be hours ahead of the server's."""
    theirs = datetime.now(UTC) - timedelta(hours=5)
    late = format_datetime(theirs + timedelta(seconds=600), usegmt=True)
    now = format_datetime(theirs, usegmt=True)
    assert retry_after_s(late, now) == 600
    assert retry_after_s(late) == 0
    assert retry_after_s("7", now) == 7
    assert retry_after_s(late, "nonsense") == 0


def test_a_429_without_retry_after_is_retried_for_the_keys_hour(server):
    """For any drawn pauses, with the tries and pauses of a search."""
    for _ in range(5):
        pauses = []
        with pytest.raises(UserError, match="HTTP 429"):
            ask(server, [(429, {}, "")], tries=16, pause_s=1.0, sleep=pauses.append)
        assert 3660 <= sum(pauses) < 3660 + 300
    pauses = []
    with pytest.raises(UserError, match="in 4 tries"):
        ask(server, [(429, {}, "")], is_patient=False, sleep=pauses.append)
    assert len(pauses) == 3


@pytest.mark.parametrize("where", ["drip", "drip in the head"])
def test_a_dripping_response_is_a_failed_try(server, where, caplog):
    began = time.monotonic()
    answer, client, _ = ask(server, [where, OK], timeout_s=(1.0, 1.0), answer_s=0.5)
    assert (answer, client.requests) == ("42", 2)
    assert time.monotonic() - began < 3
    assert "the response was incomplete after 0.5 s; try 2 of 4" in caplog.text


def test_a_met_deadline_leaves_the_connection_alone(server):
    server.script[:] = [OK]
    client = Client(server.url, KEY, answer_s=0.2)
    for _ in range(3):
        assert client.call("flickr.test.echo", content) == "42"
        time.sleep(0.3)  # a deadline that was not called off would close the connection here
    assert client.requests == 3


def test_a_refused_key_is_reported_in_any_format(server):
    xml = (
        '<?xml version="1.0" encoding="utf-8" ?>\n<rsp stat="fail">\n'
        '\t<err code="100" msg="Invalid API Key (Key &quot;x&quot; has expired)" />\n</rsp>'
    )
    text = refusal(server, [(200, {}, xml)], SECRET)
    assert "does not accept FLICKR_API_KEY" in text and 'Key "x" has expired' in text
    assert len(server.seen) == 1
    busy = xml.replace('"100"', '"105"')
    assert ask(server, [(200, {}, busy), OK], SECRET)[1].requests == 2


def test_a_429_closes_the_gate_for_every_thread_and_process(server):
    clock = Clock()
    quota = Quota(clock=clock.time, sleep=clock.sleep)
    server.script[:] = [(429, {"Retry-After": "7"}, ""), OK]
    with pytest.raises(UserError):
        Client(server.url, KEY, tries=1, quota=quota, is_patient=False).call(
            "flickr.test.echo", content
        )
    other = Client(server.url, KEY, quota=quota)
    assert other.call("flickr.test.echo", content) == "42"
    assert sum(clock.slept) == 7


def test_every_request_is_watched(server):
    seen = []
    server.script[:] = [(503, {}, "<html>"), fail(105, "out"), OK]
    client = Client(server.url, KEY, sleep=lambda _: None)
    assert client.call("flickr.test.echo", content, seen.append) == "42"
    told = [(a.number, a.ok, a.status, a.code) for a in seen]
    assert told == [(1, False, 503, None), (2, False, 200, 105), (3, True, 200, None)]
    assert [a.body for a in seen] == [b"", b"", OK[2].encode()]
    assert all(a.seconds > 0 and abs(a.started - time.time()) < 60 for a in seen)


def test_threads_do_not_take_each_other_s_answers_for_their_own(server):
    """Each thread judges the status and body of its own response."""
    server.script[:] = [OK]
    client = Client(server.url, KEY)
    bodies = []

    def watch(attempt):
        bodies.append((attempt.status, attempt.body))

    with ThreadPoolExecutor(8) as pool:
        for _ in range(40):
            pool.submit(client.call, "flickr.test.echo", content, watch)
    assert bodies == [(200, OK[2].encode())] * 40
    assert client.requests == 40


@pytest.mark.parametrize("answer", [fail(100, "Invalid API Key"), (401, {}, "oauth_problem")])
def test_one_call_detects_a_refused_key(server, answer):
    server.script[:] = [answer]
    with pytest.raises(UserError, match="does not accept FLICKR_API_KEY"):
        Client(server.url, KEY, SECRET).check_key()
    assert len(server.seen) == 1


@pytest.mark.parametrize("answer", [OK, (503, {}, ""), fail(105), fail(112), "reset"])
def test_an_outage_says_nothing_about_the_key(server, answer):
    server.script[:] = [answer]
    Client(server.url, KEY, SECRET).check_key()


def test_pauses_are_full_jitter_up_to_a_limit(server):
    pauses = []
    for _ in range(30):
        with pytest.raises(UserError):
            ask(server, [(503, {}, "")], tries=6, pause_s=1, max_pause_s=5, sleep=pauses.append)
    ranges = [pauses[n::5] for n in range(5)]
    for drawn, top in zip(ranges, [1, 2, 4, 5, 5], strict=True):
        assert 0 <= min(drawn) < top / 3
        assert top * 2 / 3 < max(drawn) <= top


def test_over_quota_without_a_duration_waits_longer(server):
    pauses = []
    with pytest.raises(UserError):
        ask(server, [(429, {}, "")], tries=40, pause_s=1, max_pause_s=30, sleep=pauses.append)
    assert 20 < max(pauses) <= 30


def test_a_lasting_outage_gives_one_sentence(server):
    text = refusal(server, [fail(201)])
    assert "did not answer flickr.test.echo in 4 tries" in text
    assert UNAVAILABLE in text
    assert len(server.seen) == 4


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (fail(100, "Invalid API Key (Key has invalid format)"), ["FLICKR_API_KEY", "100"]),
        (fail(100, f"Invalid API Key ({KEY} has expired)"), ["FLICKR_API_KEY", "expired"]),
        (fail(98, "Invalid auth\n token" + "!" * 999), ["FLICKR_API_KEY", "auth token"]),
        (fail(96, "Invalid signature"), ["FLICKR_API_SECRET"]),
        (fail(111, 'Format "json" not found'), ["111", "flickr.api_url"]),
        (fail(112, 'Method "flickr.test.echo" not found'), ["112", "flickr.api_url"]),
        ((404, {}, "<html>"), ["404", "flickr.api_url"]),
        ((400, {}, "<html>"), ["400", "flickr.api_url"]),
        ((302, {"Location": "http://127.0.0.1:9/"}, ""), ["302", "flickr.api_url"]),
    ],
)
def test_permanent_errors_stop_at_once(server, answer, words):
    text = refusal(server, [answer], SECRET)
    assert len(server.seen) == 1
    assert all(word in text for word in words)


def test_a_refused_signature_does_not_reveal_the_key(server):
    # As recorded: the response repeats the signed text, and flickrapi logs it.
    body = f"oauth_problem=signature_invalid&debug_sbs=POST&oauth_consumer_key%3D{KEY}"
    text = refusal(server, [(401, {}, body)], SECRET)
    assert "FLICKR_API_SECRET" in text
    assert len(server.seen) == 1
    assert "FLICKR_API_SECRET" not in refusal(server, [(401, {}, "oauth_problem=consumer_key")])


def test_a_refusal_carries_its_code(server):
    with pytest.raises(RefusedError) as caught:
        ask(server, [fail(20, "Excessive photo offset in search")])
    assert caught.value.code == 20


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://[::1/", "nonsense"])
def test_an_invalid_address_is_reported(url):
    client = Client(url, KEY, tries=2, sleep=lambda _: None)
    with pytest.raises(UserError, match=r"flickr\.api_url"):
        client.call("flickr.test.echo", dict)


def test_the_key_comes_from_the_environment(server, monkeypatch):
    with pytest.raises(UserError, match="FLICKR_API_KEY is not set"):
        Client.from_environment(server.url)
    monkeypatch.setenv("FLICKR_API_KEY", f" {KEY}\n")
    assert Client.from_environment(server.url).call("flickr.test.echo", len) == 2
    assert server.seen[0][1]["api_key"] == KEY
    monkeypatch.setenv("FLICKR_API_SECRET", SECRET)
    Client.from_environment(server.url).call("flickr.test.echo", len)
    assert "oauth_signature=" in server.seen[1][0]["Authorization"]


def test_clients_do_not_share_the_class_s_session(server):
    one, two = Client(server.url, KEY), Client(server.url, KEY)
    assert one._session is not two._session
    assert one._api.flickr_oauth.session is one._session


def test_no_hour_has_more_calls_than_the_quota():
    now, slept, taken = [0.0], [], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    quota = Quota(limit=10, window_s=3600.0, clock=lambda: now[0], sleep=sleep)
    for _ in range(55):
        quota.take()
        taken.append(now[0])
        now[0] += 60.0
    assert slept
    for start in taken:
        assert sum(start <= t < start + 3600 for t in taken) <= 10


def test_every_request_counts_against_the_quota(server):
    class Counting(Quota):
        taken = 0

        def take(self):
            self.taken += 1

    quota = Counting()
    ask(server, [fail(105), "reset", OK], quota=quota)
    assert quota.taken == len(server.seen) == 3
