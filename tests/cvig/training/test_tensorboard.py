import struct

from witw.cvig.training.tensorboard import Events, crc32c, event, record


def records(data):
    """Contents of a file's records, checksums verified."""
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        content = data[at + 12 : at + 12 + length]
        assert record(content) == data[at : at + 16 + length]
        yield content
        at += 16 + length


def test_checksum_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4


def test_a_record_as_tensorflow_writes_it():
    # Length 3 and its masked checksum, then the content and its own.
    assert record(b"abc")[:8] == struct.pack("<Q", 3)
    masked = struct.unpack("<I", record(b"abc")[-4:])[0]
    turned = (masked - 0xA282EAD8) & 0xFFFFFFFF
    assert (turned >> 17 | turned << 15) & 0xFFFFFFFF == crc32c(b"abc")


def test_an_event_is_the_protocol_buffer_of_its_scalars():
    assert (
        event(1.5, 300, {"loss": 0.25})
        == (
            b"\x09" + struct.pack("<d", 1.5) + b"\x10\xac\x02"  # wall_time, step
            b"\x2a\x0d\x0a\x0b\x0a\x04loss\x15" + struct.pack("<f", 0.25)  # summary
        )
    )


def test_a_run_adds_a_file(tmp_path):
    for _ in range(2):
        log = Events(tmp_path / "events")
        log.add(1, {"loss": 4.0})
        log.add(2, {"loss": 3.0, "rate": 1e-3})
        log.add(3, {})
    files = sorted((tmp_path / "events").iterdir())
    assert len(files) == 2
    assert all("tfevents" in file.name for file in files)
    head, *rest = records(files[0].read_bytes())
    assert b"brain.Event:2" in head
    assert len(rest) == 2
    assert b"rate" in rest[1]


def test_nothing_is_written_where_no_folder_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Events(None).add(1, {"loss": 4.0})
    assert not list(tmp_path.iterdir())
