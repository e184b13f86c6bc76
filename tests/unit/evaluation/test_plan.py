from igpo_lightning.evaluation.benchmarks import Benchmark
from igpo_lightning.evaluation.plan import batches_of, share_of, tasks_of
from igpo_lightning.types import Problem, Prompt

BENCHMARK = Benchmark("t", "q", {"a": "plain"}, samples=2, temperature=1.0)
PROMPTS = [Prompt(Problem(f"t/{i}", "", "", ""), (4,) * width) for i, width in enumerate((2, 5, 2, 5, 3))]
TASKS = {"t": tasks_of(BENCHMARK, PROMPTS, seed=0)}


def keys(batches):
    return [[task.key for task in batch.tasks] for batch in batches]


def test_a_seed_belongs_to_a_problem_and_a_sample():
    seeds = {task.key: task.seed for task in TASKS["t"]}
    assert len(set(seeds.values())) == 10
    assert {t.key: t.seed for t in tasks_of(BENCHMARK, PROMPTS[::-1], seed=0)} == seeds
    assert tasks_of(BENCHMARK, PROMPTS, seed=1)[0].seed != seeds["t/0", 0]


def test_batches_hold_prompts_of_one_length_the_longest_first():
    batches = batches_of(TASKS, 3)
    assert [[len(task.prompt.ids) for task in batch.tasks] for batch in batches] == [
        [5, 5, 5], [5], [3, 3], [2, 2, 2], [2],
    ]  # fmt: skip
    every = [key for batch in keys(batches) for key in batch]
    assert sorted(every) == sorted(task.key for task in TASKS["t"])


def test_processes_share_the_batches_and_make_as_many_steps():
    batches = batches_of(TASKS, 3)
    shares = [share_of(batches, (), rank, 2) for rank in range(2)]
    assert keys(shares[0]) == keys(batches[::2]) and keys(shares[1]) == [*keys(batches[1::2]), []]
    assert share_of(batches, {task.key for task in TASKS["t"]}, 1, 2) == []


def test_an_interrupted_batch_is_done_whole_again():
    batches = batches_of(TASKS, 3)
    done = {*keys(batches)[0], keys(batches)[3][0]}
    assert keys(share_of(batches, done, 0, 1)) == keys(batches[1:])
