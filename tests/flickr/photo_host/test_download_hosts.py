"""The hosts that are contacted, and outages of a host."""

import asyncio
import socket
from pathlib import Path

import pytest
from aiohttp import ThreadedResolver
from download_host import GOOD, Host, fetch, picture, send, stored

from witw.errors import UserError
from witw.flickr.hosts import allowed, is_public, named, origin, redirect, refusal, service
from witw.flickr.photo_host.resolver import PrivateAddress, PublicResolver, proxies
from witw.flickr.photo_host.throttle import Limits
from witw.settings.flickr import Flickr

pytestmark = pytest.mark.usefixtures("run_folder")


def test_only_configured_hosts_are_contacted(host):
    host.plan = {"/1": [send(GOOD)]}
    other = Host()  # listens, and would raise on any request: it has no plan
    urls = {
        "1": f"{host.url}/1",
        "2": "https://evil.example/2.jpg",
        "3": f"{other.url}/3",
        "4": "",
        "5": "file:///etc/passwd",
        "6": f"http://user@{host.entry}/1",
        "7": f"https://{host.entry}\\@evil.example/1",
    }
    data = fetch(urls, host.entry)
    assert data["status"].to_dict() == {"1": "ok"} | dict.fromkeys("234567", "failed")
    assert "evil.example" in data.loc["2", "reason"]
    assert other.entry in data.loc["3", "reason"]
    assert data.loc["4", "reason"] == "no address"
    assert other.log == []
    other.server.server_close()


@pytest.mark.parametrize(
    ("entry", "good", "bad"),
    [
        (
            "live.staticflickr.com",
            "https://live.staticflickr.com/1",
            "http://live.staticflickr.com",
        ),
        ("live.staticflickr.com", "https://LIVE.staticflickr.com:443/1", "https://a.com/"),
        ("photos.org:8443", "https://photos.org:8443/1", "https://photos.org/1"),
        ("http://photos.org", "http://photos.org/1", "https://photos.org/1"),
        ("127.0.0.1:80", "http://127.0.0.1/1", "http://127.0.0.2/1"),
        ("localhost", "http://localhost/1", "http://localhost.evil.org/1"),
        ("http://[::1]:99", "http://[::1]:99/1", "http://[::1]:98/1"),
        ("live.staticflickr.com", "https://live.staticflickr.com/a", "//live.staticflickr.com/a"),
        ("*.staticflickr.com", "https://farm66.staticflickr.com/1", "https://staticflickr.com/1"),
        ("*.staticflickr.com", "https://a.b.staticflickr.com/1", "http://live.staticflickr.com/1"),
        ("*.Photos.org", "https://x.photos.org:443/1", "https://x.photos.org:8443/1"),
        ("*.photos.org", "https://x.photos.org/1", "https://evilphotos.org/1"),
        ("*.photos.org", "https://x.photos.org/1", "https://x.photos.org.evil.org/1"),
        ("*.photos.org", "https://x.photos.org/1", "https://me@x.photos.org/1"),
    ],
)
def test_host_entries_have_several_forms(entry, good, bad):
    assert refusal(good, allowed([entry])) == ""
    assert refusal(bad, allowed([entry])) != ""


@pytest.mark.parametrize(
    "entry",
    [
        *("", "ftp://x", "http://", "a@b", "x:99999999", "*.com", "*.a.org:8443", "*.*.org"),
        *("*.127.0.0.1", "http://*.a.org", "*.", "*", "*.localhost"),
    ],
)
def test_an_invalid_host_entry_is_reported(entry):
    with pytest.raises(UserError, match="photo_hosts"):
        fetch({"1": ""}, entry)


def test_a_host_that_is_down_records_nothing():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        entry = f"127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(UserError, match=r"'rio'.*127\.0\.0\.1.*no connection"):
        fetch({"1": f"http://{entry}/1"}, entry)
    assert not Path("out.parquet").exists()


def test_a_host_that_refuses_everything_records_nothing_but_keeps_the_store(host):
    host.plan = {f"/{n}": [send(GOOD)] for n in range(4)}
    urls = {str(n): f"{host.url}/{n}" for n in range(4)}
    fetch({"0": urls["0"]}, host.entry)
    Path("out.parquet").unlink()
    for n in range(1, 4):
        host.plan[f"/{n}"] = [send(b"", 503)]
    with pytest.raises(UserError, match="delivered none of 3 photos"):
        fetch(urls, host.entry)
    assert not Path("out.parquet").exists()
    assert [path.name for path in stored()] == ["0.jpg"]
    # A single photo that never arrives fails without delaying the others.
    host.plan["/1"] = host.plan["/2"] = [send(GOOD)]
    assert fetch(urls, host.entry)["status"].to_dict() == {
        "0": "ok",
        "1": "ok",
        "2": "ok",
        "3": "failed",
    }


def test_a_host_that_falls_silent_ends_the_run(host):
    host.plan = {f"/{n}": [send(b"", 500)] for n in range(9)}
    host.plan["/0"] = [send(GOOD)]
    urls = {str(n): f"{host.url}/{n}" for n in range(9)}
    # One at a time: all failures come after the last good response.
    limits = Limits(slots=1, most_slots=1, tries=10_000, base_s=0.01, cap_s=0.02, patience_s=0.3)
    with pytest.raises(UserError, match=r"'rio'.*stopped answering \(HTTP 500\)"):
        fetch(urls, host.entry, limits=limits)
    assert not Path("out.parquet").exists()
    assert [path.name for path in stored()] == ["0.jpg"]


def test_the_hosts_of_a_service_count_together(host):
    """A redirect within the service is followed; throttle and pace cover all its hosts."""
    origins = allowed(["live.staticflickr.com", "*.staticflickr.com"])
    farm, live = (f"https://{name}.staticflickr.com/1" for name in ("farm66", "live"))
    assert service(origin(farm), origins) == service(origin(live), origins)
    assert redirect(farm, live, origins) == (live, "", False)
    assert redirect(live, "https://photos.org/1", origins)[0] == ""
    assert redirect(live, "http://farm66.staticflickr.com/1", origins)[0] == ""


def test_default_hosts_allow_flickrs_addresses():
    origins = allowed(Flickr().photo_hosts)
    for host in ("live", "farm1", "farm66", "c1"):
        assert refusal(f"https://{host}.staticflickr.com/1/2_3.jpg", origins) == ""
    with pytest.raises(ValueError, match="a single host"):
        Flickr(photo_hosts=["*.staticflickr.com"])


def test_photos_on_a_host_that_is_not_listed_stop_the_stage(host):
    host.plan = {"/0": [send(GOOD)]}
    urls = {"0": f"{host.url}/0"}
    urls |= {str(n): f"https://farm66.example.org/{n}" for n in range(1, 49)}
    with pytest.raises(
        UserError, match=r"48 of 49 photos are on farm66\.example\.org.*photo_hosts"
    ):
        fetch(urls, host.entry)
    assert not Path("out.parquet").exists()
    assert [path.name for path in stored()] == ["0.jpg"]


def test_some_failures_are_reported_and_many_failures_stop(host, caplog):
    host.plan = {f"/{n}": [send(picture(n)) if n % 4 else send(b"", 418)] for n in range(60)}
    urls = {str(n): f"{host.url}/{n}" for n in range(60)}
    assert (fetch(urls, host.entry)["status"] == "failed").sum() == 15
    assert "15 of 60 photos failed: 15 x HTTP 418" in caplog.text
    for n in range(8, 60):
        host.plan[f"/{n}"] = [send(b"", 418)]
    Path("out.parquet").unlink()
    for path in stored():
        path.unlink()
    with pytest.raises(UserError, match="of 60 photos failed"):
        fetch(urls, host.entry)
    assert not Path("out.parquet").exists()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "nonsense",
    ],
)
def test_addresses_off_the_open_internet(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2600::1", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_addresses_of_the_open_internet(address):
    assert is_public(address)


def test_a_public_name_that_leads_home_is_not_followed(host, monkeypatch):
    """The name is really looked up; only the DNS answer is scripted."""
    host.plan = {"/1": [send(GOOD)]}
    port = host.server.server_port
    real = ThreadedResolver.resolve

    async def hijacked(self, name, *args):
        return await real(self, "127.0.0.1" if name == "photos.example.org" else name, *args)

    monkeypatch.setattr(ThreadedResolver, "resolve", hijacked)
    entry = f"http://photos.example.org:{port}"
    with pytest.raises(UserError, match=r"photos\.example\.org leads to 127\.0\.0\.1"):
        fetch({"1": f"{entry}/1"}, entry)
    assert host.log == [] and not Path("out.parquet").exists()
    # The user wants the address if the config names it.
    assert fetch({"1": f"{entry}/1"}, entry, "127.0.0.1").loc["1", "status"] == "ok"


def test_private_answers_are_dropped_except_for_named_hosts():
    async def resolve(host, names):
        return [a["host"] for a in await PublicResolver(names).resolve(host, 80)]

    assert "127.0.0.1" in asyncio.run(resolve("localhost", named(allowed(["localhost:80"]))))
    with pytest.raises(PrivateAddress):
        asyncio.run(resolve("localhost", named(allowed(["live.staticflickr.com"]))))


def test_proxies_of_the_environment_are_trusted(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy.local:3128")
    monkeypatch.setenv("http_proxy", "10.0.0.7:3128")
    assert {"proxy.local", "10.0.0.7"} <= proxies()


def test_an_outage_in_the_middle_costs_no_photo(host):
    """Every request is refused for a while, which is the host's fault, so no photo is given up."""
    down = 60

    def answer(handler):
        nonlocal down
        if len(host.log) > 20 and down > 0:
            down -= 1
            send(b"", 502)(handler)
        else:
            send(GOOD)(handler)

    host.plan = {f"/{n}": [answer] for n in range(100)}
    urls = {str(n): f"{host.url}/{n}" for n in range(100)}
    limits = Limits(tries=4, span_s=0, base_s=0.01, cap_s=0.05)
    assert set(fetch(urls, host.entry, limits=limits)["status"]) == {"ok"}


def test_a_tail_of_failing_photos_is_not_an_outage(host):
    """They fail while the host serves others, so each is given up and the run ends."""
    host.plan = {f"/{n}": [send(b"<html>")] if n < 12 else [send(GOOD)] for n in range(40)}
    urls = {str(n): f"{host.url}/{n}" for n in range(40)}
    limits = Limits(tries=6, span_s=1, base_s=0.02, cap_s=5, patience_s=3)
    data = fetch(urls, host.entry, limits=limits)
    assert data["status"].value_counts().to_dict() == {"ok": 28, "failed": 12}
