"""Windows: what is promised about them, checked by trying every span and every pair."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cfcre.extraction.windows import plan_windows

pieces_of_words = st.lists(st.integers(1, 6), max_size=40)


@settings(max_examples=150, deadline=None)
@given(pieces_of_words, st.integers(1, 12), st.integers(1, 14), st.integers(1, 5))
def test_windows_keep_their_promises(pieces, window, stride, widest):
    plan = plan_windows(
        np.array(pieces, dtype=np.int64), window=window, stride=stride, widest=widest
    )
    assert list(plan.unread) == [i for i, p in enumerate(pieces) if p > window]
    for start, end in plan.windows:
        assert 0 <= start < end <= len(pieces)
        assert sum(pieces[start:end]) <= window, "no window is larger than what can be read"
    assert list(plan.windows) == sorted(set(plan.windows))
    ends = [end for _, end in plan.windows]
    assert ends == sorted(ends)
    read = {word for start, end in plan.windows for word in range(start, end)}
    assert read == set(range(len(pieces))) - set(plan.unread), "every word is read or reported"
    for start in range(len(pieces)):
        for end in range(start + 1, len(pieces) + 1):
            size = sum(pieces[start:end])
            if size > window:
                break
            # A span of the widest kind, and a pair of entities that is near enough.
            if end - start <= widest or size <= window - stride:
                assert any(a <= start and end <= b for a, b in plan.windows), (start, end)


def test_a_text_that_fits_is_one_window():
    plan = plan_windows(np.array([3, 2, 5]), window=10, stride=1, widest=3)
    assert plan.windows == ((0, 3),)


def test_windows_begin_a_stride_apart():
    plan = plan_windows(np.ones(100, dtype=np.int64), window=40, stride=20, widest=5)
    assert plan.windows == ((0, 40), (20, 60), (40, 80), (60, 100))


def test_a_stride_that_would_skip_words_is_shortened():
    plan = plan_windows(np.ones(100, dtype=np.int64), window=40, stride=90, widest=10)
    assert plan.windows == ((0, 40), (31, 71), (62, 100))


def test_nothing_has_no_window():
    assert plan_windows(np.zeros(0, dtype=np.int64), window=9, stride=3, widest=2).windows == ()
    assert plan_windows(np.array([10]), window=9, stride=3, widest=2).unread == (0,)
