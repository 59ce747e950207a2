"""Words and vectors made comparable."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from anam_py.crawler.fusion import comparable
from anam_py.crawler.ranking import WEIGHTS

scores = st.lists(st.tuples(st.just(0.0) | st.floats(1e-6, 1e3), st.floats(-1, 1)), max_size=20)


@given(scores)
def test_both_go_from_0_to_1_and_keep_their_order(pairs: list[tuple[float, float]]) -> None:
    words, cosines = np.array(pairs).reshape(-1, 2).T
    lexical, vector = comparable(words, cosines)
    assert all(0 <= score <= 1 for score in (*lexical, *vector))
    assert np.all(np.diff(lexical[np.argsort(words)]) >= 0)
    np.testing.assert_array_equal(vector, np.maximum(cosines, 0))


@given(scores, st.sampled_from([0.25, 2.0, 1024.0]))
def test_it_does_not_matter_how_long_the_query_is_by_which_words_score(pairs: list[tuple[float, float]], factor: float) -> None:
    words, cosines = np.array(pairs).reshape(-1, 2).T
    np.testing.assert_allclose(comparable(words * factor, cosines)[0], comparable(words, cosines)[0], rtol=1e-12, atol=1e-300)


def test_each_row_is_of_a_query_of_its_own() -> None:
    lexical, _ = comparable(np.array([[1.0, 2.0], [0.0, 0.0]]), np.zeros((2, 2)))
    assert lexical.tolist() == [[0.5, 1.0], [0.0, 0.0]]


def test_words_count_the_less_the_more_texts_share_as_many_of_them() -> None:
    lexical, _ = comparable(np.array([[8.0, *[6.0] * 10], [8.0, *[2.0] * 10]]), np.zeros((2, 11)))
    assert lexical[:, 0].tolist() == [0.25, 0.75]


def test_a_vector_that_stands_far_out_decides_and_words_decide_among_vectors_that_are_equally_far() -> None:
    def best(cosines: list[float]) -> int:
        lexical, vector = comparable(np.array([*[6.0] * 10, 9.0]), np.array([cosines[0]] + [0.0] * 9 + [cosines[1]]))
        return int(np.argmax(WEIGHTS.lexical * lexical + WEIGHTS.vector * vector))

    assert best([0.95, 0.4]) == 0
    assert best([0.42, 0.4]) == 10
