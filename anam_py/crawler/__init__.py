"""From a folder to a store that knows its code, and from words to the places in it.

::

    crawler.py          CodeBaseCrawler: the public face
     ├─ stepping.py     taking a crawl's steps, here or in the thread pool
     ├─ crawl.py        one crawl: recognise, analyse, commit in batches, forget
     │   ├─ walk.py       which files there are (git.py, ignore.py, globs.py, selection.py)
     │   ├─ known.py      what the ledger remembers of them; roots.py of the folders, renames.py under which other names
     │   ├─ lookahead.py  which of them have changed: reading.py, and analysts.py, other processes for
     │   │   └─ analysis.py   one file: languages.py, secrets.py, chunks.py, parse.py (grammars.py, preprocessor.py,
     │   │                    summaries.py)
     │   ├─ drafts.py     what is stored of it
     │   └─ batch.py      embedded and committed together
     ├─ freshness.py    how the disk differs from what was indexed
     ├─ versions.py     the versions of a file, and what changed in each
     ├─ reembedding.py  another embedder for a whole store
     └─ search.py       words to hits (scope.py: filters, since.py: only what was written since a moment;
                        ranking.py, fusion.py)

    rules.py            what is dangerous in source that no linter at hand reads
"""

from anam_py.crawler.analysis import Analysis, analyse_file
from anam_py.crawler.crawler import CodeBaseCrawler
from anam_py.crawler.drafts import document
from anam_py.crawler.reembedding import UNFINISHED
from anam_py.crawler.report import CrawlReport, Reason, Skip
from anam_py.crawler.rules import find_violations, has_rules
from anam_py.crawler.search import Hit
from anam_py.crawler.status import IndexStatus
from anam_py.crawler.versions import Hunk, Version, history

__all__ = [
    "UNFINISHED",
    "Analysis",
    "CodeBaseCrawler",
    "CrawlReport",
    "Hit",
    "Hunk",
    "IndexStatus",
    "Reason",
    "Skip",
    "Version",
    "analyse_file",
    "document",
    "find_violations",
    "has_rules",
    "history",
]
