"""What `device=` may be, and what is said where it cannot be had; needs no torch."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from anam_py.exceptions import ValidationError
from anam_py.store import HTMCore


@pytest.mark.parametrize(
    "device", ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:01", "cuda:x", " cuda", "cuda\n", "mps", "meta", 0, b"cpu"]
)
def test_a_device_that_is_none_is_refused_by_name_before_anything_is_made(store_path: Path, device: Any) -> None:
    with pytest.raises(
        ValidationError,
        match=re.escape(f"device must be 'cpu', 'cuda', 'cuda:N' (such as 'cuda:0') or None, got {type(device).__name__}"),
    ):
        HTMCore(store_path, device=device)
    assert not store_path.exists()


def test_without_a_device_nothing_is_kept_on_one(store_path: Path) -> None:
    with HTMCore(store_path, dimension=2, device=None) as htm:
        assert htm.get_memory_stats()["device_bytes"] == 0


PROGRAM = """
import sys
from pathlib import Path

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, NoTorch())
from anam_py import HTMCore
for device in ("cpu", "cuda", "cpu"):
    try:
        HTMCore(sys.argv[1], dimension=2, device=device)
    except ImportError as error:
        print(error)
assert not Path(sys.argv[1]).exists()
with HTMCore(sys.argv[1], dimension=2) as htm:
    htm.store_embedding("a", [1.0, 2.0], {})
    print(htm.search_many([[1.0, 2.0]])[0][0][0])
"""


def test_without_torch_a_device_is_an_import_error_that_says_what_to_install(store_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(store_path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(printed) == 4
    assert all("torch" in line and line.endswith('pip install "anam_py[torch]"') for line in printed[:3])
    assert printed[3] == "a"
