"""What configure_ffi and the environment promise."""

import io
import logging
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anam_py import ValidationError, configure_ffi, get_ffi_config
from anam_py import config as config_module
from anam_py._cpu import available_cpus

REFERENCE = {
    "thread_pool_size": 8,
    "memory_limit_mb": 2048,
    "enable_logging": True,
    "log_level": "INFO",
    "cache_size_mb": 512,
}


def test_the_settings_of_the_reference_are_all_of_them_and_take_effect() -> None:
    configure_ffi(REFERENCE)
    assert get_ffi_config() == REFERENCE


def test_defaults_fit_the_machine() -> None:
    assert get_ffi_config() == {
        "thread_pool_size": available_cpus(),
        "memory_limit_mb": 2048,
        "enable_logging": False,
        "log_level": "INFO",
        "cache_size_mb": 128,
    }


def test_settings_not_mentioned_keep_their_value() -> None:
    configure_ffi({"cache_size_mb": 7})
    configure_ffi({"memory_limit_mb": 99})
    assert get_ffi_config()["cache_size_mb"] == 7
    assert get_ffi_config()["memory_limit_mb"] == 99


def test_configuring_with_what_is_in_force_changes_nothing() -> None:
    configure_ffi({"thread_pool_size": 3, "log_level": "DEBUG"})
    before = get_ffi_config()
    configure_ffi(get_ffi_config())
    assert get_ffi_config() == before


def test_changing_the_returned_dict_changes_no_setting() -> None:
    get_ffi_config()["cache_size_mb"] = -1
    assert get_ffi_config()["cache_size_mb"] == 128


def test_numpy_integers_and_lower_case_levels_are_welcome() -> None:
    configure_ffi({"thread_pool_size": np.int32(5), "log_level": "debug"})
    assert get_ffi_config()["thread_pool_size"] == 5
    assert type(get_ffi_config()["thread_pool_size"]) is int
    assert get_ffi_config()["log_level"] == "DEBUG"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("thread_pool_size", 0),
        ("thread_pool_size", 1025),
        ("thread_pool_size", True),
        ("thread_pool_size", 2.0),
        ("thread_pool_size", "2"),
        ("thread_pool_size", None),
        ("memory_limit_mb", 15),
        ("memory_limit_mb", 2**60),
        ("cache_size_mb", -1),
        ("enable_logging", 1),
        ("enable_logging", "yes"),
        ("log_level", "LOUD"),
        ("log_level", 20),
    ],
)
def test_a_wrong_value_is_named_together_with_what_is_valid(name: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        configure_ffi({name: value})
    message = str(caught.value)
    assert f"{name} must be" in message
    assert repr(value) in message
    assert all(valid in message for valid in REFERENCE)


def test_an_unknown_setting_is_refused_and_the_closest_one_suggested() -> None:
    with pytest.raises(ValidationError, match=r"'cache_size'.* Did you mean 'cache_size_mb'") as caught:
        configure_ffi({"cache_size": 512})
    assert all(valid in str(caught.value) for valid in REFERENCE)


def test_a_key_that_is_no_string_is_refused() -> None:
    with pytest.raises(ValidationError, match="does not know the setting 7"):
        configure_ffi({7: 1})  # type: ignore[dict-item]


def test_something_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs a mapping of settings, got list"):
        configure_ffi([("cache_size_mb", 1)])  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [{"log_level": "LOUD"}, {"no_such": 1}])
def test_one_wrong_value_leaves_every_setting_as_it_was(bad: dict[str, Any]) -> None:
    before = get_ffi_config()
    with pytest.raises(ValidationError):
        configure_ffi({"cache_size_mb": 1, "enable_logging": True, **bad})
    assert get_ffi_config() == before
    assert config_module._handler not in logging.getLogger("anam_py").handlers


def test_settings_changed_from_many_threads_all_take_effect() -> None:
    names = ["thread_pool_size", "memory_limit_mb", "cache_size_mb"]
    barrier = threading.Barrier(len(names))

    def change(name: str) -> None:
        barrier.wait()
        for value in range(16, 116):
            configure_ffi({name: value})

    threads = [threading.Thread(target=change, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [get_ffi_config()[name] for name in names] == [115, 115, 115]


def test_the_environment_sets_the_start_values(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"THREAD_POOL_SIZE": "3", "MEMORY_LIMIT_MB": "64", "ENABLE_LOGGING": "Yes", "LOG_LEVEL": "warning"}
    for name, text in values.items():
        monkeypatch.setenv(f"ANAM_{name}", text)
    monkeypatch.setenv("ANAM_CACHE_SIZE_MB", "")
    config_module.reset_defaults()
    assert get_ffi_config() == {
        "thread_pool_size": 3,
        "memory_limit_mb": 64,
        "enable_logging": True,
        "log_level": "WARNING",
        "cache_size_mb": 128,
    }


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("ANAM_THREAD_POOL_SIZE", "many"),
        ("ANAM_THREAD_POOL_SIZE", "0"),
        ("ANAM_MEMORY_LIMIT_MB", "1.5"),
        ("ANAM_ENABLE_LOGGING", "perhaps"),
        ("ANAM_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, text: str) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ValidationError, match=f"environment variable {variable} must be .*, got '{text}'"):
        config_module.reset_defaults()


def test_the_library_is_silent_until_logging_is_enabled(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("anam_py.test")
    logger.propagate, propagate = True, logger.propagate
    logger.critical("before")
    configure_ffi({"enable_logging": True, "log_level": "INFO"})
    logger.debug("too fine")
    logger.info("while on")
    configure_ffi({"enable_logging": False})
    logger.critical("after")
    logger.propagate = propagate
    written = capsys.readouterr().err
    assert "while on" in written
    assert "INFO anam_py.test" in written
    assert not any(word in written for word in ("before", "too fine", "after"))


def test_enabling_logging_twice_writes_each_record_once(monkeypatch: pytest.MonkeyPatch) -> None:
    configure_ffi({"enable_logging": True})
    configure_ffi({"enable_logging": True, "log_level": "WARNING"})
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logging.getLogger("anam_py.test").warning("once")
    assert stream.getvalue().count("once") == 1


def test_switching_logging_off_restores_the_logger() -> None:
    logger = logging.getLogger("anam_py")
    before = (logger.level, list(logger.handlers))
    configure_ffi({"enable_logging": True})
    configure_ffi({"enable_logging": False})
    assert (logger.level, logger.handlers) == before


def test_the_applications_own_log_level_is_left_alone() -> None:
    logger = logging.getLogger("anam_py")
    logger.setLevel(logging.ERROR)
    try:
        configure_ffi({"cache_size_mb": 1})
        assert logger.level == logging.ERROR
    finally:
        logger.setLevel(logging.NOTSET)


@pytest.fixture(name="root")
def fake_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that stands for / on a machine with 16 CPUs."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(16)), raising=False)
    (tmp_path / "proc/self").mkdir(parents=True)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_a_quota_every_cpu_of_the_affinity_mask_counts(root: Path) -> None:
    assert available_cpus(root) == 16


def test_a_containers_quota_bounds_the_default_number_of_threads(root: Path) -> None:
    write(root / "proc/self/cgroup", "0::/\n")
    write(root / "sys/fs/cgroup/cpu.max", "250000 100000\n")
    assert available_cpus(root) == 3


def test_a_quota_of_an_outer_control_group_counts_too(root: Path) -> None:
    write(root / "proc/self/cgroup", "0::/outer.slice/inner.scope\n")
    write(root / "sys/fs/cgroup/outer.slice/cpu.max", "200000 100000\n")
    write(root / "sys/fs/cgroup/outer.slice/inner.scope/cpu.max", "max 100000\n")
    assert available_cpus(root) == 2


def test_quotas_of_control_groups_version_1_are_read(root: Path) -> None:
    write(root / "proc/self/cgroup", "4:memory:/box\n3:cpu,cpuacct:/box\n")
    write(root / "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "50000\n")
    write(root / "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000\n")
    assert available_cpus(root) == 1


def test_a_quota_of_minus_one_means_none(root: Path) -> None:
    write(root / "proc/self/cgroup", "3:cpu,cpuacct:/\n")
    write(root / "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
    write(root / "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    assert available_cpus(root) == 16
