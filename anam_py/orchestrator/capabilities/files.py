"""The files that a task names, read and analysed; the ones that cannot be do not hide the others, nor look like success."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from anam_py._validation import check_path, describe
from anam_py.crawler import Analysis, analyse_file
from anam_py.exceptions import CrawlerError, OrchestratorError, ValidationError
from anam_py.orchestrator.context import IncompleteError

if TYPE_CHECKING:
    from anam_py.orchestrator.context import Context

__all__ = ["Files", "Source", "read_files", "until_cancelled"]

_Item = TypeVar("_Item")

_MAX_FILES = 10_000
# In all: what is made of them may take fifty times as much memory.
_MAX_BYTES = 16 * 1024 * 1024
_MAX_NAMED = 20


class Source(NamedTuple):
    """A file of a task.

    Attributes
    ----------
    path : str
        As the crawler writes it.
    analysis : Analysis
    """

    path: str
    analysis: Analysis

    @property
    def language(self) -> str:
        """Name of its language."""
        return str(self.analysis.metadata["language"])


class Files(NamedTuple):
    """The files of a task.

    Attributes
    ----------
    sources : list of Source
        Those that were read, in the order of the task.
    failures : list of str
        For each of the others, what is wrong with it.
    """

    sources: list[Source]
    failures: list[str]

    def complete(self, output: dict[str, Any]) -> dict[str, Any]:
        """Return a handler's output.

        Parameters
        ----------
        output : dict

        Returns
        -------
        dict
            The output.

        Raises
        ------
        IncompleteError
            If it is not that of all files. It names those that are missing, and has the output.
        """
        if not self.failures:
            return output
        named = "; ".join(self.failures[:_MAX_NAMED])
        more = len(self.failures) - _MAX_NAMED
        raise IncompleteError(
            f"{len(self.failures):,} of {len(self.failures) + len(self.sources):,} files could not be read: {named}"
            + (f"; and {more:,} more" if more > 0 else ""),
            output,
        )


def read_files(task: Mapping[str, Any], context: "Context") -> Files:
    """Read the files of a task.

    Parameters
    ----------
    task : mapping
        "files" are paths, relative to the working folder; one that is named twice is read once.
    context : Context

    Returns
    -------
    Files

    Raises
    ------
    ValidationError
        If "files" is no list of paths, or they are too many or too large in all.
    OrchestratorError
        If it was cancelled.
    """
    found = Files([], [])
    size = 0
    for path in until_cancelled(context, _paths(task)):
        try:
            key, analysis = analyse_file(path)
        except (CrawlerError, OSError) as error:
            found.failures.append(str(error))
            continue
        size += analysis.metadata["size_bytes"]
        if size > _MAX_BYTES:
            raise ValidationError(f'task["files"] must have at most {_MAX_BYTES:,} bytes in all; give them in several tasks')
        found.sources.append(Source(key, analysis))
    return found


def until_cancelled(context: "Context", items: Iterable[_Item]) -> Iterator[_Item]:
    """Give one item after the other until the handler is asked to stop.

    Parameters
    ----------
    context : Context
    items : iterable

    Yields
    ------
    object
        The items.

    Raises
    ------
    OrchestratorError
        When it is asked to.
    """
    for item in items:
        if context.cancelled.is_set():
            raise OrchestratorError(f"{context.capability} was stopped before it had done all of it")
        yield item


def _paths(task: Mapping[str, Any]) -> list[Path]:
    files = task.get("files")
    if not isinstance(files, (list, tuple)) or not files:
        raise ValidationError(f'task["files"] must be a list of paths, at least one, got {describe(files)}')
    if len(files) > _MAX_FILES:
        raise ValidationError(f'task["files"] must name at most {_MAX_FILES:,} files, got {len(files):,}; give several tasks')
    paths = [check_path(path, f'task["files"][{index}]') for index, path in enumerate(files)]
    return list({os.path.normpath(path): path for path in reversed(paths)}.values())[::-1]
