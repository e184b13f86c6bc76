"""Dynamic sampling: groups that are all right or all wrong give their places to other prompts'."""

import pytest
import torch
from fakes import HashReward, algorithm, encoded, engine, rollout_fit, source, tiny_policy, trainer
from test_interventions import groups

from igpo_lightning.data.schedule import RolloutSchedule
from igpo_lightning.errors import ConfigError
from igpo_lightning.rollout import OtherPrompts, inpaint


class Others:
    """A resampler whose spares' groups are given, round by round."""

    def __init__(self, *rounds, given=3):
        self.rounds, self.given, self.asked = rounds, given, []

    def anyone(self, flag):
        return flag

    def add_spares(self, attempt):
        return attempt < len(self.rounds)

    def spare(self, attempt, place):
        return self.given * (attempt + 1) + place

    def blank(self, count):
        return count, None

    def sample(self, which, canvas, hint_mask, purpose):
        self.asked.append((which, purpose))
        attempt = int(purpose.removeprefix("select-"))
        fresh = groups([self.rounds[attempt][p % self.given] for p in which], base=500)
        fresh.candidate = torch.tensor(which)
        return fresh


RIGHT, WRONG, MIXED = [1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0]


def sampled(*rows):
    rollout = groups(list(rows))
    rollout.candidate = torch.arange(len(rows))
    return rollout


def test_places_are_filled_round_by_round():
    """Three places, two without signal; the first round fills one of them, the second the other."""
    others = Others([WRONG, MIXED, RIGHT], [MIXED, MIXED, MIXED])
    rollout, report = OtherPrompts(tries=5)(sampled(RIGHT, MIXED, WRONG), others)
    assert others.asked == [([3, 5], "select-0"), ([6, 8], "select-1")]
    assert rollout.candidate.tolist() == [6, 1, 8]
    assert rollout.correct.float().mean(1).tolist() == [0.25, 0.25, 0.25]
    assert rollout.tokens[:, 0, 0].tolist() == [500, 110, 510]
    assert (report.swapped, report.sampled) == (2, 4)


def test_the_budget_ends_it_and_the_group_stays():
    others = Others([WRONG] * 3, [WRONG] * 3, [WRONG] * 3)
    rollout, report = OtherPrompts(tries=2)(sampled(WRONG, MIXED, MIXED), others)
    assert [which for which, _ in others.asked] == [[3], [6]]
    assert rollout.candidate.tolist() == [0, 1, 2] and (report.swapped, report.sampled) == (0, 2)
    rollout, report = OtherPrompts(tries=5)(sampled(WRONG, MIXED, MIXED), Others([WRONG] * 3))
    assert report.sampled == 1  # no more prompts


def test_nothing_is_sampled_where_all_groups_speak():
    others = Others([MIXED] * 3)
    rollout = sampled(MIXED, MIXED, MIXED)
    assert OtherPrompts()(rollout, others)[0] is rollout and not others.asked


def test_a_filter_by_difficulty():
    share = sampled([1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], RIGHT, WRONG)
    assert OtherPrompts(between=[0.25, 0.5]).stays(share).tolist() == [True, True, False, False, False]
    assert OtherPrompts().stays(share).tolist() == [True, True, True, False, False]
    for options in ({"tries": 0}, {"between": [0.8, 0.2]}, {"between": [0.2, 1.5]}):
        with pytest.raises(ConfigError, match=r"algo\.select"):
            OtherPrompts(**options)


def test_spares_are_other_rows_and_the_same_for_any_number_of_processes():
    def schedule(rank=0, world=1):
        return RolloutSchedule(24, algorithm(rollouts=3), rank, world)

    alone = schedule()
    rounds = [alone.spares(1, attempt) for attempt in range(7)]
    assert [len(rows) for rows in rounds] == [4, 4, 4, 4, 4, 0, 0]  # of 24 rows, 4 are the rollout's own
    every = [row for rows in rounds for row in rows]
    assert len(set(every)) == 20 and not set(every) & set(alone.draws[1])
    halves = [schedule(rank, 2).spares(1, 2) for rank in (0, 1)]
    assert halves[0] + halves[1] == rounds[2] != alone.spares(2, 2)


def test_a_batch_does_not_matter():
    """Each place by itself finds the prompt that it finds among others."""
    policy, prompts = tiny_policy(), encoded(tiny_policy(), 24)
    options = {"select": OtherPrompts(tries=3), "reward": HashReward(0.3)}

    def run(places):
        def spares(attempt):
            return [prompts[4 * (attempt + 1) + place] for place in places]

        return engine(**options).run(policy, [prompts[p] for p in places], 0, spares)

    whole = run(range(4))
    assert whole.metrics["swapped"] > 0 and whole.metrics["others"] >= whole.metrics["swapped"]
    for place in range(4):
        alone = run([place])
        assert torch.equal(alone.tokens[0], whole.tokens[place])
        assert torch.equal(alone.rewards[0], whole.rewards[place])


def test_the_run_reads_the_prompts_that_it_trains_on(tmp_path):
    """With hints first: what they solve keeps its place. Samples name the problem of their group."""
    module, data = rollout_fit(
        tiny_policy(),
        rollouts=2,
        reward=HashReward(0.06),
        select=OtherPrompts(),
        inpaint=inpaint(chunk=(1, 2)),
    )
    trainer(tmp_path).fit(module, datamodule=data)
    rollout, own = data.rollout, data._schedule().draws[1]
    assert rollout.metrics["swapped"] > 0 and set(data._indices) - set(own)
    for row, i in enumerate(data._indices):
        ids = rollout.prompt_ids[row][rollout.prompt_mask[row]].tolist()
        assert ids == list(data._train[i].ids)
    assert not rollout.correct.all(1).any()
    records = data.sample_records(8)
    assert {record.prompt for record in records} <= {p.prompt for p in source().train}
    problems = {data._train[i].problem.prompt for i in data._indices}
    kept = [r for r in records if r not in rollout.second_tries]
    assert {record.prompt for record in kept} <= problems
    history = data.engine.history
    assert all(history.solved(data._train[i].problem.id) is not None for i in (*own, *data._indices))
