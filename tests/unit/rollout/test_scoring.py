"""Scores of chunks are those of the whole, and are counted beside sampling."""

import threading

import pytest
import torch
from fakes import HashReward, HashTerm, encoded, engine, inpaint, tiny_policy

from igpo_lightning.checks import ConfigError
from igpo_lightning.rewards import RewardSum
from igpo_lightning.rollout.scoring import Scoring
from igpo_lightning.sampling import BlockwiseSampler
from igpo_lightning.types import Problem, Rollout, Scores

CPU = torch.device("cpu")
PATIENCE = 60  # seconds until a test that would hang fails


@pytest.fixture(scope="module")
def policy():
    return tiny_policy()


def reward(workers, **changes):
    return RewardSum({"accuracy": HashTerm(**changes)}, "accuracy", workers)


def rolled_out(policy, given, rows):
    run = engine(reward=given, inpaint=inpaint(replace=1.0), rows_per_forward=rows)
    return run.run(policy, encoded(policy, 5), 2)


def test_neither_threads_nor_chunks_change_a_rollout(policy):
    expected = rolled_out(policy, reward(0, share=0.1), 1024)
    assert expected.metrics["replaced"] > 0 and expected.answers.shape == (5, 4)
    for workers, rows in ((0, 3), (1, 3), (1, 1024), (3, 2)):
        found = rolled_out(policy, reward(workers, share=0.1), rows)
        for (name, tensor), (_, other) in zip(Rollout._tensors(found), expected._tensors(), strict=True):
            if name == "step_probability":  # of logits whose last bit depends on the rows of a call
                assert torch.allclose(tensor, other, rtol=0, atol=1e-6), (workers, rows)
            else:
                assert torch.equal(tensor, other), (workers, rows, name)
        ours, theirs = found.metrics, expected.metrics
        times = {name for name in ours if name.startswith("time/") or name == "seconds"}
        assert all(ours[name] == theirs[name] for name in set(ours) - times), (workers, rows)


def test_a_chunk_is_scored_while_the_next_one_is_sampled(policy):
    """The first chunk's reward waits for the second chunk's sampling, which waits for nothing."""
    sampling_goes_on = threading.Event()
    seen = []

    class Waiting(HashTerm):
        def judge(self, problems, completions):
            assert sampling_goes_on.wait(PATIENCE)
            seen.append((len(completions), threading.current_thread() is threading.main_thread()))
            assert not torch.is_grad_enabled()
            return super().judge(problems, completions)

    class Sampler(BlockwiseSampler):
        calls = 0

        def __call__(self, *args, **kwargs):
            self.calls += 1
            if self.calls == 2:
                sampling_goes_on.set()
            return super().__call__(*args, **kwargs)

    run = engine(
        reward=RewardSum({"accuracy": Waiting()}, "accuracy"), sampler=Sampler(16, 8, 4), rows_per_forward=7
    )
    run.run(policy, encoded(policy, 4), 0)
    assert seen == [(7, False), (7, False), (2, False)]


def test_without_workers_all_is_scored_at_once_in_the_main_thread(policy):
    class Whole(HashReward):  # says nothing of workers
        seen = ()

        def __call__(self, problems, completions):
            self.seen = (len(completions), threading.current_thread() is threading.main_thread())
            return super().__call__(problems, completions)

    whole = Whole()
    engine(reward=whole, rows_per_forward=3).run(policy, encoded(policy, 4), 0)
    assert whole.seen == (16, True)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_what_a_reward_raises_ends_the_rollout(policy, workers):
    class Broken(HashTerm):
        def judge(self, problems, completions):
            raise ZeroDivisionError("in a term")

    given = RewardSum({"accuracy": Broken()}, "accuracy", workers)
    with pytest.raises(ZeroDivisionError, match="in a term"):
        engine(reward=given, rows_per_forward=3).run(policy, encoded(policy, 4), 0)


def test_an_error_in_sampling_leaves_nothing_to_be_scored():
    held, scored = threading.Event(), []

    class Held:
        workers = 1

        def __call__(self, problems, texts):
            assert held.wait(PATIENCE)
            scored.extend(texts)
            return Scores(torch.zeros(1), torch.zeros(1, dtype=torch.bool))

    problems = [Problem(f"t/{i}", "", "", "") for i in range(3)]
    with pytest.raises(MemoryError), Scoring(Held(), problems, CPU) as scoring:
        for i in range(3):
            scoring.add([i], [str(i)])
        raise MemoryError
    held.set()
    for thread in scoring._pool._threads:
        thread.join(PATIENCE)
    assert scored in ([], ["0"])  # what had begun ends, the rest is not begun


def test_without_completions_there_are_scores_of_none():
    with Scoring(reward(2), [], CPU) as scoring:
        scores = scoring.result()
    assert scores.total.shape == scores.correct.shape == scores.answers.shape == (0,)
    assert set(scores.parts) == {"accuracy"}


def test_answers_that_a_verifier_gave_up_are_counted():
    class GivesUp:
        timeouts = 5

        def equal(self, candidate, gold):
            self.timeouts += candidate == "9"
            return False

    from igpo_lightning.rewards import Correctness

    given = RewardSum({"accuracy": Correctness(GivesUp())}, "accuracy")
    problems = [Problem(f"t/{i}", "", "", "1") for i in range(4)]
    with Scoring(given, problems, CPU) as scoring:
        scoring.add([0, 1], ["#### 9", "#### 8"])
        scoring.add(list(range(2, 4)), ["#### 9", "nothing"])
        scores = scoring.result()
    assert scoring.timeouts == 2 and given.timeouts == 7
    answers = scores.answers.tolist()
    assert answers[0] == answers[2] >= 0 and answers[1] not in (-1, answers[0]) and answers[3] == -1


@pytest.mark.parametrize("workers", [-1, 1.5, "2"])
def test_workers_are_a_count(workers):
    with pytest.raises(ConfigError, match=r"reward\.workers=.*: expected a whole number of at least 0"):
        reward(workers)
