"""Models of sentence-transformers as embedders, tried on a tiny one; only where that library is installed."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import run, write_files

from anam_py import AnamError, CodeBaseCrawler, HTMCore, ValidationError
from anam_py.embedding import as_embedder, choice_of

sentence_transformers = pytest.importorskip("sentence_transformers")

WORDS = ["[UNK]", "parse", "birds", "lines", "migrate", "command"]


def tiny_model(seed: int = 0) -> Any:
    """Return a model that knows five words."""
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding  # noqa: PLC0415 - as above
    from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: PLC0415

    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    weights = np.random.default_rng(seed).standard_normal((len(WORDS), 16)).astype(np.float32)
    module = StaticEmbedding(tokenizer, embedding_weights=weights)
    return sentence_transformers.SentenceTransformer(modules=[module], device="cpu", prompts={"query": "parse "})


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("models") / "tiny"
    tiny_model().save(str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be looked for on the Hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ANAM_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path, {"code/a.py": "parse = lines\n", "code/b.md": "birds migrate\n"})
    return tmp_path


def test_a_model_and_the_folder_it_was_saved_in_are_the_same_embedder(saved: Path) -> None:
    given, named = as_embedder(tiny_model()), as_embedder(f"sentence-transformers:{saved}")
    assert given.name == named.name
    assert given.name.startswith("sentence-transformers-")
    assert given.dimension == named.dimension == 16
    texts = ["birds migrate", "parse the lines", ""]
    vectors = named.embed(texts)
    assert np.array_equal(vectors, given.embed(texts))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 0])
    assert (choice_of(given), choice_of(named)) == (None, f"sentence-transformers:{saved.resolve()}")


def test_queries_get_the_prompt_that_the_model_has_for_them() -> None:
    embedder = as_embedder(tiny_model())
    assert not np.allclose(embedder.embed(["birds"], "query"), embedder.embed(["birds"]))
    assert embedder.embed(["birds"], "query") == pytest.approx(embedder.embed(["parse birds"]), abs=1e-6)


def test_other_weights_and_other_settings_are_other_embedders() -> None:
    name = as_embedder(tiny_model()).name
    assert as_embedder(tiny_model(seed=1)).name != name
    other = tiny_model()
    other.prompts = {"query": "lines "}
    assert as_embedder(other).name != name


def test_what_has_no_weights_needs_a_name() -> None:
    from sentence_transformers.sentence_transformer.modules import BoW  # noqa: PLC0415 - as above

    model = sentence_transformers.SentenceTransformer(modules=[BoW(["parse", "birds"])], device="cpu")
    with pytest.raises(ValidationError, match=r"no weights that can be read.*from_callable\(model\.encode, name="):
        print(as_embedder(model).name)


def test_threads_take_turns() -> None:
    model, inside, most = tiny_model(), threading.Semaphore(0), 0
    embed = model.encode_document

    def watched(*arguments: Any, **options: Any) -> Any:
        nonlocal most
        inside.release()
        most = max(most, inside._value)
        try:
            return embed(*arguments, **options)
        finally:
            inside.acquire()

    model.encode_document = watched
    embedder = as_embedder(model)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(embedder.embed, [["birds migrate"]] * 40))
    assert all(np.array_equal(rows, found[0]) for rows in found)
    assert most == 1


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("modules.json", None),
        ("modules.json", b"{"),
        ("modules.json", json.dumps([{"idx": 0, "name": "0", "path": "", "type": "os.system"}]).encode()),
        ("model.safetensors", b"short"),
        ("tokenizer.json", b"{"),
    ],
)
def test_a_damaged_model_is_an_error_that_names_it(file: str, content: bytes | None, saved: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(saved, damaged)
    if content is None:
        (damaged / file).unlink()
    else:
        (damaged / file).write_bytes(content)
    with pytest.raises(AnamError, match=r"the model '.*damaged' cannot be loaded from this machine: \S"):
        print(as_embedder(f"sentence-transformers:{damaged}").name)


def test_a_model_that_is_nowhere_is_an_error() -> None:
    with pytest.raises(AnamError, match="'no-such/model' can be loaded neither from this machine nor from the Hugging Face Hub"):
        print(as_embedder("sentence-transformers:no-such/model").name)
    with pytest.raises(AnamError, match="'no-such/model' cannot be loaded from this machine"):
        print(as_embedder("sentence-transformers:no-such/model", offline=True).name)


def test_a_code_base_is_indexed_and_searched_with_a_model_of_the_users(project: Path) -> None:
    with HTMCore("store", dimension=16) as htm:
        crawler = CodeBaseCrawler(htm, embedder=tiny_model())
        assert crawler.index("code").new == 2
        assert crawler.search("migrate", mode="semantic")[0].path == "code/b.md"


def test_the_command_makes_a_store_for_a_model_and_searches_with_it_from_elsewhere(
    project: Path, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(saved, project / "model")
    result = run("index", "code", "--embedder", "sentence-transformers:model")
    assert (result.status, result.err) == (0, "")
    monkeypatch.chdir("code")
    assert run("stats", "--json").json["dimension"] == 16
    result = run("search", "migrate", "--mode", "semantic", "--json", "-n", "1")
    assert (result.paths, result.err) == (["b.md"], "")
    assert "Nothing was indexed anew." in run("index").out
    assert "Nothing was indexed anew." in run("index", "--embedder", f"sentence-transformers:{saved}").out


def test_a_model_that_has_changed_or_gone_since_is_said_to_have(project: Path) -> None:
    tiny_model().save(str(project / "model"))
    assert run("index", "code", "--embedder", "sentence-transformers:model").status == 0
    tiny_model(seed=1).save(str(project / "model"))
    search = ["search", "birds", "--store", "code/.anam"]
    assert run(*search).err.endswith(", another version of its embedder; embed it anew with: anam index code\n")
    assert run("index", "code").err.startswith("Embedding anew with sentence-transformers-")
    shutil.rmtree(project / "model")
    for command in (search, ["index", "code"]):
        result = run(*command)
        assert result.status == 2
        assert "cannot be loaded from this machine" in result.err
        assert result.err.endswith("; name it anew: anam index code --embedder sentence-transformers:MODEL\n")
    assert run(*search, "--mode", "lexical", "--json").paths == ["code/b.md"]
