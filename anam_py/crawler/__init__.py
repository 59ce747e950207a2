"""From a folder to a store that knows its code, and from words to the places in it.

::

    crawler.py          CodeBaseCrawler: the public face
     ├─ crawl.py        one crawl: recognise, analyse, commit in batches, forget
     │   ├─ walk.py       which files there are (git.py, ignore.py, globs.py, selection.py)
     │   ├─ known.py      what the ledger remembers of them
     │   ├─ analysis.py   one file: reading.py, languages.py, parse.py (grammars.py, preprocessor.py, summaries.py)
     │   ├─ drafts.py     what is stored of it
     │   └─ batch.py      embedded and committed together
     ├─ reembedding.py  another embedder for a whole store
     └─ search.py       words to hits (ranking.py)
"""

from anam_py.crawler.crawler import CodeBaseCrawler
from anam_py.crawler.report import CrawlReport, Reason, Skip
from anam_py.crawler.search import Hit

__all__ = ["CodeBaseCrawler", "CrawlReport", "Hit", "Reason", "Skip"]
