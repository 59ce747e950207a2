"""From a folder to a store that knows its code, and from words to the places in it.

::

    crawler.py          CodeBaseCrawler: the public face
     ├─ crawl.py        one crawl: recognise, analyse, commit in batches, forget
     │   ├─ walk.py       which files there are (git.py, ignore.py, globs.py, selection.py)
     │   ├─ known.py      what the ledger remembers of them
     │   ├─ analysis.py   one file: reading.py, languages.py, secrets.py, parse.py (grammars.py, preprocessor.py,
     │   │                summaries.py), chunks.py
     │   ├─ drafts.py     what is stored of it
     │   └─ batch.py      embedded and committed together
     ├─ reembedding.py  another embedder for a whole store
     └─ search.py       words to hits (scope.py, ranking.py)

    rules.py            what is dangerous in source that no linter at hand reads
"""

from anam_py.crawler.analysis import Analysis, analyse_file
from anam_py.crawler.crawler import CodeBaseCrawler
from anam_py.crawler.drafts import document
from anam_py.crawler.report import CrawlReport, Reason, Skip
from anam_py.crawler.rules import find_violations, has_rules
from anam_py.crawler.search import Hit

__all__ = [
    "Analysis",
    "CodeBaseCrawler",
    "CrawlReport",
    "Hit",
    "Reason",
    "Skip",
    "analyse_file",
    "document",
    "find_violations",
    "has_rules",
]
