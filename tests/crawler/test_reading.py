"""Reading one file that may be anything and may change at any moment, and what its bytes stand for."""

import codecs
import itertools
import os
from pathlib import Path

import pytest

from anam_py.crawler import reading
from anam_py.crawler.reading import Unindexable, decode, read
from anam_py.crawler.report import Reason

LIMIT = 1000


def reason_of(path: Path, limit: int = LIMIT) -> Reason:
    with pytest.raises(Unindexable) as refused:
        read(str(path), limit)
    return refused.value.reason


def test_a_file_is_read_with_its_status(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x\r\ny")
    content = read(str(tmp_path / "a"), LIMIT)
    assert content.data == b"x\r\ny"
    assert content.status.st_size == 4


def test_row_43_what_became_a_pipe_or_a_link_since_it_was_met_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "target").write_text("secret")
    (tmp_path / "link").symlink_to("target")
    assert reason_of(tmp_path / "pipe") is Reason.SPECIAL
    assert reason_of(tmp_path / "link") is Reason.UNREADABLE
    assert reason_of(Path("/dev/null")) is Reason.SPECIAL
    assert reason_of(tmp_path) is Reason.UNREADABLE


def test_row_43_a_file_that_has_nothing_to_read_yet_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    monkeypatch.setattr(reading.stat, "S_ISREG", lambda _: True)  # as /proc/kmsg says of itself
    try:
        assert reason_of(tmp_path / "pipe") is Reason.SPECIAL
    finally:
        os.close(writer)


def test_row_44_a_huge_sparse_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert reason_of(tmp_path / "sparse") is Reason.OVERSIZED


@pytest.mark.parametrize("data", [b"x" * 101, b"short\n" + b"x" * 101 + b"\nshort", "é".encode() * 51])
def test_row_44_a_long_line_is_refused(data: bytes) -> None:
    with pytest.raises(Unindexable, match=r"long line: 10[12] bytes, the limit is 100"):
        decode(data, 100)
    assert decode(data[:100].replace(b"\n", b""), 100)


@pytest.mark.parametrize(
    ("data", "text", "encoding", "broken"),
    [
        (b"", "", "utf-8", False),
        ("é\r\nx\n".encode(), "é\r\nx\n", "utf-8", False),
        (codecs.BOM_UTF8 + "é".encode(), "é", "utf-8", False),
        (codecs.BOM_UTF16_LE + "é☃".encode("utf-16-le"), "é☃", "utf-16-le", False),
        (codecs.BOM_UTF16_BE + "é☃".encode("utf-16-be"), "é☃", "utf-16-be", False),
        (codecs.BOM_UTF32_LE + "é☃".encode("utf-32-le"), "é☃", "utf-32-le", False),
        (codecs.BOM_UTF16_LE + b"a", "\ufffd", "utf-16-le", True),
        ("é".encode("latin-1"), "\ufffd", "utf-8", True),
        (b"ok \xff\xfe ok", "ok \ufffd\ufffd ok", "utf-8", True),
        ("# -*- coding: latin-1 -*-\né".encode("latin-1"), "# -*- coding: latin-1 -*-\né", "iso8859-1", False),
        ("#!x\n# vim: fileencoding=koi8-r :\nж".encode("koi8-r"), "#!x\n# vim: fileencoding=koi8-r :\nж", "koi8-r", False),
        (b"# coding: utf-7\n+AGE-", "# coding: utf-7\n+AGE-", "utf-8", False),
        (b"# coding: punycode\nx", "# coding: punycode\nx", "utf-8", False),
        (b"# coding: zlib\nx", "# coding: zlib\nx", "utf-8", False),
        (b"# coding: no-such\nx", "# coding: no-such\nx", "utf-8", False),
        (b"# coding: ascii\n\xc3\xa9", "# coding: ascii\né", "utf-8", False),
        (b"x\n" * 5000 + b"\0", "x\n" * 5000 + "\0", "utf-8", False),
    ],
)  # fmt: skip
def test_row_45_text_is_decoded_by_mark_then_declaration_then_as_utf8(
    data: bytes,
    text: str,
    encoding: str,
    broken: bool,
) -> None:
    assert decode(data, 20_000) == (text, encoding, broken)


@pytest.mark.parametrize(
    "data", [b"a\0b", b"\x7fELF", b"%PDF-1.7\n", b"PK\x03\x04rest", b"\x1f\x8bzip", "x".encode("utf-16-le") * 9]
)
def test_row_45_binary_files_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(data + b"rest" * 10_000)
    with pytest.raises(Unindexable, match="binary"):
        read(str(path), 100_000)


@pytest.mark.parametrize("changed", [b"x" * 50, b"x", b"FIRST"], ids=["grown", "shrunk", "replaced"])
def test_row_46_content_that_changes_while_it_is_read_is_read_again_and_then_given_up(
    changed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"first")
    fstat, looks = os.fstat, itertools.count(1)

    def changing(descriptor: int) -> os.stat_result:
        status, look = fstat(descriptor), next(looks)
        if look in changes_at:  # odd looks come before the reading, even ones after it
            path.write_bytes(changed)
            os.utime(path, ns=(look, look))
        return status

    with monkeypatch.context() as patch:
        patch.setattr(reading.os, "fstat", changing)
        changes_at = {1}
        assert read(str(path), LIMIT).data == changed
        changes_at = {5, 7}
        assert reason_of(path) is Reason.CHANGING


def test_row_46_a_file_that_vanished_is_reported(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "gone") is Reason.VANISHED


def test_row_46_a_file_that_claims_another_size_than_it_has_is_given_up() -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("there is no /proc")
    assert reason_of(Path("/proc/self/status"), 1 << 20) is Reason.CHANGING
