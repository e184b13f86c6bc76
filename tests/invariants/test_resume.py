"""A run that is killed and resumed equals the one that was not."""

import pytest
import torch
from fakes import LORA, MemoryLogger, inpaint, rollout_fit, sft_fit, tiny_policy, trainer, weights
from lightning.pytorch.callbacks import Callback

from igpo_lightning.algos import Moved, TopEntropyHints
from igpo_lightning.algos.logprobs import RandomMasking, Replay
from igpo_lightning.algos.losses import ClippedSurrogate
from igpo_lightning.checks import ConfigError
from igpo_lightning.rollout import ByDifficulty, GreedyBaseline, OtherPrompts, ZeroVariance
from igpo_lightning.training.checkpoint_files import newest
from igpo_lightning.training.checkpoints import Checkpoints


class Killed(Exception):
    pass


class KillAfter(Callback):
    """Stops the process, so to say, after so many updates."""

    def __init__(self, updates):
        self.updates = updates

    def on_train_batch_start(self, trainer, *args):  # checkpoints are written at the end of a batch
        if trainer.global_step == self.updates:
            raise Killed


def fitted(folder, make, kill_after=None):
    """(weights, logged rows, trainer) of a run, killed and resumed on the way if asked."""
    rows = {}
    for attempt in ("killed", "resumed") if kill_after else ("whole",):
        module, data = make()
        logger = MemoryLogger()
        keep = Checkpoints(folder, every=1)
        callbacks = [keep] + [KillAfter(kill_after)] * (attempt == "killed")
        run = trainer(folder, callbacks=callbacks, enable_checkpointing=True, logger=logger)
        resume = str(newest(folder)) if attempt == "resumed" else None
        try:
            run.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
        except Killed:
            assert attempt == "killed"
        rows = {step: {**rows.get(step, {}), **row} for step, row in {**rows, **logger.repeatable()}.items()}
    return weights(module.policy), rows, run


def after(rows, step):
    """What was logged later than ``step``."""
    return {at: row for at, row in rows.items() if at > step}


def rl(lora=None, slots=2, **changes):
    return rollout_fit(
        tiny_policy(lora=lora),
        rollouts=3,
        token_filter=TopEntropyHints(0.2),
        prompts_per_micro_batch=4 // slots,
        **{"inpaint": inpaint(), **changes},
    )


@pytest.mark.parametrize("kill_after", [1, 2, 3, 5])
def test_policy_optimisation_killed_within_and_between_rollouts(tmp_path, kill_after):
    whole, rows, run = fitted(tmp_path / "whole", rl)
    resumed, resumed_rows, resumed_run = fitted(tmp_path / "resumed", rl, kill_after)
    assert torch.equal(whole, resumed)
    assert run.global_step == resumed_run.global_step == 6
    assert after(resumed_rows, kill_after) == after(rows, kill_after)
    sampled = max(row.get("rollout/completions", 0) for row in rows.values())
    assert sampled > 48  # 3 windows x 4 prompts x 4 completions, and those with hints
    assert sum("val/accuracy" in row for row in rows.values()) == 3


@pytest.mark.parametrize("options", [
    {"lora": LORA}, {"logprobs": RandomMasking()}, {"logprobs": RandomMasking(), "draws_per_micro_batch": 1},
    {"slots": 4, "updates_per_iteration": 2}, {"reference": Moved(2)}, {"reference": Moved(3), "lora": LORA},
    {"select": OtherPrompts(), "inpaint": inpaint(span=ByDifficulty())}, {"credit": ZeroVariance()},
    {"logprobs": Replay(4, keep=2, choose="entropy"), "credit": GreedyBaseline()},
], ids=["lora", "random masking", "draw by draw", "two updates a pass", "moved", "moved adapter",
        "other prompts", "zero variance", "replay by entropy"])  # fmt: skip
def test_other_policy_optimisations_killed_within_a_rollout(tmp_path, options):
    def make():
        return rl(**options)

    whole, rows, run = fitted(tmp_path / "whole", make)
    resumed, resumed_rows, _ = fitted(tmp_path / "resumed", make, kill_after=3)
    assert torch.equal(whole, resumed)
    assert after(resumed_rows, 3) == after(rows, 3)
    assert len(after(rows, 3)) >= run.global_step - 4


@pytest.mark.parametrize("slots", [1, 2])
def test_fine_tuning(tmp_path, slots):
    def make():
        return sft_fit(tiny_policy(), steps=12, slots=slots)

    whole, rows, run = fitted(tmp_path / "whole", make)
    resumed, resumed_rows, _ = fitted(tmp_path / "resumed", make, kill_after=3)
    assert run.global_step == 12
    assert torch.equal(whole, resumed)
    assert after(resumed_rows, 3) == after(rows, 3)
    assert len(after(rows, 3)) >= run.global_step - 4


class StopAfter(Callback):
    """Asks for the end after so many micro-batches, as Lightning's timer does whenever its time is up."""

    def __init__(self, batches):
        self.left = batches

    def on_train_batch_end(self, trainer, *args):
        self.left -= 1
        trainer.should_stop |= self.left <= 0


@pytest.mark.parametrize("make", [
    lambda: sft_fit(tiny_policy(), steps=4, slots=4),
    lambda: rl(slots=2),
    lambda: rl(slots=2, logprobs=RandomMasking(), draws_per_micro_batch=1),
], ids=["sft", "rl", "draw by draw"])  # fmt: skip
@pytest.mark.parametrize("batches", [5, 6])
def test_an_end_that_is_asked_for_within_an_update_comes_after_it(tmp_path, make, batches):
    whole, rows, run = fitted(tmp_path / "whole", make)
    module, data = make()
    keep, logger = Checkpoints(tmp_path / "stopped", every=100), MemoryLogger()
    first = trainer(tmp_path, callbacks=[keep, StopAfter(batches)], enable_checkpointing=True, logger=logger)
    first.fit(module, datamodule=data)
    each = first.accumulate_grad_batches
    assert each > 1 and first.global_step == -(-batches // each) < run.global_step
    module, data = make()
    later = MemoryLogger()
    second = trainer(tmp_path, logger=later)
    second.fit(module, datamodule=data, ckpt_path=str(newest(tmp_path / "stopped")), weights_only=True)
    assert second.global_step == run.global_step and torch.equal(weights(module.policy), whole)
    seen = {**logger.repeatable(), **later.repeatable()}
    assert {step: row["train/loss"] for step, row in seen.items() if "train/loss" in row} == {
        step: row["train/loss"] for step, row in rows.items() if "train/loss" in row
    }


def test_a_module_that_was_stopped_can_be_fitted_again(tmp_path):
    module, data = sft_fit(tiny_policy(), steps=3, slots=4)
    stopped = trainer(tmp_path, callbacks=[StopAfter(2)])
    stopped.fit(module, datamodule=data)
    again = trainer(tmp_path)
    again.fit(module, datamodule=data)
    assert (stopped.global_step, again.global_step) == (1, 3)


def test_a_reference_can_be_asked_for_between_rollouts_only(tmp_path):
    """A rollout that was sampled without one has no log-probs of it: each has two updates."""

    def started(beta, resume):
        module, data = rl(loss=ClippedSurrogate(beta=beta))
        keep = Checkpoints(tmp_path, every=1, keep=9)
        run = trainer(tmp_path, callbacks=[keep], enable_checkpointing=True)
        run.fit(module, datamodule=data, ckpt_path=resume and str(tmp_path / resume), weights_only=True)
        return run

    started(0.0, None)
    with pytest.raises(ConfigError, match=r"resume=.*03\.ckpt: its rollout, .*after a multiple of 2 updates"):
        started(0.1, "update-00000003.ckpt")
    assert started(0.1, "update-00000004.ckpt").global_step == 6
    assert started(0.0, "abandoned/update-00000005.ckpt").global_step == 6
