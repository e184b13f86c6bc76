import itertools

import pytest
import torch

from igpo_lightning.checks import ConfigError
from igpo_lightning.rollout import Chunks
from igpo_lightning.seeding import python_rng

MASK = 1
TRACE = tuple(range(100, 112))  # 12 tokens


@pytest.mark.parametrize(
    "ratio, hints", [(0, 0), (0.2, 0), (0.25, 3), (0.49, 3), (0.5, 6), (0.74, 6), (0.75, 9), (1, 12)]
)
def test_a_trace_of_n_chunks_gives_the_floor_of_ratio_times_n(ratio, hints):
    """12 tokens in chunks of 3 are 4 chunks: 0.2 · 4 = 0.8 gives none, 0.5 · 4 gives two."""
    canvas, is_hint = Chunks(chunk=(3, 3)).place(TRACE, 16, ratio, seed=7, mask_id=MASK)
    assert is_hint.sum() == hints
    for start in (0, 3, 6, 9):  # a chunk is written as a whole or not at all
        assert is_hint[start : start + 3].all() or not is_hint[start : start + 3].any()
    for i, token in enumerate(canvas.tolist()):
        assert token == (TRACE[i] if is_hint[i] else MASK)  # index for index


def test_ratio_one_writes_the_whole_trace():
    for seed in range(20):
        canvas, is_hint = Chunks(chunk=(5, 10)).place(TRACE, 16, 1.0, seed, MASK)
        assert canvas.tolist() == [*TRACE, MASK, MASK, MASK, MASK]
        assert is_hint.tolist() == [True] * 12 + [False] * 4


def test_the_answer_stays_empty():
    trace = (100, MASK, 102, MASK)
    canvas, is_hint = Chunks(chunk=(1, 1)).place(trace, 6, 1.0, 0, MASK)
    assert canvas.tolist() == [100, MASK, 102, MASK, MASK, MASK]
    assert is_hint.tolist() == [True, False, True, False, False, False]


def test_chunks_cover_the_trace_with_lengths_of_the_whole_range():
    lengths = []
    for seed in range(200):
        chunks = Chunks(chunk=(5, 10)).cut(100, python_rng(seed))
        assert chunks[0][0] == 0 and chunks[-1][1] == 100
        assert all(stop == start for (_, stop), (start, _) in itertools.pairwise(chunks))
        lengths += [stop - start for start, stop in chunks[:-1]]
        assert 1 <= chunks[-1][1] - chunks[-1][0] <= 10
    assert set(lengths) == {5, 6, 7, 8, 9, 10}
    counts = [lengths.count(n) for n in range(5, 11)]
    assert max(counts) < 1.25 * min(counts)  # uniform


def test_what_does_not_fit_the_canvas_is_no_hint():
    canvas, is_hint = Chunks(chunk=(2, 2)).place(TRACE, 4, 1.0, 0, MASK)
    assert canvas.tolist() == [100, 101, 102, 103] and is_hint.all()
    canvas, is_hint = Chunks(chunk=(2, 2)).place((), 4, 1.0, 0, MASK)
    assert canvas.tolist() == [MASK] * 4 and not is_hint.any()


def test_the_seed_decides_and_every_chunk_has_the_same_chance():
    place = Chunks(chunk=(3, 3)).place
    draws = [place(TRACE, 12, 0.5, seed, MASK)[1] for seed in range(600)]
    assert torch.equal(draws[5], place(TRACE, 12, 0.5, 5, MASK)[1])
    share = torch.stack(draws).float().mean(0)
    assert (share - 0.5).abs().max() < 0.08  # four standard errors


def test_bad_values_are_refused():
    with pytest.raises(ConfigError, match=r"algo.inpaint.chunk=\[0,3\]"):
        Chunks(chunk=(0, 3))
    with pytest.raises(ConfigError, match="low is above high"):
        Chunks(chunk=(5, 3))
    with pytest.raises(ConfigError, match=r"algo.inpaint.ratio=1.5"):
        Chunks(1.5)
