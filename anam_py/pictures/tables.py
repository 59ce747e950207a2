"""The report as a page: its tables, bars and the words between them."""

from collections.abc import Sequence
from typing import Any, Final

from anam_py.pictures.groups import COLOURS
from anam_py.pictures.page import escaped, page, part, shown_moment

__all__ = ["report_page"]

_MEMBERS_SHOWN: Final = 8


class _Html(str):
    """A text that is HTML already."""

    __slots__ = ()


class _Figure(str):
    """A number with its unit, or what stands in place of one."""

    __slots__ = ()


def report_page(content: dict[str, Any]) -> str:
    """Make a page of a report.

    Parameters
    ----------
    content : dict
        As `report_content` returns it.

    Returns
    -------
    str
        HTML, without a script.
    """
    sections = {
        "languages": ("Languages", _languages(content["languages"])),
        "sizes": ("Sizes", _sizes(content["sizes"])),
        "complexity": ("Complexity", _complexity(content["complexity"], content["functions"])),
        "hot-spots": ("Hot spots", _hot_spots(content["hot_spots"])),
        "duplicates": ("Near-duplicates", _duplicates(content["duplicates"])),
        "central": ("Central files", _central(content["central"])),
        "skipped": ("Skipped files", _skipped(content["skipped"])),
    }
    links = "".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, (title, _) in sections.items())
    told = "".join(
        f'<section id="{anchor}" aria-labelledby="{anchor}-title"><h2 id="{anchor}-title">{title}</h2>{text}</section>'
        for anchor, (title, text) in sections.items()
    )
    body = part(
        "report.html",
        name=escaped(content["name"]),
        root=escaped(content["root"]),
        indexed=shown_moment(content["indexed"]),
        embedder=escaped(content["embedder"] or "none"),
        tiles=_tiles(content),
        links=links,
        sections=told,
    )
    return page("report", f"{content['name']}: report", body, styles=part("base.css") + part("report.css"))


def _tiles(content: dict[str, Any]) -> str:
    duplicates = content["duplicates"]
    tiles = (
        (content["files"], "file", "sizes"),
        (content["lines"], "line", "languages"),
        (len(content["languages"]), "language", "languages"),
        (content["functions"], "function", "complexity"),
        (duplicates["functions"]["found"] + duplicates["files"]["found"], "group", "duplicates"),
        (sum(content["skipped"]["reasons"].values()), "skipped", "skipped"),
    )
    said = {"group": ("group of near-duplicates", "groups of near-duplicates"), "skipped": ("file skipped", "files skipped")}
    return "".join(
        f'<li><a href="#{anchor}"><b>{count:,}</b> {said.get(what, (what, what + "s"))[count != 1]}</a></li>'
        for count, what, anchor in tiles
    )


def _languages(languages: Sequence[dict[str, Any]]) -> str:
    if not languages:
        return _nothing("There are no files in the index.")
    colour = {each["language"]: min(place, COLOURS) for place, each in enumerate(languages)}
    strips, start = [], 0.0
    for each in languages:
        width = 100 * each["share"]
        strips.append(f'<rect class="f{colour[each["language"]]}" x="{start:.2f}" width="{width:.2f}" height="10"/>')
        start += width
    strip = f'<svg class="strip" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{"".join(strips)}</svg>'
    rows = [
        (
            _Html(f'<span class="dot b{colour[each["language"]]}"></span>{escaped(each["language"])}'),
            each["files"],
            each["lines"],
            _share(each["share"]),
            _bar(each["lines"], languages[0]["lines"]),
        )
        for each in languages
    ]
    return strip + _table(("language", "files", "lines", "share of lines", ""), rows)


def _sizes(sizes: dict[str, Any]) -> str:
    if not any(band["files"] for band in sizes["bands"]):
        return _nothing("There are no files in the index.")
    largest = sizes["largest"]
    rows = [
        (_path(each["path"]), each["language"], each["lines"], _bytes(each["bytes"]), _bar(each["lines"], largest[0]["lines"]))
        for each in largest
    ]
    return (
        _bands(sizes["bands"], "lines", "files")
        + "<h3>Largest files</h3>"
        + _table(("file", "language", "lines", "size", ""), rows)
    )


def _complexity(complexity: dict[str, Any], functions: int) -> str:
    note = _note(
        "Cyclomatic complexity: one more than the number of places where a function branches. Of sources; tests and generated "
        "files are left out, here and in all that follows."
    )
    most = complexity["functions"]
    if not most:
        return note + _nothing(
            "There are functions in the files, but none of a source in the index: index them with anam index --symbols."
            if functions
            else "There are no functions in the index."
        )
    rows = [
        (_location(each), _name(each["name"]), each["lines"], each["complexity"], _bar(each["complexity"], most[0]["complexity"]))
        for each in most
    ]
    return (
        note
        + _bands(complexity["bands"], "complexity", "functions")
        + "<h3>Most complex functions</h3>"
        + _table(("place", "function", "lines", "complexity", ""), rows)
    )


def _hot_spots(spots: dict[str, Any]) -> str:
    by_changes = spots["by"] == "changes"
    note = _note(
        "Complex files that keep changing: the complexity of all functions of a file, times its changes that the index recorded."
        if by_changes
        else "Complex files that are large: the complexity of all functions of a file, times its lines of code. Once changes of "
        "sources are recorded in the index, they count instead of size."
    )
    most = spots["files"]
    if not most:
        return note + _nothing("There are none: no source has functions.")
    column = "changes" if by_changes else "code_lines"
    rows = [
        (_path(each["path"]), each["complexity"], each[column], each["score"], _bar(each["score"], most[0]["score"]))
        for each in most
    ]
    return note + _table(("file", "complexity", "changes" if by_changes else "lines of code", "product", ""), rows)


def _duplicates(duplicates: dict[str, Any]) -> str:
    functions, files = duplicates["functions"], duplicates["files"]
    least = duplicates["threshold"]
    text = _note(
        f"Functions and files of the same text, or whose vectors have a cosine of at least {least}: as a rule copies "
        "that were changed a little. Each is like another one of its group, not necessarily like all. Most repeated lines first."
    )
    for what, found in (("functions", functions), ("files", files)):
        of_size = f"at least {found['least_lines']} lines"
        if what == "functions" and found["least"] > 1:
            of_size += f" and a complexity of at least {found['least']}"
        if what == "files" and found["least"] > found["least_lines"]:
            of_size = f"at least {found['least']} lines of code"
        text += f"<h3>Alike {what}</h3>" + _note(f"Compared were {what} of {of_size}.")
        text += _groups(found) if found["groups"] else _nothing(f"No {what} are near-duplicates.")
    return text


def _groups(found: dict[str, Any]) -> str:
    most = max(group["lines"] for group in found["groups"])
    rows = []
    for group in found["groups"]:
        members = [_member(member) for member in group["members"]]
        shown = "".join(members[:_MEMBERS_SHOWN])
        if len(members) > _MEMBERS_SHOWN:
            rest = "".join(members[_MEMBERS_SHOWN:])
            shown += f"<li><details><summary>{len(members) - _MEMBERS_SHOWN} more</summary><ul>{rest}</ul></details></li>"
        alike = "identical" if group["identical"] else f"{group['cosine']:.3f}"
        rows.append(
            (
                _Html(f"<ul>{shown}</ul>"),
                _Figure(alike),
                group["lines"],
                _bar(group["lines"], most),
            )
        )
    more = found["found"] - len(rows)
    return _table(("group", "least cosine", "lines repeated", ""), rows) + (_note(f"And {more:,} more groups.") if more else "")


def _member(member: dict[str, Any]) -> str:
    if member["name"] is None:
        return f"<li>{_path(member['path'])}</li>"
    return f"<li>{_location(member)} {_name(member['name'])}</li>"


def _central(files: Sequence[dict[str, Any]]) -> str:
    note = _note(
        "The sources that resonate most with the mean of all files, whose vectors are nearest to its direction: what is most "
        "like the code base as a whole. It says what a file is like, not what depends on it."
    )
    if not files:
        return note + _nothing("There are no sources in the index.")
    rows = [
        (
            _path(each["path"]),
            _Html(f'<span class="doc">{escaped(each["doc"])}</span>'),
            _Figure(f"{each['resonance']:.3f}"),
            _bar(each["resonance"], 1.0),
        )
        for each in files
    ]
    return note + _table(("file", "what it says of itself", "resonance", ""), rows)


def _skipped(skipped: dict[str, Any]) -> str:
    empty = skipped["empty"]
    note = _note(f"{empty:,} file{'' if empty == 1 else 's'} without a word: known, and not in the pictures.") if empty else ""
    reasons, files = skipped["reasons"], skipped["files"]
    if not reasons:
        return note + _nothing("No file was skipped.")
    most = max(reasons.values())
    text = note + _table(("reason", "files", ""), [(reason, count, _bar(count, most)) for reason, count in reasons.items()])
    rows = [(_path(each["path"]), each["reason"] + (f": {each['detail']}" if each["detail"] else "")) for each in files]
    more = sum(reasons.values()) - len(files)
    rest = _note(f"And {more:,} more; anam index --verbose lists all.") if more else ""
    return text + f"<details><summary>Which ones</summary>{_table(('file', 'reason'), rows)}{rest}</details>"


def _bands(bands: Sequence[dict[str, Any]], of: str, what: str) -> str:
    most = max(band[what] for band in bands) or 1
    rows = [
        (
            f"{band['least']:,} and more" if band["most"] is None else f"{band['least']:,} to {band['most']:,}",
            band[what],
            _bar(band[what], most),
        )
        for band in bands
    ]
    return _table((of, what, ""), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table; numbers stand to the right, and so do the heads above them."""
    heads = "".join(
        f"<th scope=col{_side(cell)}>{escaped(title) or '<span class=hidden>bar</span>'}</th>"
        for title, cell in zip(head, rows[0], strict=True)
    )
    lines = "".join(f"<tr>{''.join(f'<td{_side(cell)}>{_shown(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'


def _side(cell: object) -> str:
    return " class=right" if isinstance(cell, int | _Figure) else ""


def _shown(cell: object) -> str:
    if isinstance(cell, _Html):
        return cell
    return f"{cell:,}" if isinstance(cell, int) else escaped(str(cell))


def _bar(value: float, most: float) -> _Html:
    width = max(100 * value / most, 0.5) if value else 0
    return _Html(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{width:.1f}" height="10"/></svg>'
    )


def _path(path: str, line: int | None = None) -> _Html:
    folder, slash, name = path.rpartition("/")
    place = "" if line is None else f":{line}"
    return _Html(f'<span class="path"><span class="quiet">{escaped(folder + slash)}</span>{escaped(name)}{place}</span>')


def _location(member: dict[str, Any]) -> _Html:
    return _path(member["path"], member["line"])


def _name(name: str) -> _Html:
    return _Html(f'<code class="name">{escaped(name)}</code>')


def _share(share: float) -> _Figure:
    return _Figure(f"{100 * share:.1f} %" if share >= 0.001 else "< 0.1 %")


def _bytes(size: float) -> _Figure:
    for unit in ("B", "KiB"):
        if size < 1024:
            return _Figure(f"{size:,.0f} {unit}")
        size /= 1024
    return _Figure(f"{size:,.1f} MiB")


def _note(text: str) -> str:
    return f'<p class="note">{escaped(text)}</p>'


def _nothing(text: str) -> str:
    return f'<p class="nothing">{escaped(text)}</p>'
