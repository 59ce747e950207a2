"""What an except clause may rely on."""

import builtins
import pickle

import pytest

from anam_py import exceptions

ALL = [getattr(exceptions, name) for name in exceptions.__all__]


@pytest.mark.parametrize("error", ALL)
def test_one_except_clause_catches_every_error_of_the_package(error: type[Exception]) -> None:
    assert issubclass(error, exceptions.AnamError)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (exceptions.ValidationError, ValueError),
        (exceptions.AxiomError, LookupError),
        (exceptions.MemoryError, builtins.MemoryError),
    ],
)
def test_code_that_expects_the_builtin_error_catches_ours(error: type[Exception], builtin: type[Exception]) -> None:
    with pytest.raises(builtin, match="what was wrong"):
        raise error("what was wrong")


@pytest.mark.parametrize("error", ALL)
def test_errors_survive_the_way_back_from_another_process(error: type[Exception]) -> None:
    copy = pickle.loads(pickle.dumps(error("what was wrong")))
    assert type(copy) is error
    assert str(copy) == "what was wrong"


def test_the_tree_in_the_module_docstring_names_every_error() -> None:
    assert exceptions.__doc__ is not None
    assert [name for name in exceptions.__all__ if name not in exceptions.__doc__] == []
