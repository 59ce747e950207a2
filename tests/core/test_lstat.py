"""The status of many files at once is what `os.lstat` says of each."""

import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from anam_py import _core
from anam_py._core import loading

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="asks os.lstat itself")


def test_it_says_of_every_kind_of_file_what_lstat_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"x" * 1000)
    Path("folder").mkdir()
    Path("link").symlink_to("file")
    Path("dangling").symlink_to("nowhere")
    os.mkfifo("pipe")
    Path(os.fsdecode(b"caf\xe9 \n")).write_text("odd")
    with (tmp_path / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 40)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        os.utime("file", ns=(0, 5))
        os.utime("folder", ns=(0, 3_000_000_000_123_456_789))
        paths = [*map(str, Path().iterdir()), *map(str, tmp_path.iterdir()), "/", "/dev/null"]
        expected = [(s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in map(os.lstat, paths)]
        assert _core.lstat_many(paths).tolist() == [list(row) for row in expected]
        assert _core._lstat_one("file") == expected[paths.index("file")]  # what is asked where there is no lstat


def test_what_is_not_there_has_no_mode_and_what_cannot_be_told_a_negative_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    paths = [str(tmp_path / name) for name in ("missing", "file/below", "loop/below", "n" * 300, "file")]
    modes = _core.lstat_many(paths)[:, 0].tolist()
    assert modes[:4] == [0, 0, -1, -1]
    assert stat.S_ISREG(modes[4])
    assert [_core._lstat_one(path)[0] for path in paths] == modes


def test_of_no_files_there_is_nothing_to_say() -> None:
    assert _core.lstat_many([]).shape == (0, 4)


def test_a_path_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="1 paths do not fill"):
        loading.lstat.lstat_many(b"/\0", _core.lstat_many(["/", "/"]))
