"""Run the Dockerfile's own steps in a fresh Debian root, without a container engine, and the demo.

    .venv/bin/python tests/containers/fresh_root.py [--dir DIR] [DEMO OPTIONS]

As root on Debian, with `debootstrap`. Python is Debian's, of the image's version. The packages of
the lock are downloaded outside and given to the root as a folder, so nothing in it needs a network.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

TOP = Path(__file__).parents[2]
# What the base image has beside Debian: its Python, certificates.
BASE = "python3,python3-pip,python-is-python3,ca-certificates"
MOUNTS = """
mkdir -p "$0/dev/shm" "$0/wheels"
mount -t proc proc "$0/proc"
mount -t tmpfs tmpfs "$0/dev/shm"
mount --bind "$1" "$0/wheels"
exec chroot "$0" sh -c 'cd "$0" && exec "$@"' "${@:2}"
"""
INSIDE = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PIP_NO_INDEX": "1",
    "PIP_FIND_LINKS": "/wheels",
    "PIP_ROOT_USER_ACTION": "ignore",
    "PIP_QUIET": "1",
}


def steps(text: str) -> Iterator[tuple[str, str]]:
    """Instructions of a Dockerfile and what stands behind them, in their order."""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, " ".join(rest.split())


def mirror() -> str:
    """Where this machine gets Debian from."""
    listed = "".join(path.read_text() for path in Path("/etc/apt").glob("sources.list*/*"))
    listed += "".join(path.read_text() for path in Path("/etc/apt").glob("sources.list"))
    found = re.search(r"^(?:URIs:|deb(?: \[.*?\])?) (\S+/debian/?)\s", listed, re.M)
    return found[1] if found else sys.exit("/etc/apt names no mirror of Debian")


def download(wheels: Path) -> None:
    """Bring the lock's packages into a folder; those that are there stay."""
    command = [TOP / ".tools/bin/python", "-m", "pip", "--python", TOP / ".venv/bin/python"]
    command += ["download", "--quiet", "--no-deps", "--require-hashes", "--dest", wheels]
    subprocess.run(
        [*command, "-r", TOP / "requirements.lock"], check=True, stderr=subprocess.DEVNULL
    )


def in_root(root: Path, wheels: Path, folder: str, command: Sequence[str]) -> None:
    """Run a command in the root, with its own processes and mounts."""
    outside = ["unshare", "--mount", "--pid", "--fork", "bash", "-euc", MOUNTS, root, wheels]
    subprocess.run([*outside, folder, *command], check=True, env=INSIDE, stdin=subprocess.DEVNULL)


def copy(source: str, target: Path) -> None:
    """Copy as the image's builder does: what is tracked here, to a file or below a folder."""
    tracked = subprocess.run(["git", "ls-files", "-z", "--", source], cwd=TOP, check=True,
                             capture_output=True, text=True).stdout  # fmt: skip
    for name in filter(None, tracked.split("\0")):
        place = target / name if (TOP / source).is_dir() else target
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        shutil.copy2(TOP / name, place, follow_symlinks=False)


def megabytes(root: Path) -> int:
    """Size of a root without what is mounted in it [MB]."""
    done = subprocess.run(["du", "-sxm", root], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[0])


def build(root: Path, wheels: Path) -> tuple[str, list[str]]:
    """Carry out every instruction; the working folder and the entry point."""
    folder, entry = "/", []
    for word, rest in steps((TOP / "Dockerfile").read_text()):
        print(f"==> [{time.monotonic() - START:.0f} s] {word} {rest}", flush=True)
        if word == "FROM":
            version, suite = re.fullmatch(r"python:([\d.]+)-slim-(\w+)", rest).groups()
            if not (root / "usr/bin/python").exists():
                subprocess.run(["debootstrap", "--variant=minbase", f"--include={BASE}", suite,
                                root, mirror()], check=True, stdout=subprocess.DEVNULL)  # fmt: skip
            # Debian keeps pip out of its own Python; the image's is pip's to change.
            (root / f"usr/lib/python{version}/EXTERNALLY-MANAGED").unlink(missing_ok=True)
            (root / "tmp").mkdir(exist_ok=True)
            print(f"base: {megabytes(root)} MB", flush=True)
        elif word == "COPY":
            source, target = rest.split()
            copy(source, root / target.lstrip("/"))
        elif word == "RUN":
            in_root(root, wheels, folder, ["sh", "-c", rest])
        elif word == "WORKDIR":
            folder = rest
            (root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "ENTRYPOINT":
            entry = json.loads(rest)
        elif word != "CMD":
            sys.exit(f"{word}: this script does not know that instruction; add it to build()")
    return folder, entry


def main() -> None:
    """Build the root and run the demo in it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dir", type=Path, help="root/ and wheels/ are kept there")
    args, demo = parser.parse_known_args()
    if os.geteuid() or not shutil.which("debootstrap"):
        sys.exit("a fresh root needs root and debootstrap")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        top = (args.dir or Path(name)).absolute()
        root, wheels = top / "root", top / "wheels"
        wheels.mkdir(parents=True, exist_ok=True)
        download(wheels)
        folder, entry = build(root, wheels)
        print(f"image: {megabytes(root)} MB", flush=True)
        in_root(root, wheels, folder, [*entry, "python", "-m", "witw.demo", *demo])
        assert (root / folder.lstrip("/") / "demo-run/results/report/report.html").is_file()
        print(f"[{time.monotonic() - START:.0f} s] the demo ran in the fresh root")


START = time.monotonic()
if __name__ == "__main__":
    main()
