"""A small code base to make pictures of, with names that would do harm in a careless page."""

from pathlib import Path

from commands import write_files

from anam_py import CodeBaseCrawler, HTMCore

__all__ = ["FILES", "HOSTILE", "HOSTILE_DOC", "make_project", "store_of"]

HOSTILE = "</script><img src=x onerror=document.title='owned'>.py"
HOSTILE_DOC = "</script><script>document.title = 'owned'</script>&lt;b&gt; \u202edesrever"

PARSER = '''"""Reads settings of a {what}."""


def read_settings(text, strict):
    """Return the settings that a text holds, one a line, as name = value."""
    settings = {{}}
    for number, line in enumerate(text.splitlines()):
        if not line.strip() or line.startswith("{mark}"):
            continue
        name, separator, value = line.partition("=")
        if not separator and strict:
            raise ValueError(f"line {{number}} sets nothing")
        if name in settings and strict:
            raise ValueError(f"line {{number}} sets {{name}} again")
        while value.endswith(";"):
            value = value.removesuffix(";").strip()
        quoted = value.startswith("'") and value.endswith("'")
        settings[name.strip()] = value[1:-1] if quoted else value.strip()
    if strict and not settings:
        raise ValueError("there are no settings in the text")
    return settings
'''

# So that the two files are not drawn on top of each other.
SIZES = (
    "\n\nSIZES = {\n"
    + "".join(
        f'    "{name}": (\n        {width},\n        {height},\n    ),\n'
        for name, width, height in [("sheet", 210, 297), ("postcard", 105, 148), ("envelope", 110, 220)]
    )
    + "}\n"
)

FILES = {
    "settings/window.py": PARSER.format(what="window", mark="#"),
    "settings/printer.py": PARSER.format(what="printer", mark="comment:") + SIZES,
    "shapes/circle.py": '''"""Circles."""

import math


def area(radius):
    """Return the area of a circle."""
    return math.pi * radius**2
''',
    "shapes/square.py": '"""Squares."""\n\n\ndef side(area):\n    """Return the side of a square."""\n    return area**0.5\n',
    "shapes/long.py": '"""A long file of shapes."""\n\n' + "".join(f"SHAPE_{i} = {i}\n" for i in range(900)),
    "web/view.js": """// Draws the table of results.
function drawTable(rows) {
  return rows.map((row) => row.join(' ')).join('; ');
}
""",
    "web/page.css": "body { margin: 0; }\n",
    "tests/test_shapes.py": "from shapes.circle import area\n\n\ndef test_area():\n    assert area(0) == 0\n",
    "README.md": "# Shapes and settings\n\nDraws shapes by settings.\n",
    f"odd/{HOSTILE}": f'"""{HOSTILE_DOC}"""\n\n\ndef odd():\n    return 1\n',
}
# Not files, but known to the ledger.
SKIPPED = {"picture.bin": b"\0\1\2\0", "blank.txt": b"\n \n"}


def make_project(folder: Path) -> Path:
    """Write the code base into a folder, and its store beside it, as `anam index --store` does."""
    write_files(folder, FILES)
    for name, content in SKIPPED.items():
        (folder / name).write_bytes(content)
    with HTMCore(store_of(folder), durability="normal") as htm:
        CodeBaseCrawler(htm, symbols=True).index(folder)
    return folder


def store_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-store")
