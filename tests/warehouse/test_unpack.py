"""Packed sources: known by their first bytes, unpacked whole, and stopped before they fill the disk."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runyard.core.actions import Load
from runyard.warehouse import unpack as unpacking
from runyard.warehouse.failures import LoadFailed
from runyard.warehouse.unpack import packing, unpack
from tests.warehouse.desk import Desk

BODY = b"n,t\n" + b"".join(b"%d,row\n" % n for n in range(50_000))
PACKED = {
    "gzip": gzip.compress(BODY),
    "two gzip members": gzip.compress(BODY[:1000]) + gzip.compress(BODY[1000:]),
    "padded gzip": gzip.compress(BODY) + b"\0" * 512,
    "zstd": pa.compress(BODY, codec="zstd", asbytes=True),
}


def out(tmp_path: Path, data: bytes, *, most: int = 1 << 30, ratio: int = 1000) -> bytes:
    source, to = tmp_path / "in", tmp_path / "out"
    source.write_bytes(data)
    size = unpack(source, to, packing(source), most=most, ratio=ratio, check=lambda: None)
    assert size == to.stat().st_size
    return to.read_bytes()


@pytest.mark.parametrize("data", PACKED.values(), ids=PACKED.keys())
def test_what_comes_out_is_what_went_in(tmp_path: Path, data: bytes) -> None:
    assert out(tmp_path, data) == BODY


@pytest.mark.parametrize("data", [PACKED["gzip"], PACKED["two gzip members"], PACKED["zstd"]])
def test_half_a_file_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(LoadFailed, match=r"too early|damaged"):
        out(tmp_path, data[: len(data) * 2 // 3])


def test_data_that_is_damaged_is_refused(tmp_path: Path) -> None:
    data = bytearray(PACKED["gzip"])
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(LoadFailed, match="damaged"):
        out(tmp_path, bytes(data))


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_bomb_is_stopped_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str) -> None:
    monkeypatch.setattr(unpacking, "_FREE_BYTES", 4 << 20)
    bomb = gzip.compress(bytes(64 << 20)) if codec == "gzip" else pa.compress(bytes(64 << 20), codec, asbytes=True)
    for limits in ({"most": 8 << 20, "ratio": 10_000}, {"most": 1 << 30, "ratio": 100}):
        with pytest.raises(LoadFailed, match="unpacks to more than"):
            out(tmp_path, bomb, **limits)
        assert (tmp_path / "out").stat().st_size <= 8 << 20


def test_a_packed_file_is_loaded_whatever_its_name(shared: Desk) -> None:
    for place, (codec, data) in enumerate(PACKED.items()):
        (shared.files / "plain.csv").write_bytes(data)
        outcome = shared.run(Load(source="plain.csv", table=f"any{place}"))
        assert outcome.result == "succeeded", (codec, outcome.detail)
        assert outcome.metrics["rows"] == 50_000
        assert (outcome.metrics["bytes"], outcome.metrics["unpacked_bytes"]) == (len(data), len(BODY))


def test_a_packed_parquet_or_ndjson_is_known_by_what_is_in_it(shared: Desk) -> None:
    pq.write_table(pa.table({"a": [1, 2]}), shared.files / "p.bin")
    (shared.files / "q.bin").write_bytes(gzip.compress(b'{"a": 1}\n{"a": 2}\n{"a": 3}\n'))
    assert shared.run(Load(source="p.bin", table="seen_p")).metrics["rows"] == 2
    assert shared.run(Load(source="q.bin", table="seen_q")).output["format"] == "ndjson"


def test_a_bomb_fails_its_load_and_leaves_nothing(tmp_path: Path, shared: Desk) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    line = b"1," + b"x" * 100 + b"\n"
    with (shared.files / "bomb.csv.gz").open("wb") as file:
        for _ in range(300):
            file.write(packer.compress(line * 10_000))
        file.write(packer.flush())
    outcome = shared.run(Load(source="bomb.csv.gz", table="bombed"))
    assert outcome.result == "failed"
    assert "unpacks to more than" in outcome.detail
    assert not [path for path in (shared.home / "warehouse").glob("*.spool/*/*") if path.is_file()]


def test_an_upload_goes_when_its_load_is_done_and_stays_when_it_fails(shared: Desk) -> None:
    folder = shared.home / "uploads"
    folder.mkdir()
    name = os.urandom(16).hex()
    (folder / name).write_bytes(b"n\n1\n2\n")
    failed = shared.run(Load(source=f"upload:{name}", table="sent", columns={"m": "INTEGER"}))
    assert failed.result == "failed"
    assert (folder / name).exists()
    first = shared.start(Load(source=f"upload:{name}", table="sent"))
    before = shared.wait(first)
    assert (before.metrics["rows"], (folder / name).exists()) == (2, False)
    assert shared.wait(shared.start(Load(source=f"upload:{name}", table="sent"), token=2, same_as=first)) == before
    gone = shared.run(Load(source=f"upload:{name}", table="sent"))
    assert "any more" in gone.detail


@pytest.mark.parametrize("name", ["../secret", "x", "", "0" * 31, "/etc/passwd", "A" * 32])
def test_what_is_no_upload_is_refused(shared: Desk, name: str) -> None:
    assert "is no upload" in shared.run(Load(source=f"upload:{name}", table="never")).detail
