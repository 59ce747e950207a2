"""The crawler on code as it is written: three packages of the standard library of the Python at hand."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from anam_py import CodeBaseCrawler, HTMCore
from anam_py.crawler.parse import parse

if TYPE_CHECKING:
    from anam_py.crawler import CrawlReport

PACKAGES = ("json", "asyncio", "email")
TREE = "tree"
STORE = "store"


def crawl(store: str) -> CrawlReport:
    """Bring a store up to date with the tree, as `anam index` does."""
    with HTMCore(store) as htm:
        return CodeBaseCrawler(htm, symbols=True).index(TREE)


class CrawlBenchmark:
    """Base of benchmarks on a tree that is copied once, and on a store that it was crawled into."""

    timeout = 120

    def setup_cache(self) -> None:
        library = Path(sysconfig.get_path("stdlib"))
        for package in PACKAGES:
            shutil.copytree(library / package, Path(TREE, package), ignore=shutil.ignore_patterns("__pycache__"))
        crawl(STORE)


class First(CrawlBenchmark):
    """A crawl into an empty store: everything is parsed, embedded and committed."""

    number = 1
    repeat = (3, 5, 30.0)

    def setup(self) -> None:
        shutil.rmtree("fresh", ignore_errors=True)

    def time_first_crawl(self) -> None:
        crawl("fresh")

    def peakmem_first_crawl(self) -> None:
        crawl("fresh")


class Second(CrawlBenchmark):
    """A crawl in which nothing has changed: every file is recognised without being read."""

    def time_second_crawl(self) -> None:
        crawl(STORE)

    def peakmem_second_crawl(self) -> None:
        crawl(STORE)


class Parse(CrawlBenchmark):
    """What is made of the texts, once they are read."""

    def setup(self) -> None:
        self.texts = [path.read_text(encoding="utf-8") for path in Path(TREE).rglob("*.py")]

    def time_parse(self) -> None:
        for text in self.texts:
            parse(text, "python")

    def peakmem_parse(self) -> None:
        for text in self.texts:
            parse(text, "python")


class Search(CrawlBenchmark):
    """A question in words, asked of an open store."""

    def setup(self) -> None:
        self.htm = HTMCore(STORE, read_only=True)
        self.crawler = CodeBaseCrawler(self.htm)
        self.crawler.search("parse a header")

    def teardown(self) -> None:
        self.htm.close()

    def time_search(self) -> None:
        self.crawler.search("decode a message that was sent in parts")

    def time_search_without_hits(self) -> None:
        self.crawler.search("zzzzqqq")

    def time_status(self) -> None:
        self.crawler.status(thorough=False)

    def time_thorough_status(self) -> None:
        self.crawler.status()

    def peakmem_search(self) -> None:
        self.crawler.search("decode a message that was sent in parts")
