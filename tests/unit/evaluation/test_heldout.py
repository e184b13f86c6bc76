"""Held-out accuracy at the end: the last validation's, where that saw these weights and all problems."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from igpo_lightning.evaluation import heldout
from igpo_lightning.training.finishing import Finish
from tests.fakes import rollout_fit, sft_fit, tiny_policy, trainer


class Fit:
    """A fit whose decoding for ``after`` and ``before`` is counted."""

    def __init__(self, folder, monkeypatch, fit, validate_every):
        self.decoded, decode = 0, heldout.decode

        def counted(policy, sampler, reward, prompts, **options):
            self.decoded += len(prompts)
            return decode(policy, sampler, reward, prompts, **options)

        monkeypatch.setattr(heldout, "decode", counted)
        module, data = fit(tiny_policy())
        data.algorithm.validate_every = validate_every
        self.held = heldout.HeldOutAccuracy(last=False)
        self.measured = None
        trainer(folder, callbacks=[self.held, Finish(self.held.measure_after, self.again)]).fit(module, data)

    def again(self, trainer, module):
        self.before_again = self.decoded
        self.measured = self.held._measure(trainer, module, "validation", trainer.datamodule.val_problems)


@pytest.mark.parametrize(
    ("fit", "every", "validated"),
    [
        (rollout_fit, 1, True),
        (rollout_fit, 2, True),
        (rollout_fit, 3, False),
        (sft_fit, 3, True),
        (sft_fit, 4, False),
    ],
)
def test_the_last_validation_is_not_decoded_again(tmp_path, monkeypatch, fit, every, validated):
    done = Fit(tmp_path, monkeypatch, fit, every)
    problems = done.held.after.n
    assert done.held.after == done.measured
    assert done.before_again == (problems if validated else 2 * problems)  # those of before, and of after


@pytest.mark.parametrize(
    ("problems", "world", "whole"), [(6, 2, True), (7, 2, False), (7, 1, True), (8, 3, False)]
)
def test_a_validation_that_left_some_out_does_not_count(problems, world, whole):
    held = heldout.HeldOutAccuracy(last=False)
    trainer = SimpleNamespace(
        datamodule=SimpleNamespace(val_problems=[None] * problems),
        world_size=world,
        global_step=5,
        callback_metrics={"val/accuracy": torch.tensor(2 / problems, dtype=torch.float32)},
    )
    held._measure = lambda *_: "measured"
    held.on_validation_end(trainer, None)
    held.measure_after(trainer, None)
    assert held.after == (heldout.Accuracy(2 / problems, problems) if whole else "measured")
    trainer.global_step = 6  # one more update
    held.measure_after(trainer, None)
    assert held.after == "measured"
