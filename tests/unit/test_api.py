"""Use from Python: ten lines from a model to text, and to a rollout with rewards."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from fakes import LORA, WIDTH, algorithm, inpaint, source, tiny_policy

import igpo_lightning as il
from igpo_lightning.checks import ConfigError

QUESTIONS = [problem.prompt for problem in source().train[:3]]


@pytest.fixture(scope="module")
def policy():
    return tiny_policy()


def test_prompts_are_completed(policy):
    found = il.generate(policy, QUESTIONS, length=WIDTH, block_length=8)
    assert len(found) == 3 and all(isinstance(text, str) and text for text in found)
    assert found == il.generate(policy, QUESTIONS, length=WIDTH, block_length=8)
    assert found[1:] != il.generate(policy, QUESTIONS, length=WIDTH, block_length=8, temperature=1.0)[1:]
    assert il.generate(policy, [], length=WIDTH, block_length=8) == []


def test_hints_stay_and_gaps_are_filled(policy):
    words = policy.tokenizer.convert_ids_to_tokens(range(10, 14))
    hint = f"{words[0]} {words[1]} ___ {words[2]} {words[3]}"
    text, plain = il.generate(policy, QUESTIONS[:2], [hint, None], length=WIDTH, block_length=8)
    completion = text.split()
    assert completion[:2] == words[:2] and "_" not in text
    place = completion.index(words[2])
    assert completion[place : place + 2] == words[2:] and place <= 5  # special tokens are not shown
    assert plain == il.generate(policy, QUESTIONS[:2], length=WIDTH, block_length=8)[1]


@pytest.mark.parametrize("hints, said", [
    (["_" * 20], "hints: 20 tokens do not fit a completion of 16"),
    ([None, None], "hints: 2 for 1 prompts"),
])  # fmt: skip
def test_bad_hints_are_refused(policy, hints, said):
    with pytest.raises(ConfigError, match=said):
        il.generate(policy, QUESTIONS[:1], hints, length=WIDTH, block_length=8)


@pytest.mark.parametrize("prompts, hints, name", [
    ("What is 3 + 4 ?", None, "prompts"), (["a", None], None, "prompts"), ([7], None, "prompts"),
    (["a"], "b", "hints"), (["a"], [3], "hints"),
])  # fmt: skip
def test_what_is_no_list_of_texts_is_refused(policy, prompts, hints, name):
    with pytest.raises(ConfigError, match=rf"^{name}: expected a list of texts"):
        il.generate(policy, prompts, hints, length=WIDTH, block_length=8)


@pytest.mark.parametrize("setting", [{"temperature": math.nan}, {"temperature": math.inf}, {"steps": 0}])
def test_what_no_sampler_can_take_is_refused(policy, setting):
    with pytest.raises(ConfigError, match=rf"^sampler\.{next(iter(setting))}="):
        il.generate(policy, QUESTIONS[:1], length=WIDTH, block_length=8, **setting)


def test_a_seed_counts_by_its_value(policy):
    options = {"length": WIDTH, "block_length": 8, "temperature": 1.0}
    found = il.generate(policy, QUESTIONS, seed=5, **options)
    assert found == il.generate(policy, QUESTIONS, seed=np.int64(5), **options)
    assert found != il.generate(policy, QUESTIONS, seed=6, **options)
    with pytest.raises(ConfigError, match=r"^seed=5\.5: expected a whole number"):
        il.generate(policy, QUESTIONS, seed=5.5, **options)


def test_a_rollout_is_the_same_twice_with_a_policy_that_has_dropout():
    policy, problems = tiny_policy(lora={**LORA, "dropout": 0.5}), source().train[:2]
    for name, weights in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.constant_(weights, 0.1)
    state = torch.get_rng_state()
    first, second = (il.roll_out(policy, algorithm(), problems) for _ in range(2))
    assert torch.equal(first.old_logps, second.old_logps)
    assert torch.equal(state, torch.get_rng_state())


def test_what_has_no_rollouts_is_refused(policy):
    with pytest.raises(ConfigError, match=r"^algorithm: sft has no rollouts"):
        il.roll_out(policy, il.load_algorithm("algo=sft", "model=tiny"), source().train[:1])
    with pytest.raises(ConfigError, match=r"^problems: there are none"):
        il.roll_out(policy, algorithm(), [])


def test_a_rollout_with_rewards(policy):
    problems = source().train[:4]
    rollout = il.roll_out(tiny_policy(lora=LORA), algorithm(inpaint=inpaint()), problems)
    assert rollout.rewards.shape == rollout.advantages.shape == (4, 4)
    assert rollout.old_logps.shape == rollout.ref_logps.shape == (4, 4, 1, WIDTH)
    found = il.texts(policy, rollout)
    assert len(found) == 4 and {len(group) for group in found} == {4}
    assert rollout.metrics["triggered"] > 0


def test_an_algorithm_is_what_the_command_line_would_run():
    igpo = il.load_algorithm("algo=igpo", "model=tiny", "algo.inpaint.ratio=[0.3,0.4]", "seed=3")
    assert (igpo.name, igpo.seed, igpo.inpaint.hints.low) == ("igpo", 3, 0.3)
    assert igpo.num_generations == 4 and igpo.sampler.temperature == 1


def test_importing_does_nothing_to_the_rest_of_the_program():
    """No torch before it is asked for, no signal handlers."""
    code = (
        "import signal, sys;"
        "handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)];"
        "import igpo_lightning as il; assert 'torch' not in sys.modules; il.generate;"
        "assert 'torch' in sys.modules;"
        "assert handlers == [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert torch.get_default_dtype() == torch.float32
