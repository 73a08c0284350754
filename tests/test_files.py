"""A flipped bit in files passed between stages is reported or harmless."""

import json

import pytest

from witw import files, stage
from witw.errors import UserError
from witw.imagery.strip.vrt import Raster, describe_masked

VALUE = {
    "low": [0.1, 2e-9, -3.0],
    "name": "Zürich \u2028",
    "n": 12,
    "deep": {"1": None, "2": [True]},
}


def flips(body):
    """Yield the bytes with each bit flipped in turn."""
    for at in range(len(body)):
        for bit in range(8):
            yield body[:at] + bytes([body[at] ^ 1 << bit]) + body[at + 1 :]


def overwrite(path, body):
    """Write the same number of bytes in place, because some disks flush a truncated file."""
    with path.open("r+b") as file:
        file.write(body)


def test_sealed_json_is_read_back(tmp_path):
    files.write_json(tmp_path / "a.json", files.seal(VALUE))
    assert files.read_json(tmp_path / "a.json") == VALUE
    assert json.loads((tmp_path / "a.json").read_text()).keys() == {*VALUE, "crc32"}


def test_keys_that_are_numbers_are_sealed_as_they_are_written(tmp_path):
    files.write_json(tmp_path / "a.json", files.seal({10: 1, 9: 2}))
    assert files.read_json(tmp_path / "a.json") == {"10": 1, "9": 2}


@pytest.mark.parametrize("value", [VALUE, [1, 2], "text"])
def test_unsealed_json_is_read_unchecked(tmp_path, value):
    files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == value


def test_every_flipped_bit_of_sealed_json_is_detected(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, files.seal(VALUE))
    told = 0
    bodies = list(flips(path.read_bytes()))
    for body in bodies:
        overwrite(path, body)
        try:
            found = files.read_json(path)
        except UserError as error:
            assert str(path) in str(error)
            told += 1
        else:
            # Spaces between the values, and the name of the seal itself.
            assert {key: found[key] for key in VALUE} == VALUE
    assert told > 0.7 * len(bodies)


def test_every_flipped_bit_of_a_sealed_vrt_is_detected(tmp_path):
    path = tmp_path / "a.vrt"
    place = (0.0, 0.3, 0.0, 9.0, 0.0, -0.3)
    text = describe_masked(Raster((), (10, 20), place, "", "1,2", "Byte", (1, 2, 3)))
    files.write_text(path, files.seal_xml(text))
    files.check_xml(path)
    for body in flips(path.read_bytes()):
        overwrite(path, body)
        try:
            files.check_xml(path)
        except UserError as error:
            assert str(path) in str(error)
        else:
            assert body.startswith(text.encode()), "a bit of the document itself was believed"


def test_a_stage_checks_the_vrts_it_is_given(tmp_path):
    path = tmp_path / "mosaic.vrt"
    files.write_text(path, files.seal_xml("<VRTDataset>1</VRTDataset>\n"))
    spec = json.dumps({"stage": "chips", "version": 1})
    argv = ["--spec", spec, "--mosaic", str(path)]
    stage.arguments("chips", "", inputs=["mosaic"], argv=argv)
    path.write_text(path.read_text().replace(">1<", ">2<"))
    with pytest.raises(UserError, match=r"mosaic\.vrt is damaged; delete it and run again"):
        stage.arguments("chips", "", inputs=["mosaic"], argv=argv)
