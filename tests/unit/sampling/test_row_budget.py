import pytest
import torch
from fakes import FixedPolicy, encoded, tiny_policy

from igpo_lightning.checks import ConfigError
from igpo_lightning.sampling import BlockwiseSampler
from igpo_lightning.sampling.canvas import collate
from igpo_lightning.sampling.generate import generate
from igpo_lightning.sampling.row_budget import RowBudget
from igpo_lightning.types import Samples


def sizes(budget, lengths, most_columns):
    """Rows of each call, where memory ends beyond so many columns; longest first."""
    calls = []

    def call(rows):
        columns = len(rows) * lengths[int(rows[0])]
        calls.append(len(rows))
        if columns > most_columns:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return rows

    done = budget.run(torch.arange(len(lengths)), lengths, call)
    assert torch.cat([rows for rows, _ in done]).tolist() == list(range(len(lengths)))
    return calls


def test_a_number_of_rows():
    assert sizes(RowBudget(3), [9] * 8, 1000) == [3, 3, 2]
    assert sizes(RowBudget(), [9] * 8, 1000) == [8]
    assert sizes(RowBudget("auto"), [9] * 8, 1000) == [8]


def test_what_fits_is_found_by_trying_and_remembered():
    budget = RowBudget("auto")
    assert sizes(budget, [10] * 8, 25) == [8, 4, 2, 2, 2, 2]
    assert budget.columns == 20
    assert sizes(budget, [10, 10, 5, 5, 5, 5, 2, 2], 25) == [2, 4, 2]  # shorter ones: more rows
    assert sizes(budget, [40], 45) == [1]  # one always runs


def test_memory_that_ends_is_one_line():
    with pytest.raises(
        ConfigError, match=r"algo.rows_per_forward=4: .* ended while 4 canvases of 10 columns"
    ):
        sizes(RowBudget(4), [10] * 8, 25)
    with pytest.raises(ConfigError, match=r"sampler.length: .* one canvas of 30 columns"):
        sizes(RowBudget("auto"), [30], 25)


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "many", True])
def test_bad_numbers(wrong):
    with pytest.raises(ConfigError, match=r"algo\.rows_per_forward"):
        RowBudget(wrong)


class Padding:
    """A sampler that only looks at what it is given."""

    length = 3

    def __init__(self):
        self.seen = []

    def __call__(self, policy, canvas, attention, seeds, keep_going=bool):
        self.seen.append((tuple(canvas.shape), attention is not None, list(seeds)))
        filled = canvas.clone()
        filled[:, -3:] = torch.tensor(seeds)[:, None]
        return Samples(filled, torch.full_like(filled, 4, dtype=torch.int32), 1, len(canvas))


def test_rows_of_like_length_run_together_and_come_back_in_order():
    policy = tiny_policy()
    tensors = collate(encoded(policy, 8), policy.pad_id)
    lengths = tensors.mask.sum(-1)
    which = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7]).repeat_interleave(2)
    canvas = torch.full((16, 3), policy.mask_id)
    sampler = Padding()
    done = generate(policy, sampler, tensors, which, canvas, list(range(16)), RowBudget(4))
    assert done.tokens[:, 0].tolist() == list(range(16)) and (done.step_map == 4).all()
    widths = [shape[1] - 3 for shape, _, _ in sampler.seen]
    assert widths == sorted(widths, reverse=True) and widths[0] == lengths.max()
    for (shape, padded, seeds), width in zip(sampler.seen, widths, strict=True):
        own = lengths[which[torch.tensor(seeds)]]
        assert own.max() == width and padded == bool((own < width).any())
        assert shape[0] == len(seeds) == 4


@pytest.mark.parametrize("rows", [1, 3, 16, None])
def test_completions_do_not_depend_on_the_chunks(rows):
    policy = tiny_policy(seed=4)
    tensors = collate(encoded(policy, 8), policy.pad_id)
    which = torch.arange(8).repeat(2)
    canvas = torch.full((16, 8), policy.mask_id)
    sampler = BlockwiseSampler(8, 4, 8, temperature=1.0)
    one = generate(policy, sampler, tensors, which, canvas, list(range(16)), RowBudget(1))
    some = generate(policy, sampler, tensors, which, canvas, list(range(16)), RowBudget(rows))
    assert torch.equal(one.tokens, some.tokens) and torch.equal(one.step_map, some.step_map)
    assert one.texts == some.texts and one.row_forwards == some.row_forwards


def test_processes_wait_for_each_other_only_where_weights_are_sharded(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "igpo_lightning.sampling.generate.agree_any", lambda flag, device: asked.append(flag) or flag
    )
    policy = FixedPolicy(
        lambda tokens: torch.zeros(*tokens.shape, 6), eos_id=5, tokenizer=tiny_policy().tokenizer
    )
    tensors = collate(encoded(tiny_policy(), 2), 5)
    arguments = BlockwiseSampler(4, 4, 4), tensors, torch.arange(2), torch.full((2, 4), 1), [0, 1]
    generate(policy, *arguments)
    assert asked == []
    policy.sharded = True
    generate(policy, *arguments)
    assert len(asked) >= 4
    with pytest.raises(ConfigError, match=r"algo\.rows_per_forward=auto: not with weights"):
        generate(policy, *arguments, RowBudget("auto"))


def test_the_number_of_calls_is_agreed_on_before_the_first(monkeypatch):
    """Two calls of one row each, and a process without rows beside them: it asks first, then joins both."""
    events: list = []

    def most(value, device):
        events.append(("calls", value))
        return 2

    where = "igpo_lightning.sampling.generate"
    monkeypatch.setattr(f"{where}.agree_max", most)
    monkeypatch.setattr(f"{where}.agree_any", lambda flag, device: events.append("step") or flag)
    policy = FixedPolicy(
        lambda tokens: torch.zeros(*tokens.shape, 6), eos_id=5, tokenizer=tiny_policy().tokenizer
    )
    policy.sharded = True
    tensors, sampler = collate(encoded(tiny_policy(), 2), 5), BlockwiseSampler(4, 4, 4)
    generate(policy, sampler, tensors, torch.arange(2), torch.full((2, 4), 1), [0, 1], RowBudget(1))
    assert events[0] == ("calls", 2) and events[1:] == ["step"] * (len(events) - 1)
    events.clear()
    none = torch.arange(0)
    generate(policy, sampler, tensors, none, torch.full((0, 4), 1), [], RowBudget(1))
    assert events == [("calls", 0), "step", "step"]  # each call ends at its first step, as nobody goes on
