from pathlib import Path

import pytest

from witw.store import photo_path


@pytest.mark.parametrize(
    ("photo_id", "path"),
    [
        ("52800001234", "photos/oslo/34/52800001234.jpg"),
        ("7", "photos/oslo/07/7.jpg"),
        ("100", "photos/oslo/00/100.jpg"),
    ],
)
def test_a_photo_lies_under_the_last_two_digits_of_its_id(photo_id, path):
    assert photo_path("oslo", photo_id) == Path(path)


@pytest.mark.parametrize(
    "photo_id", ["", "12a", "../../etc/passwd", "1/2", "-1", "1\n", "٣", "1" * 21]
)
def test_what_is_not_a_number_never_becomes_a_path(photo_id):
    with pytest.raises(ValueError, match="is not a number"):
        photo_path("oslo", photo_id)
