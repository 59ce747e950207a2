"""Entry point of a small word counter."""

import argparse
import sys
from pathlib import Path

from utils import most_common, words


def main(argv: list[str] | None = None) -> int:
    """Print the most common words of a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--top", type=int, default=10)
    options = parser.parse_args(argv)
    if not options.path.is_file():
        print(f"no such file: {options.path}", file=sys.stderr)
        return 2
    for word, count in most_common(words(options.path.read_text()), options.top):
        print(f"{count:6d} {word}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
