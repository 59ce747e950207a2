"""The store: embeddings with metadata, text and history, durable and searched exactly.

Only what is listed here is for other rooms; nothing outside this one opens its files.
"""

from anam_py.store.audit import AuditLog
from anam_py.store.diff import diff_ops
from anam_py.store.htm import HTMCore
from anam_py.store.ledger import Entry, File, Ledger, Root
from anam_py.store.reports import Problem, Repair

__all__ = ["AuditLog", "Entry", "File", "HTMCore", "Ledger", "Problem", "Repair", "Root", "diff_ops"]
