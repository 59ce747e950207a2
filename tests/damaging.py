"""Damage to a file of a store, in a process that may die of it, and what the store then gives.

Run as a script, this is that process. It reads jobs from its standard input, one JSON object a line, and says on its standard
output which trial begins and what came of it.
"""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from stores import codes_files, segment_files

from anam_py import _core
from anam_py.exceptions import HTMError
from anam_py.store import HTMCore, coding, merge

DIMENSION = 4
KEYS = [f"src/module_{number}.py" for number in range(30)]
QUERIES = np.random.default_rng(0).standard_normal((3, DIMENSION), dtype=np.float32)
WORDS = ["shared", "word7", "module", "word3 shared"]

# How a trial ends, from the worst to the best.
OUTCOMES = {
    "wrong": "gave a record, text or history that was never stored, or another key's",
    "raised": "raised what is no HTMError",
    "unnoticed": "left something out, and nothing said so",
    "older": "gave what had been there earlier, and nothing said so",
    "set aside": "gave what had been there earlier, and put newer files in quarantine",
    "words": "found other entries for words, or in another order, and nothing said so",
    "incomplete": "left something out, or listed a key that is none, and verify said so",
    "error": "gave an error for what was damaged, and the rest right",
    "refused": "did not open, for a reason that was told",
    "verify": "gave everything right, and verify said what was damaged",
    "harmless": "gave everything right",
}
UNACCEPTABLE = ("wrong", "raised", "unnoticed")


class Trial(NamedTuple):
    """What came of a damaged file."""

    outcome: str
    detail: str


# ---- in the test ----


class Ward:
    """Starts the process that uses damaged stores, anew where one has ended it."""

    def __init__(self, folder: Path) -> None:
        self._command = [sys.executable, "-W", "error", __file__, str(folder)]
        if os.name == "posix" and os.geteuid() == 0:  # root may read everything
            self._command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *self._command]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            with self._process:
                self._process.stdin.close()
            self._process = None

    def trials(self, file: str, damage: str, count: int) -> list[Trial]:
        """Damage a file of a store that many times, anew each time, and use the store; AssertionError if the process dies of it.

        `file` is one at the store's root, "segment" or "codes" for any of these, or "catalog.sqlite" with the name of a
        table or index, on whose first page the damage then is.
        """
        if self._process is None:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self._process.stdin.write(json.dumps({"file": file, "damage": damage, "count": count}) + "\n")
        found: list[Trial] = []
        while len(found) < count:
            line = self._process.stdout.readline()
            if not line:
                status = self._process.wait()
                self.__exit__()
                raise AssertionError(f"the process ended with {status} in trial {len(found)} of {file}, {damage}")
            found.append(Trial(**json.loads(line)))
        return found


# ---- in the process that may die ----

Answers = dict[tuple[Any, ...], Any]


class Failed(NamedTuple):
    """An error in place of an answer."""

    message: str
    is_ours: bool

    @classmethod
    def of(cls, error: Exception) -> Self:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return cls(f"{error!r} at {Path(place.filename).name}:{place.lineno}", isinstance(error, HTMError))


def make(path: Path) -> tuple[HTMCore, list[Answers]]:
    """Make a store of several segments, history and texts; returns it open, and its answers after each change."""
    merge.choose = lambda _: []
    coding.LEAST_ROWS, coding.PLAN_ROWS, coding.QUIET_SECONDS, coding._PATIENCE_SECONDS = 1, 1, 1e9, 1e9
    _core.choose_plan = lambda *_, **__: _core.Plan(DIMENSION, DIMENSION, 4, None, detail=True)
    chance = random.Random(0)
    rng = np.random.default_rng(1)
    htm = HTMCore(path, 2, dimension=DIMENSION)
    htm.create_index("n")
    moments = [answers(htm)]

    def store(numbers: Iterable[int]) -> None:
        numbers = list(numbers)
        htm.store_embeddings(
            [KEYS[number] for number in numbers],
            rng.standard_normal((len(numbers), DIMENSION), dtype=np.float32),
            [{"n": number, "note": chance.randbytes(6000 if number == 5 else 100).hex()} for number in numbers],
            [[{"op": "insert", "pos": number, "count": 0, "lines": [chance.randbytes(20).hex()]}] for number in numbers],
            [f"word{number} shared {chance.randbytes(300).hex()}" for number in numbers],
        )
        moments.append(answers(htm))

    def delete(number: int) -> None:
        htm.delete(KEYS[number])
        moments.append(answers(htm))

    store(range(20))
    htm.flush()
    store(range(15, 25))
    htm.flush()
    for number in (1, 1, 7, 7, 25):
        store([number])
    delete(2)
    htm.flush()
    htm._writing().coder.finish()
    store(range(24, 30))
    delete(3)
    return htm, moments


def answers(htm: HTMCore) -> Answers:
    """Return what a store says to all kinds of questions, or the errors that it gives instead."""
    return {question: _attempt(function) for question, function in _questions(htm)}


def _questions(htm: HTMCore) -> Iterator[tuple[tuple[Any, ...], Callable[[], Any]]]:
    yield ("len",), lambda: len(htm)
    yield ("keys",), lambda: list(htm)
    yield ("records",), lambda: htm.get_embeddings(KEYS)
    for key in KEYS:
        yield ("record", key), lambda key=key: htm.get_embedding(key)
        yield ("text", key), lambda key=key: htm.get_text(key)
        yield ("history", key), lambda key=key: htm.history(key)
    for number, query in enumerate(QUERIES):
        for limit in (5, 100):
            yield ("similar", number, limit), lambda query=query, limit=limit: htm.search_similar(query, limit, -1)
    yield ("filtered",), lambda: htm.search_similar(QUERIES[0], 100, -1, where={"n": {"$lt": 10}})
    for words in WORDS:
        yield ("words", words), lambda words=words: htm.search_text(words, 100)


def _attempt(function: Callable[[], Any]) -> Any:
    try:
        return _plain(function())
    except Exception as error:  # noqa: BLE001 - what it is decides how the trial ends
        return Failed.of(error)


def _plain(value: Any) -> Any:
    """Return a value that equals another only if every bit of both is the same."""
    match value:
        case np.ndarray():
            return value.dtype.str, value.shape, value.tobytes()
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value


class Faults(NamedTuple):
    """The answers that are not those of a moment."""

    wrong: list[str]
    missing: list[str]
    words: list[str]

    @classmethod
    def of(cls, given: Answers, moment: Answers) -> Self:
        faults = cls([], [], [])
        for question, answer in given.items():
            if not isinstance(answer, Failed) and answer != moment[question]:
                faults._place(question, answer, moment).append(f"{question}: {answer}")
        return faults

    def _place(self, question: tuple[Any, ...], answer: Any, moment: Answers) -> list[str]:
        right = moment[question]
        match question[0]:
            case "len" | "keys":  # a key that is none gives an error, or nothing, when it is asked for
                return self.missing
            case "record" | "text":
                return self.missing if answer is None else self.wrong
            case "records":
                return self.missing if all(a in (None, r) for a, r in zip(answer, right, strict=True)) else self.wrong
            case "history":
                return self.missing if all(version in right for version in answer) else self.wrong
            case "similar" | "filtered":
                hits = moment["similar", question[1] if question[0] == "similar" else 0, 100]
                return self.missing if all(hit in hits for hit in answer) else self.wrong
        return self.words if all(record == moment["record", key] for key, _, record in answer) else self.wrong


def trial(path: Path, moments: Sequence[Answers], named: Sequence[str], *, read_only: bool, write: bool) -> Trial:
    """Use a damaged store; AssertionError where that deletes something, or where no reason is told for not opening it."""
    before = _contents(path)
    htm = _attempt(lambda: HTMCore(path, read_only=read_only))
    if isinstance(htm, Failed):
        assert not htm.is_ours or any(name in htm.message for name in named), f"{named} is not named: {htm.message}"
        found = Trial("refused" if htm.is_ours else "raised", f"opening: {htm.message}")
    else:
        with htm:
            given = answers(htm)
            problems = _attempt(htm.verify)
            set_aside = _attempt(lambda: htm.stats()["quarantined"])
            found = _verdict(given, problems, set_aside, moments)
            if write and not read_only and found.outcome not in UNACCEPTABLE:
                found = _after_writing(htm, moments[-1]) or found
    if not write:  # merging would replace segments
        after = _contents(path)
        kept = set(after.values())
        gone = [name for name, data in before.items() if not (name in after if name == "catalog.sqlite" else data in kept)]
        assert not gone, f"these are not there any more: {gone}"
    return found


def _verdict(given: Answers, problems: Any, set_aside: Any, moments: Sequence[Answers]) -> Trial:
    faults = [Faults.of(given, moment) for moment in moments]
    best = min(faults, key=lambda fault: (len(fault.wrong), len(fault.missing), len(fault.words)))
    errors = [error for error in (*given.values(), problems, set_aside) if isinstance(error, Failed)]
    foreign = [error.message for error in errors if not error.is_ours]
    ours = [error.message for error in errors if error.is_ours]
    said = [f"verify: {problems}"] if problems else []
    verdicts = {
        "wrong": best.wrong,
        "raised": foreign,
        "error": ours,
        "incomplete" if said else "unnoticed": best.missing,
        "verify": said,
        "words": best.words,
        "set aside" if set_aside else "older": ["of an earlier moment"] * (best is not faults[-1]),
        "harmless": ["nothing"],
    }
    outcome, what = next((outcome, what) for outcome, what in verdicts.items() if what)
    return Trial(outcome, "; ".join(dict.fromkeys([*what, *said])))


def _after_writing(htm: HTMCore, moment: Answers) -> Trial | None:
    """Write to a damaged store; return what then is worse than an error, if anything."""
    changed, deleted = KEYS[7], KEYS[8]
    vector, metadata = np.arange(1, DIMENSION + 1, dtype=np.float32), {"n": -1}
    steps = [
        lambda: htm.store_embedding("new", vector, metadata, text="new"),
        lambda: htm.store_embedding(changed, vector, metadata, text="new"),
        lambda: htm.delete(deleted),
        htm.flush,
        htm.compact,
        htm.verify,
    ]
    done = [_attempt(step) for step in steps]
    if foreign := [error.message for error in done if isinstance(error, Failed) and not error.is_ours]:
        return Trial("raised", "; ".join(foreign))
    stored = _attempt(lambda: htm.get_embedding("new"))
    if not isinstance(done[0], Failed) and not isinstance(stored, Failed):
        right = stored is not None and (stored["embedding"]["values"], stored["metadata"]) == (_plain(vector), metadata)
        if not right:
            return Trial("wrong", f"stored after the damage: {stored}")
    given = {question: answer for question, answer in answers(htm).items() if question[0] in ("record", "text", "history")}
    kept = {question: answer for question, answer in given.items() if question[1] not in (changed, deleted)}
    found = _verdict(kept, None, None, [moment])
    return found if found.outcome in ("wrong", "raised") else None


def _contents(path: Path) -> dict[str, bytes]:
    """Return every file of a store that is there also when nobody has it open, but for codes, which are made again."""
    found = {}
    for file in path.rglob("*"):
        name = file.relative_to(path).as_posix()
        if file.is_file() and not name.startswith(("LOCK", "catalog.sqlite-")) and ".codes-" not in name:
            found[name] = file.read_bytes() if os.access(file, os.R_OK) else b""
    return found


def hurt(file: Path, damage: str, chance: random.Random, places: Sequence[int]) -> None:
    """Damage a file; a bit is flipped in one of these places."""
    data = bytearray(file.read_bytes())
    match damage:
        case "bit flipped":
            data[chance.choice(places)] ^= 1 << chance.randrange(8)
        case "cut off":
            del data[chance.randrange(1, len(data)) :]
        case "garbage":
            data = bytearray(chance.randbytes(chance.choice([len(data), chance.randrange(1, 2 * len(data))])))
        case "partly garbage":
            for _ in range(chance.choice([1, 1, 10])):
                start, size = chance.randrange(len(data)), chance.choice([1, 16, 4096])
                data[start : start + size] = chance.randbytes(len(data[start : start + size]))
        case "emptied":
            data.clear()
        case "deleted":
            file.unlink()
            return
        case "unreadable":
            file.chmod(0)
            return
    mode = file.stat().st_mode
    file.unlink()
    file.write_bytes(data)
    file.chmod(mode)


def _places(file: Path, table: str) -> Sequence[int]:
    """Return where a file holds something; of the catalog, where a table's or index's first page does."""
    data = file.read_bytes()
    if not table:
        return range(len(data))
    with closing(sqlite3.connect(file)) as sql:
        ((size,),) = sql.execute("PRAGMA page_size")
        pages = {"sqlite_schema": 1} | dict(sql.execute("SELECT name, rootpage FROM sqlite_master"))
    start = (pages[table] - 1) * size
    return [place for place in range(start, start + size) if data[place]]


class _Patients:
    """The stores that are damaged: copies of one that was closed, and of one that a crash left with everything in its log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._closed, self._crashed = folder / "closed", folder / "crashed"
        htm, self._moments = make(self._closed)
        # Another process copies: closing a file drops SQLite's locks on it.
        subprocess.run([sys.executable, "-c", _COPY, self._closed, self._crashed], check=True)
        htm.close()

    def trial(self, file: str, table: str, damage: str, number: int) -> Trial:
        """Damage a copy, and use it."""
        whole, moments = (self._crashed, self._moments) if file.endswith("-wal") else (self._closed, self._moments[-1:])
        chance = random.Random(f"{file} {table} {damage} {number}")
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            path = Path(name) / "store"
            shutil.copytree(whole, path)
            kinds = {"segment": segment_files, "codes": codes_files}
            target = chance.choice(kinds[file](path)) if file in kinds else path / file
            hurt(target, damage, chance, _places(target, table))
            named = ["anam.json", "marker"] if file == "anam.json" else ["catalog"]
            return trial(path, moments, named, read_only=chance.random() < 0.5, write=damage == "partly garbage")


def _main(folder: Path) -> None:
    patients = _Patients(folder)
    for line in sys.stdin:
        job = json.loads(line)
        file, _, table = job["file"].partition(" ")
        for number in range(job["count"]):
            print(json.dumps(patients.trial(file, table, job["damage"], number)._asdict()), flush=True)


_COPY = """
import shutil, sys
shutil.copytree(sys.argv[1], sys.argv[2], ignore=shutil.ignore_patterns("LOCK*", "*-shm"))
"""

if __name__ == "__main__":
    _main(Path(sys.argv[1]))
