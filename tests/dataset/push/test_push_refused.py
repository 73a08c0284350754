"""Mistakes in a push: each is told in one sentence, soon and without secrets."""

import shutil

import pytest

from tests.dataset.push.made_bucket import COMPLETE, refused, run
from witw.dataset.push.refusal import reason

WRONG = "wJalrXUtnFEMI-not-the-secret"


def test_a_missing_picture_is_reported_before_anything_is_deleted(bucket, folder):
    run(bucket.url)
    before = bucket.age()
    shutil.rmtree(folder / "chips")
    assert "chips/paris/0001/100.jpg is missing" in refused(bucket.url)
    assert bucket.age() == before


def test_a_bucket_that_does_not_exist_is_named(bucket, folder):
    assert "s3://no-such-bucket/set cannot be used: there is no such bucket" in refused(
        "s3://no-such-bucket/set"
    )


def test_a_service_that_cannot_be_reached_is_named_soon(bucket, folder, monkeypatch, free_port):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port}")
    assert f"{bucket.url} cannot be used: the service cannot be reached" in refused(bucket.url)


def test_missing_credentials_are_named(bucket, folder, monkeypatch, free_port):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port}")
    assert f"{bucket.url} cannot be used: no credentials are found" in refused(bucket.url)


def test_refused_credentials_are_named_but_not_shown(bucket, folder, monkeypatch):
    key, secret = bucket.server.user()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    bucket.server.strict(True)
    try:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", WRONG)
        told = refused(bucket.url)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        run(bucket.url)
    finally:
        bucket.server.strict(False)
    assert f"{bucket.url} cannot be used: the credentials are refused" in told
    assert not [word for word in (key, secret, WRONG) if word in told]


def test_a_profile_gives_keys_and_endpoint(bucket, folder, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    aws = tmp_path / ".aws"
    aws.mkdir()
    (aws / "credentials").write_text(
        "[lab]\naws_access_key_id = testing\naws_secret_access_key = testing%x\n"
    )
    (aws / "config").write_text(
        f"[profile lab]\nendpoint_url = http://{bucket.server.endpoint}\nregion = us-east-1\n"
        "[profile sso]\nsso_session = x\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "lab")
    run(bucket.url)
    assert COMPLETE in bucket.names()
    monkeypatch.setenv("AWS_PROFILE", "sso")
    assert "profile sso has no access key" in refused(bucket.url)


def test_a_link_that_leads_nowhere_is_named(folder, tmp_path):
    (folder / "note.txt").symlink_to("nowhere")
    told = refused(f"file://{tmp_path}/copy")
    assert "results/dataset/note.txt is a link that leads nowhere" in told


def test_an_endpoint_without_a_scheme_is_named(bucket, folder, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.server.endpoint)
    assert "does not begin with http:// or https://" in refused(bucket.url)


def test_a_folder_that_does_not_exist_is_named(bucket, folder):
    told = refused(bucket.url, "--from", "results/exprt/hf")
    assert "There is no folder results/exprt/hf" in told


@pytest.mark.parametrize(
    "text",
    [
        "Generic LocalFileSystem error: Unable to copy data to file: No space left (os error 28)",
        "Generic LocalFileSystem error: Unable to open file /a/b#1: No space left (os error 28)",
    ],
)
def test_a_full_disk_is_named_alone(text):
    assert reason(text) == "the file system answers `No space left`"


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/a\nb",
        "s3://bucket/%2e%2e/x",
        "bucket/set",
        "s3://",
        "s3:/bucket",
        "s3://b/../c",
        "ftp://b/c",
        "file://x",
        "file:///",
    ],
)
def test_a_wrong_address_is_refused(folder, url):
    assert "is not an address to push to: write s3://BUCKET/PREFIX" in refused(url)


def test_credentials_in_an_address_are_refused_and_not_repeated(folder):
    assert WRONG not in refused(f"s3://AKIA:{WRONG}@bucket/set")
    assert WRONG not in refused(f"az://account/container?sig={WRONG}")
