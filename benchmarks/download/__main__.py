"""Compare the downloader with img2dataset, aria2c, curl and wget, on loopback.

    .venv/bin/python -m benchmarks.download            # both parts
    .venv/bin/python -m benchmarks.download speed      # photos per second, responses 50 ms late
    .venv/bin/python -m benchmarks.download adverse    # a misbehaving host: files stored

All tools fetch the same photos in the same run, one after the other, round by round; the best round
of each counts. The host of a virtual machine may take processor time away; this share is printed
beside each run.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.download import adverse_host, photo_host
from benchmarks.download import peers as peers

MEMORY = Path("/dev/shm")
OUT = Path(__file__).resolve().parents[1] / "out"


@contextmanager
def folder(parent: Path) -> Iterator[Path]:
    """Yield a temporary folder."""
    made = Path(tempfile.mkdtemp(prefix="witw-download-", dir=parent))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def speed(count: int, slots: int, latency_s: float, rounds: int, tls: bool) -> None:
    """Measure photos per second."""
    parent = MEMORY if MEMORY.is_dir() else OUT
    with folder(parent) as home:
        print(f"{count} photos of {photo_host.BYTES / 1000:g} KB, {1000 * latency_s:g} ms, nginx")
        paths = photo_host.photos(count, home / "files")
        with photo_host.serve(home, paths, latency_s) as host:
            plain = _batch(paths, "http", host)
            figures = _rounds(_tools(slots), plain, {"tmpfs": parent, "disk": OUT}, rounds)
            if tls:
                secure = _batch(paths, "https", host)
                figures |= _rounds(_tools(slots, brief=True), secure, {"https": parent}, rounds)
    _ratios(figures, slots, latency_s)


def _tools(slots: int, brief: bool = False) -> dict[str, peers.Make]:
    tools = {"witw": peers.witw(slots)}
    if not peers.absent("aria2c"):
        tools["aria2c -j32 -x1"] = peers.aria2c(
            "--file-allocation=none", "--check-certificate=false"
        )
    if brief:
        return tools
    if why := peers.absent("img2dataset"):
        print(why)
        return tools
    return tools | {
        f"img2dataset 2 x {threads}": peers.img2dataset(2, threads)
        for threads in (slots // 2, slots)
    }


def _batch(paths: dict[str, str], scheme: str, host: photo_host.Host) -> peers.Batch:
    entry = host.http if scheme == "http" else host.https
    urls = {i: f"{scheme}://{entry}{path}" for i, path in paths.items()}
    return peers.Batch(urls, entry, {"SSL_CERT_FILE": str(host.certificate)})


def _rounds(
    tools: dict[str, peers.Make], batch: peers.Batch, places: dict[str, Path], rounds: int
) -> dict[tuple[str, str], float]:
    """Return the best rate of each tool at each location."""
    best: dict[tuple[str, str], float] = {}
    for _ in range(rounds):
        for place, parent in places.items():
            for name, make in tools.items():
                if place == "disk" and name.startswith("img2dataset"):
                    continue
                with folder(parent) as work:
                    ran = peers.run(make, batch, work / "run", timeout_s=600)
                    got = len(peers.stored(work / "run"))
                rate = got / ran.work_s
                print(
                    f"  {place:6} {name:22} {got:6} stored {rate:7.0f}/s   "
                    f"whole command {got / ran.wall_s:6.0f}/s   stolen {ran.stolen:4.0%}",
                    flush=True,
                )
                best[place, name] = max(rate, best.get((place, name), 0.0))
    return best


def _ratios(figures: dict[tuple[str, str], float], slots: int, latency_s: float) -> None:
    for (place, name), rate in figures.items():
        if name == "witw":
            ceiling = slots / latency_s
            print(f"{place}: witw / (slots / latency) = {rate / ceiling:.2f} of {ceiling:.0f}/s")
            continue
        print(f"{place}: witw / {name} = {figures[place, 'witw'] / rate:.2f}")


ADVERSE = {
    "witw": peers.witw(32),
    "aria2c -m5 --retry-wait=3": peers.aria2c("-m5", "--retry-wait=3"),
    "curl --retry 5 -f -L": peers.curl("--retry", "5", "--retry-all-errors", "-f", "-L"),
    "wget --tries=5": peers.wget("--tries=5", "--retry-on-http-error=429,503"),
    "img2dataset --retries 5": peers.img2dataset(2, 16, retries=5),
}


def adverse() -> None:
    """Show what each tool stores from a misbehaving host."""
    with adverse_host.serve() as (host, urls), folder(OUT) as home:
        print(f"{len(urls)} addresses, {len(host.photos)} valid photos")
        for n, (name, make) in enumerate(ADVERSE.items()):
            if n and (why := peers.absent(name.split()[0])):
                print(why)
                continue
            host.forget()
            work = home / str(n)
            ran = peers.run(make, peers.Batch(urls, host.entry), work, timeout_s=600)
            kinds = Counter(_kind(body, set(host.photos.values())) for body in peers.stored(work))
            wrong = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if kind != "photo")
            print(
                f"  {name:26} {kinds['photo']:4} photos; stored wrongly: {wrong or 'nothing'}; "
                f"before Retry-After: {len(host.early)}; {ran.wall_s:.0f} s",
                flush=True,
            )


def _kind(body: bytes, photos: set[bytes]) -> str:
    if body in photos:
        return "photo"
    if body.startswith(b"\x89PNG"):
        return "placeholder"
    if body.startswith(b"<"):
        return "page"
    return "empty" if not body else "truncated"


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", nargs="?", choices=["speed", "adverse"])
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--no-https", action="store_true")
    args = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    if args.part != "adverse":
        speed(args.photos, args.slots, args.latency_ms / 1000, args.rounds, not args.no_https)
    if args.part != "speed":
        adverse()


if __name__ == "__main__":
    main()
