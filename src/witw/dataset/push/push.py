"""Make a copy equal to a folder: upload the files that differ, delete those that are gone.

Only objects that an earlier push put there are ever replaced or deleted. The manifest names them.
Data is uploaded first, tables and cards second; then files that are gone are deleted, and the
manifest comes last (:mod:`witw.dataset.push.manifest`).
"""

from __future__ import annotations

import hashlib
import itertools
import mimetypes
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import obstore
from tqdm import tqdm

from witw import files, stage
from witw.dataset.push import manifest
from witw.dataset.push.address import open_store
from witw.dataset.push.folder import File, is_last
from witw.dataset.push.local import delete_unfinished, local_folder
from witw.dataset.push.manifest import COMPLETE, PARTIAL, Entry
from witw.dataset.push.refusal import told
from witw.errors import UserError

# Uploading a photo is mostly waiting. Memory: at most THREADS * SMALL, or PARTS * SMALL.
THREADS = 32
SMALL = 8 << 20  # bytes
PARTS = 8  # of a large file, uploaded at a time
BATCH = 1000  # files; S3 deletes as many with one request
SAVE_S = 300


@dataclass(frozen=True)
class Plan:
    """The difference between a folder and its copy.

    Attributes:
        upload: files to upload, in this order.
        delete: objects to delete.
        bytes: size of the files to upload.
        is_current: nothing has to be done.
    """

    upload: list[str]
    delete: list[str]
    bytes: int
    is_current: bool


@dataclass
class Copy:
    """A copy at an address, as it is now.

    Attributes:
        url: the address.
        source: kind of the folder that was pushed there; "" if none was.
        entries: objects that pushes put there, or were about to.
        objects: size and ETag of every object below the address.
    """

    url: str
    source: str = ""
    entries: dict[str, Entry] = field(default_factory=dict)
    objects: dict[str, tuple[int, str | None]] = field(default_factory=dict)

    @classmethod
    def read(cls, url: str) -> Copy:
        """List the objects and read the manifest.

        Raises:
            UserError: the store refuses or cannot be reached, which is known within seconds.
        """
        copy = cls(url)
        if (target := local_folder(url)) and not target.exists():
            return copy
        with told(url):
            store = open_store(url, patient=False)
            for chunk in obstore.list(store, chunk_size=BATCH):
                copy.objects |= {it["path"]: (it["size"], _bare(it["e_tag"])) for it in chunk}
        # A push that was interrupted at its start or its end leaves both.
        for name in (PARTIAL, COMPLETE):
            if name in copy.objects:
                with told(url):
                    data = bytes(obstore.get(open_store(url, patient=True), name).bytes())
                copy.source, entries = manifest.load(data, f"{url}/{name}")
                copy.entries |= entries
        return copy

    def plan(self, source: str, local: dict[str, File]) -> Plan:
        """Compare the copy with a folder.

        Args:
            source: the folder's kind.
            local: its files.

        Raises:
            UserError: the address holds another kind of folder, or an object in the way.
        """
        if self.source not in ("", source):
            raise UserError(
                f"{self.url} holds a copy of `{self.source}`, not of `{source}`; choose another "
                "address, or delete that copy with --delete."
            )
        foreign = sorted((local.keys() & self.objects.keys()) - self.entries.keys())
        if foreign:
            raise UserError(
                f"{self.url}/{foreign[0]} exists and was not put there by a push; choose another "
                "prefix, or delete it."
            )
        upload = [path for path, file in local.items() if not self._has(path, file)]
        upload.sort(key=lambda path: (is_last(path), path))
        delete = sorted((self.entries.keys() & self.objects.keys()) - local.keys())
        is_whole = COMPLETE in self.objects and PARTIAL not in self.objects
        size = sum(local[path].bytes for path in upload)
        return Plan(upload, delete, size, is_whole and not upload and not delete)

    def _has(self, path: str, file: File) -> bool:
        entry, there = self.entries.get(path), self.objects.get(path)
        if not entry or not there:
            return False
        same_object = there[0] == file.bytes and entry.e_tag in (None, there[1])
        return same_object and entry.sha256 == file.sha256


class Push:
    """One push of a folder.

    Args:
        folder: the folder.
        copy: its copy.
        source: the folder's kind.
        local: its files.
    """

    def __init__(self, folder: Path, copy: Copy, source: str, local: dict[str, File]) -> None:
        self.folder, self.url, self.source, self.local = folder, copy.url, source, local
        self.entries = dict(copy.entries)
        self.was_complete = COMPLETE in copy.objects
        with told(self.url):
            self.store = open_store(copy.url, patient=True)
        self.saved = time.monotonic()

    def run(self, plan: Plan) -> None:
        """Carry out a plan; a failure leaves a partial manifest, from which a push continues.

        Raises:
            UserError: the store refuses, or a file changed meanwhile.
        """
        for path in plan.upload:
            self.entries[path] = Entry(self.local[path].bytes)
        self._save(PARTIAL)
        delete_unfinished(self.url, [*self.entries, COMPLETE, PARTIAL])
        if self.was_complete:
            self._delete([COMPLETE])
        try:
            with stage.bar("Uploading", plan.bytes, "B") as bar:
                bar.unit_scale = True
                for _, own in itertools.groupby(plan.upload, key=is_last):
                    self._upload(own, bar)
            self._delete(plan.delete)
        except BaseException:
            with suppress(UserError):
                self._save(PARTIAL, patient=False)
            raise
        self.entries = {path: self.entries[path] for path in self.local}
        self._save(COMPLETE)
        self._delete([PARTIAL])

    def _upload(self, paths: Iterable[str], bar: tqdm[None]) -> None:
        pool = ThreadPoolExecutor(THREADS)
        try:
            for batch in itertools.batched(paths, BATCH):
                small = [path for path in batch if self.local[path].bytes <= SMALL]
                large = [path for path in batch if self.local[path].bytes > SMALL]
                for size in itertools.chain(pool.map(self._send, small), map(self._send, large)):
                    bar.update(size)
                    if time.monotonic() - self.saved > SAVE_S:
                        self._save(PARTIAL)
        finally:
            # After an error or Ctrl-C, only the uploads in flight are finished.
            pool.shutdown(cancel_futures=True)

    def _send(self, path: str) -> int:
        """Upload a file; return its size.

        Raises:
            UserError: it is missing or its content is not as the table says, or the store refuses.
        """
        file, source = self.local[path], self.folder / path
        is_small = file.bytes <= SMALL
        try:
            body: Path | bytes = source.read_bytes() if is_small else source
            digest = hashlib.sha256(body).hexdigest() if isinstance(body, bytes) else file.sha256
            if digest != file.sha256 or source.stat().st_size != file.bytes:
                raise UserError(self._changed(source))
        except FileNotFoundError:
            raise UserError(f"{source} was deleted meanwhile; push again.") from None
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        with told(f"{self.url}/{path}"):
            done = obstore.put(
                self.store, path, body,
                attributes=None if self.url.startswith("file:") else {"Content-Type": kind},
                use_multipart=not is_small, chunk_size=SMALL, max_concurrency=PARTS,
            )  # fmt: skip
        # Without the whole body in memory, a change during the upload shows only afterwards.
        if not is_small and files.sha256(source) != file.sha256:
            raise UserError(self._changed(source))
        self.entries[path] = Entry(file.bytes, file.sha256, _bare(done["e_tag"]))
        return file.bytes

    def _changed(self, source: Path) -> str:
        return (
            f"{source} is damaged or was changed meanwhile: its SHA-256 is not the expected one; "
            f"push again, and if the error stays, delete {self.folder} and run `snakemake` again."
        )

    def _delete(self, paths: Sequence[str]) -> None:
        for batch in itertools.batched(paths, BATCH):
            with told(self.url):
                obstore.delete(self.store, list(batch))

    def _save(self, name: str, patient: bool = True) -> None:
        store = self.store if patient else open_store(self.url, patient=False)
        with told(self.url):
            obstore.put(store, name, manifest.dump(self.source, self.entries))
        self.saved = time.monotonic()


def _bare(e_tag: str | None) -> str | None:
    """Return an ETag without its quotes, which some listings leave out."""
    return e_tag.strip('"') if e_tag else None


def remove(copy: Copy) -> int:
    """Delete every object that pushes put at an address; return their number.

    Raises:
        UserError: the store refuses.
    """
    ours = sorted(copy.entries.keys() & copy.objects.keys())
    delete_unfinished(copy.url, [*copy.entries, COMPLETE, PARTIAL])
    # The manifests come last, because only they name the rest.
    last = [name for name in (COMPLETE, PARTIAL) if name in copy.objects]
    if not copy.objects:
        return 0
    with told(copy.url):
        store = open_store(copy.url, patient=True)
        for batch in itertools.batched([*ours, *last], BATCH):
            obstore.delete(store, list(batch))
    return len(ours)
