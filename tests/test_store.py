from pathlib import Path

import pytest

from witw import store
from witw.store import photo_path


@pytest.mark.parametrize(
    ("photo_id", "path"),
    [
        ("52800001234", "photos/oslo/34/52800001234.jpg"),
        ("7", "photos/oslo/07/7.jpg"),
        ("100", "photos/oslo/00/100.jpg"),
        ("mine-img_12-0af3", "photos/oslo/f3/mine-img_12-0af3.jpg"),
    ],
)
def test_a_photo_lies_under_the_last_two_characters_of_its_id(photo_id, path):
    assert photo_path("oslo", photo_id) == Path(path)
    assert store.photo_id(Path(path)) == photo_id


@pytest.mark.parametrize(
    "photo_id",
    [
        "",
        "12a",
        "../../etc/passwd",
        "1/2",
        "-1",
        "1\n",
        "٣",
        "1" * 21,
        "a-B",
        "a-b/c",
        "a-",
        "-a",
        "a-b.jpg",
    ],
)
def test_an_invalid_id_never_becomes_a_path(photo_id):
    with pytest.raises(ValueError, match="is not a photo's id"):
        photo_path("oslo", photo_id)


@pytest.fixture
def filled(tmp_path, monkeypatch):
    """Make a store with two photos in one area, and one of them, half fetched, in another."""
    monkeypatch.chdir(tmp_path)
    for name in ("oslo/34/1234.jpg", "oslo/07/7.jpg", "bern/34/.1234.jpg.part"):
        path = store.ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 10)


@pytest.mark.usefixtures("filled")
def test_complete_and_partial_photos_are_found():
    assert store.find("oslo", ["1234", "99"]) == [photo_path("oslo", "1234")]
    (half,) = store.find("bern", ["1234"])
    assert half == Path("photos/bern/34/.1234.jpg.part")
    assert store.photo_id(half) == "1234"
    assert store.find("lima", ["1234"]) == []


@pytest.mark.usefixtures("filled")
def test_only_complete_photos_count_as_stored():
    assert store.usage(store.ROOT / "oslo") == (2, 20)
    assert store.usage(store.ROOT / "bern") == (0, 0)
    assert store.usage(store.ROOT / "lima") == (0, 0)
    assert store.usage(store.ROOT) == (2, 20)


def test_a_journal_lies_outside_the_photos_and_the_results():
    assert store.journal_path("oslo") == Path("journal/oslo.sqlite")
