"""Files that somebody made to do harm: refused or set aside, nothing else is opened for them, and memory stays bounded."""

import ctypes
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from stores import V, contents, segment_files

from anam_py.exceptions import HTMError
from anam_py.store import HTMCore, loader, segment
from anam_py.store.records import diff_crc, metadata_crc, vector_crc
from anam_py.store.rows import Entry

KEYS = [f"key {number}" for number in range(24)]


@pytest.fixture(scope="module", name="whole")
def make_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a closed store of one segment, with texts and history."""
    path = tmp_path_factory.mktemp("whole") / "store"
    with HTMCore(path, 1, dimension=4) as htm:
        vectors = np.random.default_rng(0).standard_normal((24, 4), dtype=np.float32)
        htm.store_embedding(KEYS[0], V, {"n": -1})
        htm.store_embeddings(KEYS, vectors, [{"n": number} for number in range(24)], texts=["some words"] * 24)
        htm.compact()
    (file,) = segment_files(path)
    assert file.stat().st_size < 10_000
    return path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Return an HDF5 file that is none of the store's, and holds what would fit there."""
    path = tmp_path / "outside.h5"
    with h5py.File(path, "w") as file:
        file["ids"] = np.arange(1, 25)
        file["vectors"] = np.ones((24, 4), "<f4")
    return path


# ---- hostile segments ----

Hostile = Callable[[h5py.File, Path], None]


def external_link(file: h5py.File, outside: Path) -> None:
    del file["ids"]
    file["ids"] = h5py.ExternalLink(str(outside), "/ids")


def external_storage(file: h5py.File, outside: Path) -> None:
    del file["vectors"]
    file.create_dataset("vectors", (24, 4), "<f4", external=[(str(outside), 0, 24 * 16)])


def virtual_dataset(file: h5py.File, outside: Path) -> None:
    del file["vectors"]
    layout = h5py.VirtualLayout((24, 4), "<f4")
    layout[:] = h5py.VirtualSource(str(outside), "vectors", (24, 4))
    file.create_virtual_dataset("vectors", layout)


def soft_link(file: h5py.File, outside: Path) -> None:
    file.move("ids", "elsewhere")
    file["ids"] = h5py.SoftLink("/elsewhere")


def cycle_of_links(file: h5py.File, outside: Path) -> None:
    del file["ids"], file["keys"]
    file["ids"], file["keys"] = h5py.SoftLink("/keys"), h5py.SoftLink("/ids")


def filters(file: h5py.File, outside: Path) -> None:
    data = file["vectors"][:]
    del file["vectors"]
    file.create_dataset("vectors", data=data, compression="gzip", shuffle=True, fletcher32=True)


def chunks(file: h5py.File, outside: Path) -> None:
    data = file["vectors"][:]
    del file["vectors"]
    file.create_dataset("vectors", data=data, chunks=(2, 2))


def compact_layout(file: h5py.File, outside: Path) -> None:
    data = file["crc"][:]
    del file["crc"]
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_layout(h5py.h5d.COMPACT)
    dataset = h5py.h5d.create(file.id, b"crc", h5py.h5t.STD_U32LE, h5py.h5s.create_simple(data.shape), created)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, data)


def shape_bomb(file: h5py.File, outside: Path) -> None:
    del file["vectors"]
    file.create_dataset("vectors", (1 << 40, 1 << 20), "<f4")


def shape_bomb_that_agrees(file: h5py.File, outside: Path) -> None:
    file.attrs.update(rows=1 << 40, dimension=1 << 20)
    for name, dtype in segment.TYPES.items():
        del file[name]
        file.create_dataset(name, (1 << 40, 1 << 20) if name == "vectors" else (1 << 40,), dtype)


def no_rows(file: h5py.File, outside: Path) -> None:
    file.attrs["rows"] = 0
    for name, dtype in segment.TYPES.items():
        del file[name]
        file.create_dataset(name, (0, 4) if name == "vectors" else (0,), dtype)


def attribute_of_any_length(file: h5py.File, outside: Path) -> None:
    file.attrs["uuid"] = "of variable length"


def void_attribute(file: h5py.File, outside: Path) -> None:
    file.attrs["uuid"] = np.void(b"\0" * 32)


def reference_as_attribute(file: h5py.File, outside: Path) -> None:
    file.attrs["shard"] = file["ids"].ref


def array_as_attribute(file: h5py.File, outside: Path) -> None:
    file.attrs["rows"] = np.arange(1000)


def huge_attribute(file: h5py.File, outside: Path) -> None:
    del file.attrs["replaces"]
    file.attrs.create("replaces", np.zeros(60_000, "u1"))


def many_attributes(file: h5py.File, outside: Path) -> None:
    for number in range(3000):
        file.attrs[f"attribute {number}"] = number


def many_objects(file: h5py.File, outside: Path) -> None:
    for number in range(3000):
        file.create_group(f"group {number}")


def group_in_place_of_a_dataset(file: h5py.File, outside: Path) -> None:
    del file["ids"]
    file.create_group("ids")


def type_in_place_of_a_dataset(file: h5py.File, outside: Path) -> None:
    del file["ids"]
    file["ids"] = np.dtype("<i8")


def strings_of_any_length(file: h5py.File, outside: Path) -> None:
    del file["keys"]
    file.create_dataset("keys", (24,), h5py.string_dtype())


def compound_type(file: h5py.File, outside: Path) -> None:
    del file["ids"]
    file.create_dataset("ids", (24,), np.dtype([("a", "<i4"), ("b", "<i4")]))


def other_byte_order(file: h5py.File, outside: Path) -> None:
    ids = file["ids"][:]
    del file["ids"]
    file.create_dataset("ids", data=ids, dtype=">i8")


def later_format(file: h5py.File, outside: Path) -> None:
    file.attrs["format"] = 2


HOSTILE: list[Hostile] = [
    external_link,
    external_storage,
    virtual_dataset,
    soft_link,
    cycle_of_links,
    filters,
    chunks,
    compact_layout,
    shape_bomb,
    shape_bomb_that_agrees,
    no_rows,
    attribute_of_any_length,
    void_attribute,
    reference_as_attribute,
    array_as_attribute,
    huge_attribute,
    many_attributes,
    many_objects,
    group_in_place_of_a_dataset,
    type_in_place_of_a_dataset,
    strings_of_any_length,
    compound_type,
    other_byte_order,
    later_format,
]


def made(whole: Path, folder: Path, hostile: Hostile, outside: Path) -> Path:
    """Return a copy of the store's segment that was made hostile."""
    (file,) = segment_files(whole)
    path = folder / f"{hostile.__name__}.h5"
    shutil.copyfile(file, path)
    with h5py.File(path, "r+") as opened:
        hostile(opened, outside)
    return path


@contextmanager
def watched(path: Path) -> Iterator[Callable[[], int]]:
    """Give a function that returns how many bytes of events there were: a file was opened, read or changed."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK)
    assert descriptor >= 0
    try:
        # Also where the name is replaced.
        assert libc.inotify_add_watch(descriptor, os.fsencode(path), 0xFFF) >= 0

        def events() -> int:
            try:
                return len(os.read(descriptor, 1 << 16))
            except BlockingIOError:
                return 0

        yield events
    finally:
        os.close(descriptor)


needs_inotify = pytest.mark.skipif(sys.platform != "linux", reason="needs inotify")


@needs_inotify
@pytest.mark.parametrize("hostile", [external_link, external_storage, virtual_dataset])
def test_the_watch_sees_what_plain_h5py_opens(whole: Path, tmp_path: Path, outside: Path, hostile: Hostile) -> None:
    path = made(whole, tmp_path, hostile, outside)
    with watched(outside) as events:
        with h5py.File(path) as file:
            for name in file:
                file[name][:]
        assert events()


@needs_inotify
@pytest.mark.parametrize("hostile", HOSTILE)
def test_row_34_a_hostile_segment_is_refused_and_nothing_else_is_opened(
    whole: Path, tmp_path: Path, outside: Path, hostile: Hostile
) -> None:
    path = made(whole, tmp_path, hostile, outside)
    with watched(outside) as events:
        found = loader.structures([path])[path]
        assert isinstance(found, str)
        assert found
        assert not events()


def test_a_segment_of_ours_is_not_refused_after_twenty_that_are_hostile(whole: Path, tmp_path: Path, outside: Path) -> None:
    (file,) = segment_files(whole)
    paths = [made(whole, tmp_path, hostile, outside) for hostile in HOSTILE]
    found = loader.structures([*paths, file])
    assert [type(found[path]) for path in paths] == [str] * len(HOSTILE)
    structure = found[file]
    assert isinstance(structure, loader.Structure)
    with h5py.File(file) as opened:
        assert structure.layout == {name: opened[name].id.get_offset() for name in opened}
        assert (structure.rows, structure.dimension, structure.shard) == (24, 4, 0)


@needs_inotify
def test_row_34_a_store_with_hostile_segments_is_verified_and_repaired_without_opening_anything_else(
    whole: Path, tmp_path: Path, outside: Path
) -> None:
    path = shutil.copytree(whole, tmp_path / "store")
    for number, hostile in enumerate(HOSTILE):
        shutil.move(made(whole, tmp_path, hostile, outside), path / "shard-0000" / f"seg-{100 + number}-0123abcd.h5")
    (path / "catalog.sqlite").unlink()
    with watched(outside) as events:
        problems = HTMCore.verify(path)
        assert len(problems) == 1 + len(HOSTILE)
        report = HTMCore.repair(path)
        assert not events()
    assert (report.kept, len(report.set_aside)) == (24, len(HOSTILE))
    with HTMCore(path) as htm:
        assert set(htm) == {*KEYS}
        assert htm.verify() == []


@pytest.mark.parametrize("start", [0, 512, 1024, 2048])
def test_random_bytes_in_the_structure_of_a_file_give_a_refusal_or_what_is_there(whole: Path, tmp_path: Path, start: int) -> None:
    """Whatever becomes of libhdf5 is its own process's affair."""
    (file,) = segment_files(whole)
    data = file.read_bytes()
    chance = np.random.default_rng(start)
    paths = []
    for number in range(40):
        changed = bytearray(data)
        for place in chance.integers(start, min(start + 1024, len(data)), 8):
            changed[place] = chance.integers(256)
        paths.append(tmp_path / f"{number}.h5")
        paths[-1].write_bytes(changed)
    for found in loader.structures(paths).values():
        if isinstance(found, loader.Structure):
            assert max(found.layout.values()) < len(data)
            assert 0 < found.rows * 4 * found.dimension < len(data)


def test_a_file_that_ends_the_process_costs_only_itself(
    whole: Path, tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that makes libhdf5 crash would: here the file is so large that reading it would take too long."""
    (file,) = segment_files(whole)
    slow = tmp_path / "slow.h5"
    shutil.copyfile(file, slow)
    monkeypatch.setenv("PYTHONPATH", "")
    environment = {"HDF5_FAULT": str(slow)}
    script = tmp_path / "sitecustomize.py"
    script.write_text(
        "import os, sys\n"
        "def watch(event, arguments):\n"
        "    if event == 'open' and arguments[0] == os.environ.get('HDF5_FAULT'):\n"
        "        os.abort()\n"
        "sys.addaudithook(watch)\n"
    )
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    found = loader.structures([file, slow, file])
    assert isinstance(found[file], loader.Structure)
    assert f"signal {signal.SIGABRT.value}" in str(found[slow])


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux counts it")
@pytest.mark.parametrize("hostile", [shape_bomb_that_agrees, huge_attribute, many_objects])
def test_row_34_reading_a_hostile_segment_takes_bounded_memory(
    whole: Path, tmp_path: Path, outside: Path, hostile: Hostile
) -> None:
    path = made(whole, tmp_path, hostile, outside)
    script = (
        "import re, resource, sys; from pathlib import Path; from anam_py.store import loader;"
        "loader.structures([Path(sys.argv[1])]);"
        # getrusage would count what the tests' own process had taken before it started this one.
        "own = int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]);"
        "print(max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 300 << 10  # of which NumPy and h5py take most


def test_a_segment_whose_rows_nobody_could_have_stored_is_not_taken_in(whole: Path, tmp_path: Path) -> None:
    """Its checksums fit, but no store takes a vector that is zero or not finite, an empty key, or metadata that is no dict."""
    path = shutil.copytree(whole, tmp_path / "store")
    with HTMCore(path) as htm:
        uuid = htm.stats()["uuid"]
    (path / "catalog.sqlite").unlink()
    bad = [
        ("nan", np.array([np.nan, 1, 1, 1], "<f4"), "{}", 101),
        ("infinite", np.array([np.inf, 1, 1, 1], "<f4"), "{}", 102),
        ("zero", np.zeros(4, "<f4"), "{}", 103),
        ("", V, "{}", 104),
        ("with\0zero", V, "{}", 105),
        ("k" * 1025, V, "{}", 106),
        ("list", V, "[]", 107),
        ("none", V, "not JSON", 108),
        ("good", V, "{}", 109),
    ]
    entries = [entry_of(key, vector, metadata, i) for key, vector, metadata, i in bad]
    vectors = np.stack([vector for _, vector, _, _ in bad])
    columns = segment.Columns.of(entries, [vectors], np.linalg.norm(vectors.astype("f8"), axis=1))
    segment.write(path / "shard-0000", uuid, 0, 4, columns)
    HTMCore.repair(path)
    with HTMCore(path) as htm:
        assert set(htm) == {*KEYS, "good"}
        assert htm.verify() == []


def entry_of(key: str, vector: Any, metadata: str, entry_id: int) -> Any:
    mcrc = metadata_crc(entry_id, key, 1, 5.0, metadata)
    return Entry(entry_id, key, 0, 1, vector_crc(vector), metadata, mcrc, None, diff_crc(None), 5.0)


# ---- hostile catalogs ----

STATEMENTS = {
    "trigger": "CREATE TRIGGER evil AFTER INSERT ON entries BEGIN DELETE FROM entries; END",
    "trigger on delete": "CREATE TRIGGER evil BEFORE DELETE ON pending BEGIN SELECT RAISE(ABORT, 'no'); END",
    "view": "CREATE VIEW evil AS SELECT * FROM entries",
    "table": "CREATE TABLE evil (a)",
    "virtual table": "CREATE VIRTUAL TABLE evil USING fts5(a)",
    "index": "CREATE INDEX evil ON entries (timestamp)",
    "index of an expression": "CREATE INDEX evil ON entries (upper(metadata))",
    "column": "ALTER TABLE entries ADD COLUMN evil",
    "computed column": "ALTER TABLE entries ADD COLUMN evil AS (hex(zeroblob(100000000)))",
    "view in place of a table": "ALTER TABLE texts RENAME TO dead_texts; CREATE VIEW texts AS SELECT id, zlib FROM dead_texts",
    "endless view": "DROP TABLE files; CREATE VIEW files AS WITH RECURSIVE n(root, path, size, mtime, hash, outcome, reason) AS"
    " (SELECT '', '', 0, 0, '', '', '' UNION ALL SELECT root, path || 'x', 0, 0, '', '', '' FROM n) SELECT * FROM n",
}


@pytest.mark.parametrize("statements", STATEMENTS.values(), ids=STATEMENTS)
def test_row_35_a_hostile_catalog_is_refused_and_its_rows_are_saved_from_it(whole: Path, tmp_path: Path, statements: str) -> None:
    path = shutil.copytree(whole, tmp_path / "store")
    with HTMCore(path) as htm:
        held = contents(htm)
    with closing(sqlite3.connect(path / "catalog.sqlite")) as sql:
        sql.executescript(statements)
    for read_only in (False, True):
        with pytest.raises(HTMError, match="catalog"):
            HTMCore(path, read_only=read_only)
    assert HTMCore.repair(path).lost == 0
    with HTMCore(path) as htm:
        assert contents(htm) == held
        assert htm.verify() == []
    with closing(sqlite3.connect(path / "catalog.sqlite")) as sql:
        assert not sql.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE '%evil%' OR type IN ('view', 'trigger')"
        ).fetchall()


def test_row_35_a_catalog_that_is_another_programs_database_is_set_aside(whole: Path, tmp_path: Path) -> None:
    path = shutil.copytree(whole, tmp_path / "store")
    (path / "catalog.sqlite").unlink()
    with closing(sqlite3.connect(path / "catalog.sqlite")) as sql:
        sql.executescript("CREATE TABLE cookies (a); INSERT INTO cookies VALUES (1)")
    theirs = (path / "catalog.sqlite").read_bytes()
    with pytest.raises(HTMError, match="not a catalog"):
        HTMCore(path)
    report = HTMCore.repair(path)
    assert (report.folder / "catalog.sqlite").read_bytes() == theirs
    with HTMCore(path) as htm:
        assert set(htm) == {*KEYS}


@needs_inotify
def test_a_journal_that_names_another_file_is_set_aside_and_that_file_is_not_touched(
    whole: Path, tmp_path: Path, outside: Path
) -> None:
    """SQLite would delete the file that such a journal names, if it were to roll it back."""
    path = shutil.copytree(whole, tmp_path / "store")
    (path / "catalog.sqlite").write_bytes(b"garbage")
    name = os.fsencode(outside)
    head = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + struct.pack(">5I", 0, 0, 1, 512, 4096)
    tail = struct.pack(">I", 1) + name + struct.pack(">II", len(name), sum(name)) + b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
    journal = head.ljust(512, b"\0") + tail
    (path / "catalog.sqlite-journal").write_bytes(journal)
    with watched(outside) as events:
        report = HTMCore.repair(path)
        with HTMCore(path) as htm:
            assert set(htm) == {*KEYS}
        assert not events()
    assert (report.folder / "catalog.sqlite-journal").read_bytes() == journal
    assert not (path / "catalog.sqlite-journal").exists()


@pytest.mark.skipif(os.name != "posix", reason="needs pipes and links")
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
@pytest.mark.parametrize("name", ["catalog.sqlite", "catalog.sqlite-wal", "anam.json"])
def test_a_pipe_or_a_folder_in_place_of_a_file_is_set_aside(whole: Path, tmp_path: Path, name: str, make: Any) -> None:
    path = shutil.copytree(whole, tmp_path / "store")
    (path / name).unlink(missing_ok=True)
    make(path / name)
    HTMCore.repair(path)
    with HTMCore(path) as htm:
        assert set(htm) == {*KEYS}


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_a_quarantine_that_leads_elsewhere_is_refused(whole: Path, tmp_path: Path) -> None:
    path = shutil.copytree(whole, tmp_path / "store")
    (tmp_path / "elsewhere").mkdir()
    (path / "quarantine").symlink_to(tmp_path / "elsewhere")
    (path / "catalog.sqlite").unlink()
    with pytest.raises(HTMError, match=r"quarantine.*link"):
        HTMCore.repair(path)
    assert list((tmp_path / "elsewhere").iterdir()) == []
