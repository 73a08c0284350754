"""A bucket, a data set to push, and the command."""

import hashlib
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.dataset.made_dataset import build, rows
from witw import __main__, tables
from witw.errors import UserError

IDS = ["100", "101", "102", "103"]
COMPLETE, PARTIAL = ".manifest.parquet", ".manifest.partial.parquet"


def photo(number):
    return f"photos/paris/{number[-2:]}/{number}.jpg"


def chip(number):
    return f"chips/paris/0001/{number}.jpg"


class Bucket:
    """A bucket of its own; addresses begin with `url`."""

    def __init__(self, server, name):
        self.server, self.name, self.url = server, name, f"s3://{name}/set"
        server.ask("PUT", name)

    def put(self, key, body):
        self.server.ask("PUT", f"{self.name}/{key}", body)

    def get(self, key):
        return self.server.ask("GET", f"{self.name}/{key}")

    def names(self, below="set/"):
        answer = ElementTree.fromstring(self.server.ask("GET", f"{self.name}?list-type=2"))
        found = [node.text for node in answer.iter() if node.tag.endswith("}Key")]
        return {key.removeprefix(below) for key in found if key.startswith(below)}

    def age(self):
        """Return when each object was uploaded, by key."""
        answer = ElementTree.fromstring(self.server.ask("GET", f"{self.name}?list-type=2"))
        found = [n.text for n in answer.iter() if n.tag.endswith(("}Key", "}LastModified"))]
        return dict(zip(found[::2], found[1::2], strict=True))


def make(ids):
    """Make photos, chips, the area's table and the data set."""
    table = [row for row in rows("paris", ["paired"] * len(IDS)) if row["id"] in ids]
    for row in table:
        paths = {"photo": photo(row["id"]), "chip": f"results/paris/chips/0001/{row['id']}.jpg"}
        for kind, path in paths.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(path.encode())
            row |= {f"{kind}_path": path}
            row |= {f"{kind}_sha256": hashlib.sha256(path.encode()).hexdigest()}
    own = Path("results/paris/pairs.parquet")
    tables.write_geo(own, "pairs", table)
    build([own], Path("results/dataset"))


def run(*words):
    __main__.run(["push-dataset", *words])


def files_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def refused(*words):
    """Run the command; return its sentence, which must come soon."""
    start = time.monotonic()
    with pytest.raises(UserError) as told:
        run(*words)
    assert time.monotonic() - start < 45  # seconds, on a busy machine
    assert "\n" not in str(told.value)
    return str(told.value)
