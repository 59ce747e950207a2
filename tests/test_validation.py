"""What a public argument may be. `row_NN` in a name is the row of the fault table (docs/storage.md) that it pins."""

import datetime as dt
import enum
import json
import math
import pathlib
from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from anam_py._validation import (
    MAX_KEY_BYTES,
    as_matrix,
    as_vector,
    check_count,
    check_diff_ops,
    check_key,
    check_keys,
    check_limit,
    check_path,
    check_similarity,
    check_text,
    encode_metadata,
)
from anam_py.exceptions import ValidationError

REAL_DTYPES = ["<f2", "<f4", "<f8", ">f4", ">f8", "i1", "<i8", ">i4", "u1", "<u8", "g"]


# Vectors and matrices.


@given(npst.arrays(npst.floating_dtypes(sizes=(32, 64)) | npst.integer_dtypes(), 5))
def test_a_vector_is_converted_as_numpy_would_or_refused(values: npt.NDArray[Any]) -> None:
    with np.errstate(all="ignore"):
        expected = values.astype(np.float32)
    if np.isfinite(expected).all() and expected.any():
        vector = as_vector(values, 5)
        assert vector.dtype == np.float32
        assert vector.dtype.isnative
        assert vector.flags.c_contiguous
        np.testing.assert_array_equal(vector, expected)
    else:
        with pytest.raises(ValidationError, match="embedding"):
            as_vector(values, 5)


@given(npst.arrays(np.float64, (4, 3)), st.sampled_from(["<f4", "<f8"]))
def test_a_matrix_is_accepted_exactly_when_each_of_its_rows_is(values: npt.NDArray[Any], dtype: str) -> None:
    with np.errstate(all="ignore"):
        values = values.astype(dtype)
    try:
        expected = [as_vector(row, 3) for row in values]
    except ValidationError:
        with pytest.raises(ValidationError, match=r"matrix\[\d\]"):
            as_matrix(values, 3)
    else:
        np.testing.assert_array_equal(as_matrix(values, 3), expected)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_row_22_nan_and_infinity_are_refused_with_their_position(bad: float) -> None:
    with pytest.raises(ValidationError, match=rf"query\[2\] is not finite: {bad}"):
        as_vector([1.0, 2.0, bad, bad], 4, "query")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_row_22_nan_and_infinity_in_a_matrix_are_refused_with_row_and_column(bad: float, rng: np.random.Generator) -> None:
    matrix = rng.standard_normal((9000, 4), dtype=np.float32)
    matrix[8500, 3] = bad
    with pytest.raises(ValidationError, match=rf"matrix\[8500\]\[3\] is not finite: {bad}"):
        as_matrix(matrix, 4)


@pytest.mark.parametrize("zero", [[0.0, 0.0], [0, 0], [-0.0, 0.0]])
def test_row_23_a_zero_vector_is_refused_because_it_has_no_direction(zero: list[float]) -> None:
    with pytest.raises(ValidationError, match="zero vector: it has no direction"):
        as_vector(zero, 2)


def test_row_23_a_zero_row_is_refused_with_its_index() -> None:
    with pytest.raises(ValidationError, match=r"matrix\[1\] must not be the zero vector"):
        as_matrix([[1, 2], [0, 0]], 2)


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (np.ones(3), r"shape \(3,\)"),
        (np.float64(1), r"shape \(\)"),
        (np.ones((1, 4)), r"shape \(1, 4\)"),
        ([], r"shape \(0,\)"),
    ],
)
def test_row_24_a_wrong_shape_is_refused_naming_expected_and_got(value: object, got: str) -> None:
    with pytest.raises(ValidationError, match=f"embedding must be a vector of 4 numbers, got .*{got}"):
        as_vector(value, 4)


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (np.array([1, 2], object), "object"),
        ([1.0, None], "object"),
        ([1.0, "2"], "<U"),
        ("ab", "<U2"),
        (b"ab", r"\|S2"),
        (np.ones(2, complex), "complex128"),
        (np.ones(2, bool), "bool"),
        (np.array(["2020", "2021"], "M8[s]"), "datetime64"),
        (np.zeros(2, [("x", "f4")]), "x"),
        (None, "object"),
        ({1.0, 2.0}, "object"),
        (iter([1.0, 2.0]), "object"),
    ],
)
def test_row_24_what_holds_no_real_numbers_is_refused_naming_its_dtype(value: object, got: str) -> None:
    with pytest.raises(ValidationError, match=f"embedding must hold real numbers, got .*{got}"):
        as_vector(value, 2)


def test_row_24_a_ragged_list_is_refused() -> None:
    with pytest.raises(ValidationError, match="embedding must be an array of real numbers, got list"):
        as_vector([[1.0], [2.0, 3.0]], 2)


@pytest.mark.parametrize("value", [1e300, -1e300, 2.0**128])
def test_row_25_a_value_beyond_float32_is_refused(value: float) -> None:
    with pytest.raises(ValidationError, match=r"embedding\[1\] is beyond float32"):
        as_vector([1.0, value], 2)


def test_row_25_denormals_are_kept_bit_for_bit() -> None:
    smallest = np.array([2.0**-149, -(2.0**-149), 2.0**-130], np.float32)
    assert as_vector(smallest, 3).tobytes() == smallest.tobytes()
    assert as_vector(smallest.astype(np.float64), 3).tobytes() == smallest.tobytes()
    assert as_matrix(smallest[None], 3).tobytes() == smallest.tobytes()


def test_row_25_the_largest_values_are_kept_although_their_squares_overflow() -> None:
    largest = np.full(4, np.finfo(np.float32).max)
    np.testing.assert_array_equal(as_vector(largest, 4), largest)
    np.testing.assert_array_equal(as_matrix(largest[None], 4), largest[None])


def test_row_25_a_vector_that_is_zero_only_in_float32_is_refused_as_such() -> None:
    with pytest.raises(ValidationError, match="zero vector in float32"):
        as_vector([1e-60, 0.0], 2)


@pytest.mark.parametrize("dtype", REAL_DTYPES)
@pytest.mark.parametrize("layout", ["contiguous", "strided", "reversed", "read-only", "fortran", "unaligned"])
def test_row_26_every_layout_gives_the_same_as_a_contiguous_copy(dtype: str, layout: str, rng: np.random.Generator) -> None:
    wide = rng.integers(1, 100, (6, 8)).astype(dtype)
    value = {
        "contiguous": wide[1],
        "strided": wide[1, ::2],
        "reversed": wide[1, ::-1],
        "read-only": wide[1],
        "fortran": np.asfortranarray(wide)[1],
        "unaligned": np.frombuffer(b"x" + wide[1].tobytes(), dtype, offset=1),
    }[layout]
    value.flags.writeable = False
    vector = as_vector(value, value.size)
    np.testing.assert_array_equal(vector, np.array(value.tolist(), np.float32))
    matrix = as_matrix(value[None], value.size)
    np.testing.assert_array_equal(matrix[0], vector)
    assert matrix.flags.c_contiguous
    assert matrix.flags.aligned


def test_row_26_a_memory_mapped_vector_is_accepted(tmp_path: pathlib.Path) -> None:
    mapped = np.memmap(tmp_path / "vector", np.float32, "w+", shape=4)
    mapped[:] = [1, 2, 3, 4]
    vector = as_vector(mapped, 4)
    assert type(vector) is np.ndarray
    np.testing.assert_array_equal(vector, [1, 2, 3, 4])


def test_row_26_changing_the_argument_later_changes_nothing() -> None:
    given_vector = np.ones(3, np.float32)
    vector = as_vector(given_vector, 3)
    given_vector[:] = 7
    np.testing.assert_array_equal(vector, [1, 1, 1])


def test_a_good_matrix_is_not_copied() -> None:
    matrix = np.ones((3, 2), np.float32)
    assert np.shares_memory(as_matrix(matrix, 2), matrix)


@pytest.mark.parametrize("empty", [[], np.empty((0, 4))])
def test_a_matrix_may_have_no_rows(empty: object) -> None:
    assert as_matrix(empty, 4).shape == (0, 4)


@pytest.mark.parametrize("value", [np.ones(4), np.ones((2, 3)), np.ones((2, 4, 1)), np.ones((3, 4))])
def test_a_matrix_of_wrong_shape_is_refused_naming_expected_and_got(value: npt.NDArray[Any]) -> None:
    with pytest.raises(ValidationError, match="matrix must be a matrix of 2 x 4 numbers, got an array of shape"):
        as_matrix(value, 4, rows=2)


class ArrayLike:
    """Gives a NumPy array when asked, as other libraries' arrays do."""

    def __array__(self, dtype: object = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array([1.0, 2.0])


class DLPackOnly:
    """An array of another library that only speaks DLPack."""

    def __init__(self) -> None:
        self._array = np.array([1.0, 2.0])

    def __dlpack__(self, **_options: object) -> object:
        return self._array.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


@pytest.mark.parametrize("value", [[1, 2], (1.0, 2.0), memoryview(np.array([1.0, 2.0])), ArrayLike(), DLPackOnly()])
def test_lists_buffers_and_arrays_of_other_libraries_are_vectors_too(value: object) -> None:
    np.testing.assert_array_equal(as_vector(value, 2), np.array([1, 2], np.float32))


def test_an_array_library_that_fails_to_convert_is_a_validation_error() -> None:
    class Broken:
        def __array__(self, dtype: object = None, copy: bool | None = None) -> npt.NDArray[Any]:
            raise RuntimeError("lost in the device")

    with pytest.raises(ValidationError, match="lost in the device"):
        as_vector(Broken(), 2)


def test_masked_values_are_refused_rather_than_taken_for_numbers() -> None:
    np.testing.assert_array_equal(as_vector(np.ma.array([1.0, 2.0]), 2), [1, 2])
    with pytest.raises(ValidationError, match="masked"):
        as_vector(np.ma.array([1.0, 2.0], mask=[False, True]), 2)


def test_tensors_of_any_kind_are_vectors_too() -> None:
    torch = pytest.importorskip("torch")
    for tensor in (
        torch.tensor([1.0, 2.0]),
        torch.tensor([1.0, 2.0], requires_grad=True),
        torch.tensor([1.0, 2.0], dtype=torch.bfloat16),
        torch.tensor([1, 2]),
        torch.tensor([[1.0, 9.0], [2.0, 9.0]])[:, 0],
    ):
        np.testing.assert_array_equal(as_vector(tensor, 2), [1, 2])
    with pytest.raises(ValidationError, match="real numbers"):
        as_vector(torch.tensor([1j, 2j]), 2)


# Keys.


@given(st.text())
def test_a_key_is_any_text_without_nul_up_to_1024_bytes(key: str) -> None:
    encoded = key.encode("utf-8")
    if key and "\0" not in key and len(encoded) <= MAX_KEY_BYTES:
        assert check_key(key) == key
    else:
        with pytest.raises(ValidationError, match="key"):
            check_key(key)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("", "key must not be empty"),
        ("a\0b", "key must not contain NUL"),
        ("a\ud800", "key must not contain lone surrogates, got '.ud800' at position 1"),
        ("a" * 1025, "key must be at most 1,024 bytes in UTF-8, got 1,025"),
        ("é" * 513, "key must be at most 1,024 bytes in UTF-8, got 1,026"),
        (b"bytes", "key must be a str, got bytes"),
        (None, "key must be a str, got None"),
        (7, "key must be a str, got int 7"),
        (pathlib.PurePosixPath("a"), "key must be a str, got PurePosixPath"),
    ],
)
def test_row_27_what_is_no_key_is_refused(key: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        check_key(key)


@pytest.mark.parametrize("key", ["a" * 1024, "é" * 512, "\U0001f600" * 256])
def test_row_27_a_key_of_exactly_1024_bytes_is_accepted(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "CON", "a\nb", "\U0001f600", "a b", " ", "%", "?#"])
def test_row_28_odd_keys_are_kept_verbatim(key: str) -> None:
    assert check_key(key) == key


def test_row_29_composed_and_decomposed_letters_are_different_keys() -> None:
    assert check_key("caf\u00e9") != check_key("cafe\u0301")


def test_a_key_of_a_str_subclass_becomes_a_plain_str() -> None:
    class Key(enum.StrEnum):
        MODEL = "src/model.py"

    assert type(check_key(Key.MODEL)) is str
    assert check_key(Key.MODEL) == "src/model.py"
    assert type(check_key(np.str_("a"))) is str


def test_a_wrong_key_among_many_is_named_by_its_index() -> None:
    assert check_keys(key for key in "ab") == ["a", "b"]
    with pytest.raises(ValidationError, match=r"keys\[1\] must not be empty"):
        check_keys(["a", ""])


@pytest.mark.parametrize("keys", ["abc", 7, None])
def test_a_single_str_is_not_taken_for_a_list_of_keys(keys: object) -> None:
    with pytest.raises(ValidationError, match="keys must be a list of str, got"):
        check_keys(keys)


# Metadata.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(st.dictionaries(st.text(), json_values))
def test_metadata_comes_back_equal(metadata: dict[str, Any]) -> None:
    text = encode_metadata(metadata)
    assert json.loads(text) == metadata
    assert repr(json.loads(text)) == repr(metadata)  # -0.0, True and 1, 1 and 1.0 are told apart
    text.encode("utf-8")


@given(st.dictionaries(st.text(), json_values), npst.arrays(np.float64, npst.array_shapes(max_side=3)))
def test_metadata_with_numpy_values_comes_back_as_plain_python(metadata: dict[str, Any], array: npt.NDArray[Any]) -> None:
    assume(np.isfinite(array).all())
    expected = {**metadata, "array": array.tolist(), "inner": [array.flat[0].item(), metadata]}
    metadata = {**metadata, "array": array, "inner": [array.flat[0], metadata]}
    assert json.loads(encode_metadata(metadata)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float32(0.5), 0.5),
        (np.longdouble(0.25), 0.25),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array(3), 3),
        (np.array([[1, 2], [3, 4]], np.int8), [[1, 2], [3, 4]]),
        (np.array(["a"], object), ["a"]),
        (np.datetime64("2026-01-02T03:04:05.678901234"), "2026-01-02T03:04:05.678901234"),
        (np.array(["2026-01-02"], "M8[ns]"), ["2026-01-02T00:00:00.000000000"]),
        (pathlib.PurePosixPath("src/model.py"), "src/model.py"),
        (dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC), "2026-01-02T03:04:00+00:00"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.time(3, 4), "03:04:00"),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (enum.IntEnum("Level", "LOW").LOW, 1),  # type: ignore[attr-defined]
    ],
)
def test_row_30_numpy_values_paths_and_dates_are_converted(value: object, expected: object) -> None:
    assert json.loads(encode_metadata({"deep": [{"value": value}]})) == {"deep": [{"value": expected}]}


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        np.float32("nan"),
        np.longdouble("inf"),
        b"bytes",
        bytearray(b"bytes"),
        {1, 2},
        frozenset(),
        1j,
        np.complex64(1),
        np.datetime64("NaT"),
        dt.timedelta(1),
        object(),
        range(3),
        len,
    ],
)
def test_row_30_what_json_cannot_hold_is_refused_with_its_path(value: object) -> None:
    with pytest.raises(ValidationError, match=r'^metadata\["a"\]\[3\]\["b"\]: '):
        encode_metadata({"a": [0, 1, 2, {"b": value}]})


def test_row_30_nan_inside_an_array_is_refused_with_its_index() -> None:
    with pytest.raises(ValidationError, match=r'^metadata\["a"\]\[1\]\[0\]: nan'):
        encode_metadata({"a": np.array([[1.0, 2.0], [math.nan, 4.0]])})


def test_row_30_a_self_reference_is_refused_with_its_path() -> None:
    metadata: dict[str, Any] = {"a": []}
    metadata["a"].append(metadata)
    with pytest.raises(ValidationError, match=r'^metadata\["a"\]\[0\]: it contains itself'):
        encode_metadata(metadata)


def test_row_30_a_value_that_stands_twice_is_no_self_reference() -> None:
    shared = {"x": (path := pathlib.PurePosixPath("p"))}
    assert json.loads(encode_metadata({"a": shared, "b": [shared, path]})) == {"a": {"x": "p"}, "b": [{"x": "p"}, "p"]}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({1: "a"}, r"^metadata: its key 1 is a int"),
        ({1: "a", "1": "b"}, r"^metadata: its key 1 is a int"),
        ({"a": {True: 1}}, r'^metadata\["a"\]: its key True is a bool'),
        ({None: 1}, r"^metadata: its key None is a NoneType"),
        ({"a": (1, 2)}, r'^metadata\["a"\]: a tuple cannot be stored as JSON; use a list'),
    ],
)
def test_row_31_what_json_would_silently_change_is_refused(metadata: dict[Any, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        encode_metadata(metadata)


def nested(levels: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for _ in range(levels - 1):
        metadata = {"a": metadata}
    return metadata


@pytest.mark.parametrize("extra", [{}, {"path": pathlib.PurePosixPath("p")}])
def test_row_32_64_levels_are_stored_and_65_are_refused(extra: dict[str, Any]) -> None:
    assert json.loads(encode_metadata({**nested(64), "b": 1, **{k: str(v) for k, v in extra.items()}}))
    assert encode_metadata({**nested(64), **extra})
    with pytest.raises(ValidationError, match="metadata must not nest deeper than 64 levels"):
        encode_metadata({**nested(65), **extra})
    with pytest.raises(ValidationError, match="metadata must not nest deeper than 64 levels"):
        encode_metadata({**nested(100_000), **extra})


def test_row_32_integers_up_to_4300_digits_are_stored() -> None:
    largest = 10**4300 - 1
    assert json.loads(encode_metadata({"a": -largest, "b": largest})) == {"a": -largest, "b": largest}
    for too_large in (largest + 1, -largest - 1):
        with pytest.raises(ValidationError, match=r'^metadata\["a"\]: an integer must not have more than 4,300 digits'):
            encode_metadata({"a": too_large})


@pytest.mark.parametrize("letter", ["a", "é"])
def test_row_32_a_mebibyte_of_json_is_stored_and_a_byte_more_refused(letter: str) -> None:
    room = 2**20 - len('{"a":""}')
    text = letter * (room // len(letter.encode())) + "x" * (room % len(letter.encode()))
    assert len(encode_metadata({"a": text}).encode()) == 2**20
    with pytest.raises(ValidationError, match="metadata must be at most 1,048,576 bytes as JSON, got 1,048,577"):
        encode_metadata({"a": text + "x"})


@pytest.mark.timeout(20)
def test_row_32_a_small_structure_that_would_be_huge_json_is_refused_at_once() -> None:
    doubled: list[Any] = []
    for _ in range(60):
        doubled = [doubled, doubled]
    for metadata in ({"a": doubled}, {"a": [[0] * 2**19] * 2**19}, {"a": np.zeros(2**24)}):
        with pytest.raises(ValidationError):
            encode_metadata(metadata)


def test_row_33_nul_in_a_string_is_kept() -> None:
    assert json.loads(encode_metadata({"a\0": "b\0c"})) == {"a\0": "b\0c"}


@pytest.mark.parametrize("metadata", [{"a": ["\ud800"]}, {"a": [{"\udfff": 1}]}])
def test_row_33_a_lone_surrogate_is_refused_with_its_path(metadata: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r'^metadata\["a"\]\[0\]: the text .* has a lone surrogate'):
        encode_metadata(metadata)


@pytest.mark.parametrize("value", [None, [], "{}", [("a", 1)], 7])
def test_metadata_that_is_no_dict_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="metadata must be a dict, got"):
        encode_metadata(value)


# Diff ops.


@given(
    st.lists(
        st.fixed_dictionaries(
            {"op": st.sampled_from(["insert", "delete", "replace"]), "pos": st.integers(0, 2**63 - 1)},
            optional={"count": st.integers(0, 2**63 - 1), "lines": st.lists(st.text())},
        ),
        min_size=1,
    )
)
def test_diff_ops_come_back_equal(diff_ops: list[dict[str, Any]]) -> None:
    text = check_diff_ops(diff_ops)
    assert text is not None
    assert json.loads(text) == diff_ops


@pytest.mark.parametrize("nothing", [None, [], ()])
def test_no_diff_ops_are_none(nothing: object) -> None:
    assert check_diff_ops(nothing) is None


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("insert", r"diff_ops\[1\] must be a dict, got str"),
        ({"pos": 1}, r"diff_ops\[1\] must have the key 'op'"),
        ({"op": "insert"}, r"diff_ops\[1\] must have the key 'pos'"),
        ({"op": "move", "pos": 1}, r'diff_ops\[1\]\["op"\] must be one of insert, delete, replace, got .move'),
        ({"op": [], "pos": 1}, r'diff_ops\[1\]\["op"\] must be one of'),
        ({"op": "delete", "pos": -1}, r'diff_ops\[1\]\["pos"\] must be an integer of at least 0, got -1'),
        ({"op": "delete", "pos": True}, r'diff_ops\[1\]\["pos"\] must be an integer'),
        ({"op": "delete", "pos": 1, "count": 1.5}, r'diff_ops\[1\]\["count"\] must be an integer'),
        ({"op": "insert", "pos": 1, "lines": "a"}, r'diff_ops\[1\]\["lines"\] must be a list of str, got str'),
        ({"op": "insert", "pos": 1, "lines": ["a", 1]}, r'diff_ops\[1\]\["lines"\]\[1\] must be a str, got int'),
        ({"op": "insert", "pos": 1, "lines": ["\ud800"]}, r'diff_ops\[1\]\["lines"\]\[0\] .* lone surrogates'),
        ({"op": "insert", "pos": 1, "text": "a"}, r"diff_ops\[1\] must only have the keys .*, got 'text'"),
    ],
)
def test_a_wrong_diff_op_is_refused_naming_what_is_wrong(item: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        check_diff_ops([{"op": "insert", "pos": 0}, item])


@pytest.mark.parametrize("value", ["insert", {"op": "insert", "pos": 0}, 7])
def test_diff_ops_that_are_no_list_are_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="diff_ops must be a list of dicts or None, got"):
        check_diff_ops(value)


# Scalars, texts, paths.


@pytest.mark.parametrize("value", [1, 4096, np.int64(7), np.uint8(3)])
def test_row_21_integers_within_range_are_accepted(value: Any) -> None:
    assert check_count(value, "shard_count", 1, 4096) == int(value)
    assert type(check_count(value, "shard_count", 1, 4096)) is int


@pytest.mark.parametrize("value", [0, -1, 4097, 2**80, 4.0, "4", True, np.True_, None, [4]])
def test_row_21_what_is_no_integer_or_out_of_range_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="shard_count must be an integer from 1 to 4,096, got"):
        check_count(value, "shard_count", 1, 4096)


def test_a_limit_is_at_least_one_and_may_exceed_what_is_stored() -> None:
    assert check_limit(10**12) == 10**12
    for bad in (0, -1, 2.5, None):
        with pytest.raises(ValidationError, match="limit must be an integer of at least 1, got"):
            check_limit(bad)


@pytest.mark.parametrize("value", [0, 1, -1, 0.5, np.float32(0.5), np.int8(1)])
def test_a_threshold_is_any_finite_number(value: Any) -> None:
    assert check_similarity(value) == float(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, True, None, "0.5", 1j, [0.5]])
def test_a_threshold_that_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="min_similarity must be a finite number, got"):
        check_similarity(value)


@pytest.mark.parametrize("text", [None, "", "a\0b", "def f():\n\treturn 'é'\n", "\U0001f600"])
def test_a_text_is_kept_as_it_is(text: str | None) -> None:
    assert check_text(text) == text


@pytest.mark.parametrize("text", [b"bytes", 7, ["a"]])
def test_a_text_that_is_no_str_is_refused(text: object) -> None:
    with pytest.raises(ValidationError, match="text must be a str or None, got"):
        check_text(text)


def test_where_a_text_has_to_be_given_none_is_refused() -> None:
    assert check_text("words", "query", optional=False) == "words"
    with pytest.raises(ValidationError, match=r"^query must be a str, got None$"):
        check_text(None, "query", optional=False)


def test_a_text_with_a_lone_surrogate_is_refused_with_its_position() -> None:
    with pytest.raises(ValidationError, match=r"text must not contain lone surrogates, got .* at position 2"):
        check_text("ab\ud800")


@pytest.mark.parametrize("path", ["a/b", pathlib.PurePosixPath("a/b")])
def test_a_path_is_a_str_or_any_path_object(path: Any) -> None:
    assert check_path(path) == pathlib.Path("a/b")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "path must not be empty"),
        ("a\0b", "path must not contain NUL"),
        (7, "path must be a str or os.PathLike, got int 7"),
        (None, "path must be a str or os.PathLike, got None"),
        (b"a", "path must be a str or os.PathLike, got bytes"),
    ],
)
def test_row_20_what_is_no_path_is_refused(path: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        check_path(path)
