"""`witw push-dataset` to a server that speaks S3, on loopback, and to folders."""

import hashlib
import io
import os
from pathlib import Path

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.dataset.push.made_bucket import (
    COMPLETE,
    IDS,
    PARTIAL,
    chip,
    files_of,
    make,
    photo,
    refused,
    run,
)
from witw import __main__
from witw.commands import forget
from witw.dataset import export_webdataset
from witw.dataset.push import push
from witw.dataset.push.address import open_store


def test_the_whole_folder_arrives_with_a_manifest(bucket, folder, capsys):
    run(bucket.url)
    local = files_of(folder)
    assert bucket.names() == {*local, COMPLETE}
    assert {name: bucket.get(f"set/{name}") for name in local} == local
    table = pq.read_table(io.BytesIO(bucket.get(f"set/{COMPLETE}"))).to_pylist()
    assert {row["path"]: (row["bytes"], row["sha256"]) for row in table} == {
        name: (len(body), hashlib.sha256(body).hexdigest()) for name, body in local.items()
    }
    assert f"{len(local)} files uploaded" in capsys.readouterr().out
    card = obstore.get(open_store(bucket.url, patient=False), "README.md")
    assert card.attributes["Content-Type"] == "text/markdown"


def test_a_second_push_uploads_nothing(bucket, folder, capsys):
    run(bucket.url)
    before = bucket.age()
    run(f"{bucket.url}/")
    assert "0 files uploaded (0.0 MB), 0 deleted" in capsys.readouterr().out
    assert bucket.age() == before


def test_only_files_that_differ_are_uploaded(bucket, folder, capsys):
    run(bucket.url)
    (folder / "funnel.csv").write_text("changed")
    run(bucket.url)
    assert "1 files uploaded" in capsys.readouterr().out.splitlines()[-1]
    assert bucket.get("set/funnel.csv") == b"changed"


@pytest.mark.parametrize("body", [None, b"0123456789"])
def test_an_object_that_was_changed_or_deleted_there_is_uploaded_again(bucket, folder, body):
    run(bucket.url)
    if body is None:
        bucket.server.ask("DELETE", f"{bucket.name}/set/{chip('101')}")
    else:
        bucket.put(f"set/{chip('101')}", body)
    run(bucket.url)
    assert bucket.get(f"set/{chip('101')}") == (folder / chip("101")).read_bytes()


def test_a_removal_reaches_the_bucket_and_leaves_foreign_objects(bucket, folder, capsys):
    bucket.put("set/photos/paris/00/foreign.jpg", b"not ours")
    bucket.put("beside/100.jpg", b"not ours")
    run(bucket.url)
    __main__.run(["forget", "100"])
    assert f"  witw push-dataset {bucket.url}\n" in capsys.readouterr().out
    before = bucket.names()
    run(bucket.url)
    gone = {photo("100"), chip("100"), "README.md", "example.jpg"}
    assert before - bucket.names() == gone
    assert "has no data card" in capsys.readouterr().out
    make(IDS[1:])
    run(bucket.url)
    assert bucket.names() - before == set()
    assert "README.md" in bucket.names()
    assert bucket.get("set/photos/paris/00/foreign.jpg") == b"not ours"
    assert bucket.get("beside/100.jpg") == b"not ours"
    held = b"".join(bucket.get(f"set/{key}") for key in bucket.names())
    assert photo("100").encode() not in held


def test_an_interrupted_push_is_not_complete_and_continues(bucket, folder, capsys):
    whole = (folder / chip("103")).read_bytes()
    (folder / chip("103")).write_bytes(b"x" * len(whole))
    assert "chips/paris/0001/103.jpg is damaged" in refused(bucket.url)
    assert PARTIAL in bucket.names()
    assert not bucket.names() & {COMPLETE, "README.md", "pairs.parquet", "croissant.json"}
    (folder / chip("103")).write_bytes(whole)
    run(bucket.url)
    assert bucket.names() == {*map(photo, IDS), *map(chip, IDS), *TOP, COMPLETE}
    assert "Pushed to" in capsys.readouterr().out


TOP = {"pairs.parquet", "funnel.csv", "licenses.csv", "CREDITS.csv", "README.md"}
TOP |= {"croissant.json", "ids.csv", "provenance.json", "example.jpg"}


def test_a_photo_of_an_interrupted_push_is_deleted_if_it_is_forgotten(bucket, folder):
    (folder / chip("103")).write_bytes(b"damaged")
    refused(bucket.url)
    make(IDS[1:])
    run(bucket.url)
    assert bucket.names() == {*map(photo, IDS[1:]), *map(chip, IDS[1:]), *TOP, COMPLETE}


def test_a_changed_copy_is_incomplete_until_its_end(bucket, folder):
    run(bucket.url)
    Path("results/dataset/chips/paris/0001/103.jpg").write_bytes(b"")
    bucket.server.ask("DELETE", f"{bucket.name}/set/{chip('103')}")
    refused(bucket.url)
    assert PARTIAL in bucket.names()
    assert COMPLETE not in bucket.names()


def test_a_push_that_was_killed_at_its_very_end_is_completed(bucket, folder, capsys):
    run(bucket.url)
    whole = bucket.get(f"set/{COMPLETE}")
    table = pq.read_table(io.BytesIO(whole))
    before = io.BytesIO()
    pending = table.set_column(2, "sha256", pa.nulls(len(table), pa.string()))
    pq.write_table(pending, before)
    bucket.put(f"set/{PARTIAL}", before.getvalue())
    capsys.readouterr()
    run(bucket.url)
    assert "0 files uploaded (0.0 MB), 0 deleted" in capsys.readouterr().out
    assert PARTIAL not in bucket.names()
    assert bucket.get(f"set/{COMPLETE}") == whole


def test_a_large_file_is_uploaded_in_parts(bucket, folder, monkeypatch, capsys):
    body = os.urandom(6 << 20) * 2
    (folder / "provenance.json").write_bytes(body)
    monkeypatch.setattr(push, "SMALL", 5 << 20)
    run(bucket.url)
    assert bucket.get("set/provenance.json") == body
    capsys.readouterr()
    run(bucket.url)
    assert "0 files uploaded" in capsys.readouterr().out


def test_a_foreign_object_is_never_overwritten(bucket, folder):
    bucket.put("set/README.md", b"not ours")
    assert f"{bucket.url}/README.md exists and was not put there by a push" in refused(bucket.url)
    assert bucket.names() == {"README.md"}
    assert bucket.get("set/README.md") == b"not ours"


def test_an_export_is_pushed_and_not_over_the_data_set(bucket, folder, capsys):
    export = Path("results/export/webdataset")
    export_webdataset.run(folder / "pairs.parquet", export)
    run(f"{bucket.url}/tars", "--from", str(export))
    assert bucket.names("set/tars/") == {"test-000000.tar", "ids.txt", COMPLETE}
    assert "holds a copy of `webdataset`, not of `dataset`" in refused(f"{bucket.url}/tars")
    forget.run(["100"], [])
    assert "snakemake --cores 4 export_webdataset" in refused(bucket.url, "--from", str(export))
    __main__.run(["forget", "101"])
    assert f"witw push-dataset {bucket.url}/tars --from {export}" in capsys.readouterr().out


def test_a_copy_is_deleted_on_request(bucket, folder, capsys):
    bucket.put("set/foreign.txt", b"not ours")
    run(bucket.url)
    run(bucket.url, "--delete", "--dry-run")
    assert COMPLETE in bucket.names()
    run(bucket.url, "--delete")
    assert bucket.names() == {"foreign.txt"}
    assert "Deleted 17 files" in capsys.readouterr().out
    __main__.run(["forget", "100"])
    assert "push-dataset" not in capsys.readouterr().out


def test_a_dry_run_changes_nothing(bucket, folder, capsys):
    run(bucket.url, "-n")
    assert "17 files uploaded" in capsys.readouterr().out
    assert bucket.names() == set()
    assert not Path("photos/pushed.json").exists()


def test_a_folder_is_an_address_too(folder, tmp_path, capsys):
    target = tmp_path / "a copy"
    run(f"file://{target}")
    assert files_of(target).keys() - files_of(folder).keys() == {COMPLETE}
    __main__.run(["forget", "100"])
    run(f"file://{target}")
    assert not (target / photo("100")).exists()
    assert (target / photo("101")).read_bytes() == (folder / photo("101")).read_bytes()
    capsys.readouterr()
    run(f"file://{target}")
    assert "0 files uploaded (0.0 MB), 0 deleted" in capsys.readouterr().out
    assert "lies inside results/dataset" in refused(f"file://{folder.resolve()}/x")


def test_temporary_files_of_a_killed_push_are_deleted(folder, tmp_path, monkeypatch):
    # As the library names them while it writes, and hides them from a listing.
    target = tmp_path / "copy"
    (folder / chip("103")).write_bytes(b"damaged")
    assert "push again" in refused(f"file://{target}")
    left, foreign = target / (photo("100") + "#1"), target / "photos/paris/00/notes#1"
    for path in (left, foreign):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half of a photo")
    make(IDS[1:])
    run(f"file://{target}")
    assert not left.exists()
    assert foreign.exists()
    (target / "README.md#1").write_bytes(b"")
    run(f"file://{target}", "--delete")
    assert [path for path in target.rglob("*") if path.is_file()] == [foreign]


def test_a_large_file_that_changes_during_its_upload_is_not_confirmed(
    bucket, folder, monkeypatch, capsys
):
    source = folder / "provenance.json"
    source.write_bytes(bytes(6 << 20))
    monkeypatch.setattr(push, "SMALL", 5 << 20)
    put = obstore.put

    def changing(store, path, body, **options):
        if path == "provenance.json":
            source.write_bytes(b"x" * (6 << 20))
        return put(store, path, body, **options)

    monkeypatch.setattr(obstore, "put", changing)
    assert "provenance.json is damaged or was changed meanwhile" in refused(bucket.url)
    assert COMPLETE not in bucket.names()
    monkeypatch.setattr(obstore, "put", put)
    run(bucket.url)
    assert bucket.get("set/provenance.json") == source.read_bytes()


def test_looking_at_a_folder_does_not_create_it(folder, tmp_path):
    run(f"file://{tmp_path}/copy", "--dry-run")
    run(f"file://{tmp_path}/copy", "--delete")
    assert not (tmp_path / "copy").exists()


def test_a_percent_encoded_address_is_the_same_address(folder, tmp_path, capsys):
    run(f"file://{tmp_path}/a%20copy/100%25")
    assert (tmp_path / "a copy/100%/README.md").is_file()
    assert f"Pushed to file://{tmp_path}/a copy/100%:" in capsys.readouterr().out
    inside = folder.resolve().as_posix().replace("/dataset", "%2Fdataset")
    assert "lies inside results/dataset" in refused(f"file://{inside}/x")


def test_a_prefix_may_contain_any_letter(bucket, folder, capsys):
    for prefix in ("a ü+b", "100%", "a%2520b"):
        run(f"s3://{bucket.name}/{prefix}")
    keys = bucket.names("")
    assert {key for key in keys if key.endswith("README.md")} == {
        "a ü+b/README.md", "100%/README.md", "a%20b/README.md"
    }  # fmt: skip
    capsys.readouterr()
    __main__.run(["forget", "100"])
    assert f"  witw push-dataset 's3://{bucket.name}/a ü+b'\n" in capsys.readouterr().out


def test_a_copy_that_no_run_folder_records_is_reported(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    run(f"file://{tmp_path}/copy", "--from", ".")
    assert "`witw forget` will not name this copy" in capsys.readouterr().out
    assert not Path("photos/pushed.json").exists()
