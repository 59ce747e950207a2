"""docs/reference/python.md says what the docstrings say."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts/reference.py"


def test_the_page_of_the_python_api_is_what_the_docstrings_make_of_it() -> None:
    spec = importlib.util.spec_from_file_location("reference", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    assert reference.PAGE.read_text("utf-8") == reference.page(), "run: python scripts/reference.py"
