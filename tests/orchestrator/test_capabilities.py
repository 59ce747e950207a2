"""What agents can do without being told how: each built-in capability, on real files, and on files and tasks that are wrong."""

import json
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anam_py import (
    AxiomError,
    AxiomValidator,
    CodeBaseCrawler,
    HTMCore,
    MultiAgentOrchestrator,
    OrchestratorError,
    ValidationError,
)
from anam_py.embedding import default_embedder
from anam_py.orchestrator import Context, IncompleteError
from anam_py.orchestrator.capabilities import BUILT_IN

FILES = {
    "src/main.py": '''"""Starts things."""
import os
from . import utils


class Starter:
    """Starts."""

    def start(self, name: str) -> None:
        if name:
            os.startfile(name)


def main(): return Starter().start("x")
''',
    "src/utils.py": "def join(a, b):\n    return f'{a}/{b}'\n",
    "web/view.js": 'import { a } from "b";\nfunction draw(x) { e.innerHTML = x; }\n',
    "notes.md": "# Notes\n\nStart things.\n",
}


@pytest.fixture(name="project", autouse=True)
def small_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a small code base."""
    folder = tmp_path / "project"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(name="memory")
def store_of_the_project(tmp_path: Path) -> Iterator[HTMCore]:
    """Give a store that takes the built-in embedder's vectors."""
    with HTMCore(tmp_path / "memory", durability="normal") as htm:
        yield htm
        assert htm.verify() == []


def do(name: str, task: dict[str, Any], **told: Any) -> dict[str, Any]:
    """Run a built-in handler; what it returns is made of JSON's types."""
    output = BUILT_IN[name].handler(task, Context(name, "agent", "run", **told))
    assert json.loads(json.dumps(output, allow_nan=False)) == output
    return output


def test_there_are_the_eight_capabilities_of_the_reference() -> None:
    assert list(BUILT_IN) == [
        "code_analysis",
        "ast_parsing",
        "embedding_generation",
        "similarity_search",
        "security_check",
        "quality_analysis",
        "nam_validation",
        "ethical_checking",
    ]


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_handler_can_be_told_to_another_process(name: str) -> None:
    assert pickle.loads(pickle.dumps(BUILT_IN[name].handler)) is BUILT_IN[name].handler


def test_code_analysis_tells_what_the_crawler_finds_out(memory: HTMCore) -> None:
    output = do("code_analysis", {"files": ["src/main.py", Path("web/view.js")]})
    assert output.keys() == {"files", "totals"}
    for told in output["files"]:
        known = CodeBaseCrawler(memory).analyze_file(told["path"])
        assert {name: known[name] for name in told} == told
    assert output["files"][0]["functions"] == ["Starter.start", "main"]
    assert output["totals"] == {
        "files": 2,
        "languages": {"python": 1, "javascript": 1},
        "line_count": 16,
        "code_lines": 11,
        "functions": 3,
        "classes": 1,
        "max_complexity": 2,
    }


def test_code_analysis_delivers_what_is_required_of_it() -> None:
    task = {"files": ["src/main.py", "web/view.js"]}
    output = do("code_analysis", task, requirements=("security_check", "quality_analysis"))
    for name in ("security_check", "quality_analysis"):
        assert output[name] == do(name, task)
    assert do("code_analysis", task, requirements=("quality_analysis",)).keys() == {"files", "totals", "quality_analysis"}


def test_ast_parsing_lists_definitions_and_imports() -> None:
    main, script, notes = do("ast_parsing", {"files": ["src/main.py", "web/view.js", "notes.md"]})["files"]
    assert [(each["kind"], each["name"], each["start_line"], each["end_line"]) for each in main["definitions"]] == [
        ("class", "Starter", 6, 11),
        ("method", "Starter.start", 9, 11),
        ("function", "main", 14, 14),
    ]
    assert main["definitions"][1]["signature"] == "def start(self, name: str) -> None"
    assert (main["imports"], main["notes"]) == (["os", "."], [])
    assert (script["imports"], script["definitions"][0]["name"]) == (["b"], "draw")
    assert (notes["definitions"], notes["notes"]) == ([], ["not parsed: no grammar for markdown"])


def test_a_file_that_is_named_twice_is_read_once() -> None:
    output = do("ast_parsing", {"files": ["notes.md", "./src/utils.py", "src/utils.py"]})
    assert [file["path"] for file in output["files"]] == ["notes.md", "src/utils.py"]


@pytest.mark.parametrize("name", ["code_analysis", "ast_parsing", "embedding_generation", "security_check", "quality_analysis"])
def test_a_file_that_cannot_be_read_is_an_error_that_names_it_and_keeps_the_rest(name: str, project: Path) -> None:
    (project / "picture.py").write_bytes(b"\0\1\2")
    with pytest.raises(IncompleteError) as caught:
        do(name, {"files": ["missing.py", "src/utils.py", "picture.py", "src"]})
    message = str(caught.value)
    assert message.startswith(
        "3 of 4 files could not be read: there is no file 'missing.py'; 'picture.py' cannot be taken in: binary"
    )
    assert "'src' is a directory" in message
    assert caught.value.output == do(name, {"files": ["src/utils.py"]})
    again = pickle.loads(pickle.dumps(caught.value))  # as from a process of its own
    assert (str(again), again.output) == (message, caught.value.output)


def test_only_so_many_of_the_files_that_cannot_be_read_are_named() -> None:
    with pytest.raises(IncompleteError, match=r"^500 of 500 files .*'19\.py'; and 480 more$"):
        do("code_analysis", {"files": [f"{number}.py" for number in range(500)]})


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({}, r'task\["files"\] must be a list of paths, at least one, got None'),
        ({"files": []}, "at least one"),
        ({"files": "src/main.py"}, "must be a list of paths"),
        ({"files": ["src/main.py", 3]}, r'task\["files"\]\[1\] must be a str or os.PathLike, got int 3'),
        ({"files": [""]}, r'task\["files"\]\[0\] must not be empty'),
        ({"files": ["a\0b"]}, "NUL"),
        ({"files": ["x"] * 10_001}, r"at most 10,000 files, got 10,001"),
    ],
)
def test_files_that_are_no_list_of_paths_are_told_by_name(task: dict[str, Any], message: str) -> None:
    for name in ("code_analysis", "ast_parsing", "embedding_generation", "security_check", "quality_analysis"):
        with pytest.raises(ValidationError, match=message):
            do(name, task)


def test_files_that_are_too_large_in_all_are_refused(project: Path) -> None:
    text = "x = 1\n" * 170_000
    for number in range(33):
        (project / f"{number}.txt").write_text(text)
    with pytest.raises(ValidationError, match="at most 16,777,216 bytes in all"):
        do("security_check", {"files": [f"{number}.txt" for number in range(33)]})


@pytest.mark.parametrize("name", ["code_analysis", "security_check", "quality_analysis", "embedding_generation"])
def test_a_handler_that_is_asked_to_stop_stops(name: str) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(OrchestratorError, match=f"{name} was stopped"):
        do(name, {"files": ["src/main.py"]}, cancelled=cancelled)


def test_embeddings_are_those_of_a_crawl(memory: HTMCore) -> None:
    crawled = {file["path"]: file["embedding"] for file in CodeBaseCrawler(memory).crawl_directory(".")}
    output = do("embedding_generation", {"files": [*FILES], "texts": ["start things", "?!"]})
    assert (output["embedder"], output["dimension"]) == (default_embedder().name, 768)
    made = {each["source"]: each["vector"] for each in output["vectors"]}
    assert list(made) == [*FILES, "texts[0]", "texts[1]"]
    for path in FILES:
        np.testing.assert_array_equal(np.float32(made[path]), crawled[path])
    np.testing.assert_array_equal(np.float32(made["texts[0]"]), default_embedder().embed(["start things"])[0])
    assert made["texts[1]"] is None


def test_more_texts_than_one_batch_are_embedded_one_by_one() -> None:
    texts = [f"word{number}" for number in range(150)]
    output = do("embedding_generation", {"texts": texts})
    assert [each["source"] for each in output["vectors"]] == [f"texts[{number}]" for number in range(150)]
    np.testing.assert_array_equal(np.float32([each["vector"] for each in output["vectors"]]), default_embedder().embed(texts))


def test_similarity_search_finds_the_nearest_entries_that_are_not_the_files_own(memory: HTMCore, project: Path) -> None:
    (project / "src/copy.py").write_text(FILES["src/main.py"])
    CodeBaseCrawler(memory, symbols=True).index(".")
    output = do("similarity_search", {"files": ["src/main.py"], "texts": ["join"], "limit": 3}, htm=memory)
    assert (output["entries"], output["note"]) == (len(memory), None)
    file, text = output["neighbours"]
    assert (file["source"], text["source"]) == ("src/main.py", "texts[0]")
    assert file["nearest"][0]["key"] == "src/copy.py"
    assert file["nearest"][0]["score"] > 0.9
    assert not any(hit["key"].startswith("src/main.py") for hit in file["nearest"])
    expected = [(key, score) for key, score, _ in memory.search_similar(default_embedder().embed(["join"])[0], 3, 0.0)]
    assert [(hit["key"], hit["score"]) for hit in text["nearest"]] == expected


def test_similarity_search_uses_the_vectors_that_were_made_before_it(memory: HTMCore) -> None:
    CodeBaseCrawler(memory).index(".")
    task = {"files": ["src/main.py"]}
    made = do("embedding_generation", {"texts": ["join"]})
    output = do("similarity_search", task, htm=memory, results={"embedding_generation": made})
    assert [each["source"] for each in output["neighbours"]] == ["texts[0]"]
    assert do("similarity_search", task, htm=memory, results={"embedding_generation": "something else"}) == do(
        "similarity_search", task, htm=memory
    )


def test_similarity_search_says_why_there_is_nothing_to_find(memory: HTMCore, htm: HTMCore) -> None:
    empty = do("similarity_search", {"texts": ["join"]}, htm=memory)
    assert (empty["entries"], empty["neighbours"]) == (0, [])
    assert empty["note"].startswith("the store is empty")
    htm.store_embedding("a", np.ones(4), {})
    assert "(4 dimensions), not with" in do("similarity_search", {"texts": ["join"]}, htm=htm)["note"]

    class Other:
        name, dimension = "other", 768

        def embed(self, texts: list[str], kind: str = "document") -> np.ndarray:
            return default_embedder().embed(texts, kind)

    CodeBaseCrawler(memory, embedder=Other()).index(".")
    assert "the store was indexed with other (768" in do("similarity_search", {"texts": ["join"]}, htm=memory)["note"]


def test_similarity_search_without_a_store_says_what_to_do() -> None:
    with pytest.raises(OrchestratorError, match="without process=True"):
        do("similarity_search", {"texts": ["join"]})


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"texts": "join"}, r'task\["texts"\] must be a list of str'),
        ({"texts": [1]}, r'task\["texts"\]\[0\] must be a str, got int 1'),
        ({"texts": ["x"] * 10_001}, "at most 10,000 texts"),
        ({"texts": ["join"], "limit": 0}, r'task\["limit"\] must be an integer from 1'),
        ({"texts": ["join"], "limit": "5"}, r'task\["limit"\]'),
    ],
)
def test_texts_and_limits_of_a_wrong_type_are_told_by_name(task: dict[str, Any], message: str, memory: HTMCore) -> None:
    with pytest.raises(ValidationError, match=message):
        do("similarity_search", task, htm=memory)


def test_stated_axioms_are_validated_against_their_context() -> None:
    axioms, context = ["AX_NO_HARM", "AX_HONESTY"], ["AX_LOVE_FORCE"]
    output = do("nam_validation", {"axioms": axioms, "context_axioms": context})
    assert (output["passed"], output["recommended_for"], output["axioms"]) == (True, None, axioms)
    direct = json.loads(json.dumps(AxiomValidator().validate_batch(axioms, context)))
    assert {name: output[name] for name in direct} == direct
    assert do("nam_validation", {"axioms": ["AX_SELF_TRANSCEND"], "context_axioms": ["AX_CORRIGIBLE"]})["passed"] is False


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ({"type": "code_review"}, "code review"),
        ({"type": "code_review", "description": "ethical decision making"}, "ethical decision making"),
    ],
)
def test_without_stated_axioms_those_recommended_are_validated_and_said_to_be(task: dict[str, Any], text: str) -> None:
    output = do("nam_validation", task)
    assert output["recommended_for"] == text
    assert output["axioms"] == AxiomValidator().recommend_axioms(text)
    assert output["results"].keys() == {*output["axioms"]}
    assert output["passed"] is output["batch_valid"]


def test_where_no_axiom_is_recommended_nothing_has_passed() -> None:
    output = do("nam_validation", {"type": "zxqv"})
    assert (output["passed"], output["axioms"]) == (None, [])
    assert output["note"].startswith("nothing to validate")


def test_axioms_of_a_wrong_type_or_name_are_errors() -> None:
    with pytest.raises(ValidationError, match=r'task\["axioms"\] must be a list of axioms, got str'):
        do("nam_validation", {"axioms": "AX_NO_HARM"})
    with pytest.raises(ValidationError, match=r'task\["context_axioms"\]'):
        do("nam_validation", {"axioms": ["AX_NO_HARM"], "context_axioms": 3})
    with pytest.raises(ValidationError, match=r'task\["description"\] must be a str, got int 3'):
        do("nam_validation", {"type": "x", "description": 3})
    with pytest.raises(AxiomError, match="AX_NO_SUCH"):
        do("nam_validation", {"axioms": ["AX_NO_SUCH"]})


def test_ethical_checking_judges_the_effects_and_the_words_of_an_action() -> None:
    words = "ask the author before changing the code"
    output = do("ethical_checking", {"action_vector": [0.1, 0.2, -0.05, 0.15], "description": words})
    assert output["checked"] == ["action_vector", "description"]
    assert output["action_vector"] == {"valid": True, "tension": pytest.approx(0.1911, abs=1e-4), "threshold": 0.35}
    assert output["description"] == json.loads(json.dumps(AxiomValidator().assess(words).as_dict()))
    assert output["passed"] is (output["description"]["verdict"] == "allowed")


def test_ethical_checking_passes_only_what_passes_in_every_respect() -> None:
    assert do("ethical_checking", {"action_vector": [1.0, 0.0]})["passed"] is False
    refused = do("ethical_checking", {"action": "permanently delete all user data without asking"})
    assert (refused["passed"], refused["checked"], refused["action"]["verdict"]) == (False, ["action"], "refused")
    both = do("ethical_checking", {"action": "permanently delete all user data without asking", "action_vector": [1.0, 1.0]})
    assert both["passed"] is False


def test_ethical_checking_with_nothing_to_check_says_so_and_has_not_passed() -> None:
    output = do("ethical_checking", {"type": "code_review"})
    assert (output["passed"], output["checked"]) == (None, [])
    assert output["note"].startswith("nothing to check")


async def test_agents_do_all_eight_on_real_files(memory: HTMCore) -> None:
    CodeBaseCrawler(memory, symbols=True).index(".")
    async with MultiAgentOrchestrator(memory) as orchestrator:
        orchestrator.add_agent(
            "analyzer", ["code_analysis", "ast_parsing", "security_check", "quality_analysis"], max_concurrency=4
        )
        orchestrator.add_agent("embedder", ["embedding_generation", "similarity_search"])
        orchestrator.add_agent("validator", ["nam_validation", "ethical_checking"])
        task = {
            "type": "code_review",
            "files": ["src/main.py", "src/utils.py"],
            "requirements": ["security_check", "quality_analysis"],
            "description": "review the code",
        }
        result = await orchestrator.coordinate_task(task, [*BUILT_IN])
    assert (result["success"], result["errors"], result["unmet"]) == (True, {}, [])
    assert result["results"].keys() == BUILT_IN.keys()
    assert [each["source"] for each in result["results"]["similarity_search"]["neighbours"]] == task["files"]


async def test_the_handlers_that_need_no_store_run_in_processes_of_their_own(memory: HTMCore) -> None:
    task = {"type": "code_review", "files": ["src/main.py"], "requirements": ["security_check"]}
    async with MultiAgentOrchestrator(memory) as orchestrator:
        orchestrator.add_agent("apart", ["code_analysis"], process=True)
        result = await orchestrator.coordinate_task(task, ["code_analysis"])
    assert result["errors"] == {}
    assert result["results"]["code_analysis"] == do("code_analysis", task, requirements=("security_check",))


@pytest.mark.parametrize("process", [False, True])
async def test_a_file_that_cannot_be_read_fails_the_capability_and_keeps_what_was_done(memory: HTMCore, process: bool) -> None:
    async with MultiAgentOrchestrator(memory) as orchestrator:
        orchestrator.add_agent("analyzer", ["code_analysis"], process=process)
        result = await orchestrator.coordinate_task({"type": "code_review", "files": ["src/main.py", "no.py"]}, ["code_analysis"])
    assert result["success"] is False
    assert "no file 'no.py'" in result["errors"]["code_analysis"]["message"]
    assert result["results"]["code_analysis"] == do("code_analysis", {"files": ["src/main.py"]})
