from itertools import islice

import pytest
from fakes import algorithm, supervised

from igpo_lightning.algos.logprobs import BlockMasking
from igpo_lightning.checks import ConfigError
from igpo_lightning.data.schedule import RolloutSchedule, SFTSchedule, Shuffled, StepLoader, run_length


def opened(batches):
    return [batch.open() for batch in batches]


def rollouts(size=20, rank=0, world=1, **changes):
    options = {"rollouts": 5, "prompts_per_rollout": 6, "prompts_per_micro_batch": 2, "num_iterations": 3}
    return RolloutSchedule(size, algorithm(**{**options, **changes}), rank, world)


def fine_tuning(size=10, rank=0, world=1, **changes):
    return SFTSchedule(size, supervised(**changes), rank, world)


def test_rollouts_then_iterations_then_slots():
    schedule = rollouts()
    assert len(schedule) == 5 * 3 * 3 and schedule.slots == 3
    order = [(s.rollout, s.iteration, s.start // 2) for s in schedule]
    assert order == [(w, m, n) for w in range(5) for m in range(3) for n in range(3)]
    assert [s.first for s in schedule] == ([True] + [False] * 8) * 5 and schedule[0].part is None
    assert [(s.start, s.stop) for s in schedule][:4] == [(0, 2), (2, 4), (4, 6), (0, 2)]
    for step in schedule:
        assert step.indices == schedule[step.rollout * 9].indices and len(step.indices) == 6


def test_slots_then_parts_of_the_draws():
    """4 draws, 3 at most in a micro-batch: parts of 3 and 1."""
    schedule = rollouts(logprobs=BlockMasking(8), draws_per_micro_batch=3, num_iterations=1)
    assert len(schedule) == 5 * 3 * 2
    assert [(s.start, s.part) for s in schedule][:4] == [(0, (0, 3)), (0, (3, 4)), (2, (0, 3)), (2, (3, 4))]
    assert [s.first for s in schedule] == ([True] + [False] * 5) * 5
    assert rollouts(logprobs=BlockMasking(8), draws_per_micro_batch=4).parts == [None]


def test_a_rollout_repeats_no_row_and_an_epoch_none_either():
    schedule = rollouts(rollouts=6)  # 20 rows make 3 rollouts of 6 an epoch; two wait for the next
    sampled = [schedule[w * 9].indices for w in range(6)]
    for epoch in (sampled[:3], sampled[3:]):
        rows = [i for one in epoch for i in one]
        assert len(set(rows)) == 18 and set(rows) <= set(range(20))
    assert sampled[:3] != sampled[3:]  # another order


def test_an_order_belongs_to_its_seed():
    assert [s.indices for s in rollouts()] == [s.indices for s in rollouts()]
    assert rollouts()[0].indices != rollouts(seed=1)[0].indices


@pytest.mark.parametrize("world", [2, 3])
def test_the_shares_of_the_processes_make_up_the_rollout(world):
    whole = rollouts(prompts_per_micro_batch=1)
    shares = [rollouts(prompts_per_micro_batch=1, rank=r, world=world) for r in range(world)]
    assert {len(s) for s in shares} == {len(whole) // world}
    for rollout in range(5):
        parts = [share[rollout * 3 * share.slots].indices for share in shares]
        assert sum(parts, ()) == whole[rollout * 18].indices


def test_no_ragged_rollout():
    with pytest.raises(ConfigError, match=r"prompts_per_rollout=6: must be a multiple of the 4 .*nearest: 4"):
        rollouts(world=4)
    with pytest.raises(ConfigError, match=r"multiple of the 8 processes; nearest: 8"):
        rollouts(world=8)
    with pytest.raises(
        ConfigError, match=r"algo.prompts_per_rollout: 6 asked for at once, but .* only 5 rows"
    ):
        rollouts(size=5)


def test_fine_tuning_steps():
    schedule = fine_tuning(steps=7)
    assert [s.update for s in schedule] == list(range(7))
    assert all(len(set(s.indices)) == 4 for s in schedule)
    rows = schedule[0].indices + schedule[1].indices
    assert len(set(rows)) == 8  # two batches an epoch
    with pytest.raises(ConfigError, match=r"algo.batch_size: 12 asked"):
        fine_tuning(batch_size=12)


@pytest.mark.parametrize("world, rows, slots", [(1, 4, 1), (1, 1, 4), (2, 4, 1), (2, 1, 2), (4, 3, 1)])
def test_an_update_sees_the_same_rows_however_it_is_cut(world, rows, slots):
    """Ranks, then slots, then rows: in this order they are the update's rows."""
    whole = fine_tuning(steps=3)
    parts = [fine_tuning(rank=r, world=world, steps=3, rows_per_micro_batch=rows) for r in range(world)]
    assert {part.slots for part in parts} == {slots}
    for update, step in enumerate(whole):
        mine = [part[update * slots + slot] for part in parts for slot in range(slots)]
        assert sum((s.indices for s in mine), ()) == step.indices
        assert [s.start for s in mine] == list(range(0, 4, 4 // len(mine)))


def test_the_largest_micro_batches_that_fit():
    assert rollouts(prompts_per_micro_batch=4).step_size == 3
    assert rollouts(prompts_per_micro_batch=100).slots == 1
    assert rollouts(prompts_per_micro_batch=4, world=2).step_size == 3
    assert rollouts(prompts_per_micro_batch=2, world=2).slots == 3


def test_a_far_draw_needs_no_history():
    draws = Shuffled(10, 5, 3, "x")
    late = draws[2001]
    assert Shuffled(10, 5, 3, "x")[2001] == late and sorted(draws[2000] + late) == list(range(10))


def test_a_loader_goes_on_where_its_state_was_taken():
    loader = StepLoader(list("abcde"))
    iterator = iter(loader)
    assert opened(islice(iterator, 2)) == ["a", "b"]
    state = loader.state_dict()
    assert opened(islice(iterator, 2)) == ["c", "d"]
    resumed = StepLoader(list("abcde"))
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert opened(resumed) == ["c", "d", "e"]
    assert opened(resumed) == list("abcde")  # once only


def test_a_place_is_kept_in_updates():
    half_way = {"next": 4, "per_update": 2}
    loader = StepLoader(list("abc"), per_update=1)
    loader.load_state_dict(half_way)
    assert opened(loader) == ["c"]
    with pytest.raises(
        ConfigError, match="now has 1 micro-batches a process instead of 2; resume with as many"
    ):
        loader.load_state_dict({"next": 3, "per_update": 2})


def test_a_loader_starts_over_even_if_the_last_pass_was_not_asked_for_its_end():
    """Lightning counts to the loader's length and asks for nothing beyond."""
    loader = StepLoader(list("abc"))
    for _ in range(3):
        assert opened(islice(iter(loader), 3)) == list("abc")
    assert len(loader) == 3


def test_at_its_end_a_loader_has_nothing_left():
    loader = StepLoader(list("abc"))
    loader.load_state_dict({"next": 3, "per_update": 1})
    assert list(loader) == []


@pytest.mark.parametrize(("count", "epochs", "expected"), [
    (7, None, 7),
    (None, 3, 12),
    (None, 2.5, 10),
    (None, 0.01, 1),  # a run makes at least one
    (5, 3, 5), (50, 3, 12),  # whichever is first
])  # fmt: skip
def test_a_run_ends_after_a_count_or_after_passes(count, epochs, expected):
    assert run_length(("algo.rollouts", "algo.epochs"), count, epochs, per_epoch=4) == expected


def test_passes_are_over_what_fills_whole_rollouts():
    """26 rows make 4 rollouts of 6; 2 wait for the next pass."""
    steps = rollouts(26, rollouts=None, epochs=2)
    assert steps.rollouts == 8 and len(steps) == 8 * 3 * 3
    assert len({i for step in steps if step.rollout < 4 for i in step.indices}) == 24
    sft = fine_tuning(26, steps=None, epochs=2)
    assert sft.steps == 26 // 4 * 2


@pytest.mark.parametrize(("limits", "said"), [
    ({"rollouts": None}, "algo.rollouts, algo.epochs: both are null"),
    ({"rollouts": 0}, "algo.rollouts=0: expected a whole number"),
    ({"rollouts": None, "epochs": 0}, "algo.epochs=0: expected a number above 0"),
])  # fmt: skip
def test_a_run_without_an_end_is_refused(limits, said):
    with pytest.raises(ConfigError, match=said):
        rollouts(24, **limits)
