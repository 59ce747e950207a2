"""Which embedder `anam index` and the searches use, and what they say of it."""

from pathlib import Path

import pytest
from commands import run, write_files

from anam_py import CodeBaseCrawler, HTMCore
from anam_py.embedding import HashingEmbedder, default_embedder, from_callable
from anam_py.store import Ledger

STATIC, HASH = default_embedder().name, HashingEmbedder().name


def recorded() -> tuple[str | None, str | None]:
    """Return name and choice of the store's embedder in the current folder."""
    with HTMCore(".anam", read_only=True) as htm:
        return Ledger(htm).embedder, Ledger(htm).choice


def record(name: str) -> None:
    """Let the store say that it was made with an embedder, as another version of this package would."""
    with HTMCore(".anam") as htm:
        Ledger(htm).commit(embedder=name)


@pytest.fixture
def hashed(project: Path) -> Path:
    """Return the small code base with a store that was asked to be hashed."""
    assert run("index", "--embedder", "hash").status == 0
    return project


@pytest.fixture
def made_by_a_program(project: Path) -> Path:
    """Return the small code base with a store whose embedder is a function."""
    embedder = from_callable(lambda texts: [[len(text), 1.0, 2.0] for text in texts], name="lengths-1")
    with HTMCore(".anam", dimension=3) as htm:
        CodeBaseCrawler(htm, embedder=embedder).index(".")
    return project


def test_what_was_chosen_is_searched_with_without_being_asked_again(hashed: Path) -> None:
    assert recorded() == (HASH, "hash")
    for mode in ("hybrid", "semantic", "lexical"):
        assert run("search", "compress", "gzip", "--mode", mode, "--json").paths[0].startswith("src/squeeze")
    assert run("explain", "compress").status == 0
    assert run("stats", "--json").json["embedder"] == HASH


def test_index_goes_on_with_what_was_chosen(hashed: Path) -> None:
    write_files(hashed, {"birds.md": "# Birds\n\nAbout the migration of birds.\n"})
    result = run("index")
    assert (result.status, result.err) == (0, "")
    assert recorded() == (HASH, "hash")
    assert run("search", "migration", "--mode", "semantic", "--json", "-n", "1").paths == ["birds.md"]


def test_another_choice_embeds_the_store_anew_and_says_so(hashed: Path) -> None:
    result = run("index", "--embedder", "static")
    assert (result.status, result.err) == (0, f"Embedding anew with {STATIC}: the store was made with {HASH}\n")
    assert "entries were embedded anew." in result.out
    assert "Nothing was indexed anew" not in result.out
    assert recorded() == (STATIC, "static")
    assert run("index").err == ""
    assert run("index", "--embedder", "hash").err == f"Embedding anew with {HASH}: the store was made with {STATIC}\n"
    assert recorded() == (HASH, "hash")


@pytest.mark.parametrize("name", [HASH, "static-0-01234567", "hash-0", f"{STATIC} (unfinished)"])
def test_a_store_of_a_built_in_embedder_that_nobody_chose_gets_the_default(name: str, indexed: Path) -> None:
    assert recorded() == (STATIC, None)
    record(name)
    result = run("index")
    assert (result.status, result.err) == (0, f"Embedding anew with {STATIC}: the store was made with {name}\n")
    assert recorded() == (STATIC, None)


def test_a_store_that_an_older_version_hashed_can_be_kept_and_is_searched_as_it_is(project: Path) -> None:
    with HTMCore(".anam") as htm:
        CodeBaseCrawler(htm, embedder="hash").index(".")
        Ledger(htm).commit(embedder="another", choice="another")  # forgets what was chosen
        Ledger(htm).commit(embedder=HASH)
    assert recorded() == (HASH, None)
    assert run("search", "draw", "table", "--json", "-n", "1").paths == ["web/view.js"]
    assert run("index", "--embedder", "hash").err == ""
    assert recorded() == (HASH, "hash")
    assert run("index").err == ""


def test_vectors_of_another_version_are_not_searched(indexed: Path) -> None:
    record("static-0-01234567")
    message = ".anam was indexed with static-0-01234567, another version of its embedder; embed it anew with: anam index ."
    for command in (["search", "table"], ["explain", "table"]):
        result = run(*command)
        assert (result.status, result.err) == (2, f"anam: {message}\n")
    assert run("search", "table", "--mode", "lexical").status == 0


def test_vectors_of_two_embedders_are_not_searched_until_a_change_is_finished(hashed: Path) -> None:
    with HTMCore(".anam") as htm:
        Ledger(htm).commit(embedder=f"{HASH} (unfinished)", choice="hash")
    assert run("search", "table").err == "anam: .anam is only in part embedded anew; go on with: anam index .\n"
    assert run("index").status == 0
    assert recorded() == (HASH, "hash")


def test_what_only_a_program_can_embed_is_left_to_it(made_by_a_program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = "anam: .anam was indexed by a program of yours, with embedder 'lengths-1', which only that can make: go on there, or"
    result = run("search", "table")
    assert (result.status, result.err) == (2, f"{made} search by words alone: --mode lexical\n")
    result = run("index")
    assert (result.status, result.err) == (2, f"{made} embed it anew: anam index . --embedder static\n")
    monkeypatch.chdir("src")
    assert run("index").err.endswith(": anam index .. --embedder static\n")
    monkeypatch.chdir("..")
    assert run("search", "draw", "table", "--mode", "lexical", "--json", "-n", "1").paths == ["web/view.js"]
    assert recorded() == ("lengths-1", None)


def test_vectors_of_another_length_need_a_store_of_their_own(made_by_a_program: Path) -> None:
    result = run("index", "--embedder", "static")
    assert result.status == 2
    assert result.err == (
        f"anam: embedder {STATIC} makes vectors of 768 numbers, those in .anam have 3; "
        "remove .anam to index anew, or name another store with --store\n"
    )
    assert run("index", "--embedder", "static", "--store", "../other").status == 0


@pytest.mark.parametrize("name", ["hsah", "", "sentence-transformers:"])
def test_a_name_that_there_is_not_is_wrong_usage(name: str, project: Path) -> None:
    result = run("index", "--embedder", name)
    assert result.status == 2
    assert f"{name!r} is none of static, hash and sentence-transformers:MODEL" in result.err
    assert not (project / ".anam").exists()
