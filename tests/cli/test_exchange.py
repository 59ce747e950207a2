"""`anam export` and `anam import`: between a store and Parquet files."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import C_LOCALE, run, start

from anam_py import HTMCore

STORE = Path(".anam")


def held(path: Path) -> dict[str, tuple[bytes, object, object]]:
    with HTMCore(path, read_only=True) as htm:
        records = [htm.get_embedding(key) for key in htm]
        return {r["key"]: (r["embedding"]["values"].tobytes(), r["metadata"], htm.get_text(r["key"])) for r in records}


def test_an_exported_store_is_imported_into_another(indexed: Path, tmp_path: Path) -> None:
    expected = held(STORE)
    result = run("export", "rows.parquet")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"Exported {len(expected)} entries from .anam to rows.parquet (")
    (tmp_path / "other").mkdir()
    assert run("index", "../other").status == 0
    result = run("import", "rows.parquet", "--store", "../other/.anam")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"Imported {len(expected)} entries from rows.parquet into ../other/.anam (")
    assert held(tmp_path / "other/.anam") == expected
    assert run("verify", "--store", "../other/.anam").status == 0


def test_exports_and_imports_as_json_say_how_many_and_where(indexed: Path) -> None:
    for command in ("export", "import"):
        report = run(command, "rows.parquet", "--json").json
        assert report.keys() == {"store", "file", "rows", "bytes", "seconds"}
        assert (report["store"], report["rows"]) == (str(indexed.resolve() / ".anam"), len(held(STORE)))
        assert (report["file"], report["bytes"]) == (str(indexed.resolve() / "rows.parquet"), Path("rows.parquet").stat().st_size)


def test_only_what_fulfils_a_filter_is_exported(indexed: Path) -> None:
    rows = run("export", "rows.parquet", "--where", '{"kind": "file", "language": "python"}', "--json").json["rows"]
    keys = pq.read_table("rows.parquet")["key"].to_pylist()
    assert sorted(keys) == ["src/options.py", "src/squeeze.py", "src/squeeze_more.py"]
    assert rows == 3


@pytest.mark.parametrize("where", ["", "{", "[1]", "7", "[" * 100_000])
def test_a_filter_that_is_no_json_object_is_wrong_usage(indexed: Path, where: str) -> None:
    result = run("export", "rows.parquet", "--where", where)
    assert result.status == 2
    assert "Invalid value for '--where': not " in result.err
    assert not Path("rows.parquet").exists()


def test_a_filter_with_an_unknown_operator_is_an_error(indexed: Path) -> None:
    result = run("export", "rows.parquet", "--where", '{"kind": {"$is": "file"}}')
    assert result.status == 2
    assert "$is" in result.err


@pytest.mark.skipif(sys.platform == "win32", reason="no such locales")
def test_a_filter_means_the_same_in_every_locale(indexed: Path) -> None:
    Path("zähler.py").write_text("def zähle():\n    return 1\n", encoding="utf-8")
    assert run("index").status == 0
    process = start("export", "rows.parquet", "--where", '{"path": {"$prefix": "zä"}}', environment=C_LOCALE)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert sorted(pq.read_table("rows.parquet")["key"].to_pylist()) == ["zähler.py", "zähler.py::zähle"]


def test_a_file_that_is_there_is_only_replaced_on_request(indexed: Path) -> None:
    Path("rows.parquet").write_text("somebody's")
    result = run("export", "rows.parquet")
    assert result.status == 2
    assert result.err == "anam: 'rows.parquet' is there already; give another name, or --overwrite to replace it\n"
    assert Path("rows.parquet").read_text() == "somebody's"
    assert run("export", "rows.parquet", "--overwrite").status == 0
    assert pq.read_table("rows.parquet").num_rows == len(held(STORE))


def test_a_file_that_cannot_be_imported_is_one_line_of_error_and_changes_nothing(indexed: Path) -> None:
    before = held(STORE)
    vectors = pa.array([[1.0] * 768, [1.0] * 767], pa.list_(pa.float32()))
    pq.write_table(pa.table({"key": ["a", "b"], "vector": vectors}), "short.parquet")
    Path("text.parquet").write_text("no Parquet")
    for file, problem in (("short.parquet", "row 1"), ("text.parquet", "no Parquet file"), ("missing", "No such file")):
        result = run("import", file)
        assert (result.status, result.out) == (2, "")
        assert result.err.startswith("anam: ")
        assert problem in result.err
        assert len(result.err.splitlines()) == 1
    assert held(STORE) == before


def test_an_export_is_made_while_another_process_writes(indexed: Path) -> None:
    with HTMCore(STORE):
        process = start("export", "rows.parquet")
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert pq.read_table("rows.parquet").num_rows == len(held(STORE))


@pytest.mark.parametrize("command", ["export", "import"])
def test_without_pyarrow_the_error_says_what_to_install(indexed: Path, command: str) -> None:
    code = "import sys\nsys.modules['pyarrow'] = None\nfrom anam_py.cli import anam\nanam(sys.argv[1:])"
    ended = subprocess.run(
        [sys.executable, "-c", code, command, "rows.parquet"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == 'anam: Parquet files need pyarrow; install it with: pip install "anam_py[parquet]"\n'
    assert not list(Path().glob("rows.parquet*"))
