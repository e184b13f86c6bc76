"""Which reference a loss has, and when it moves."""

import pytest
import torch
from fakes import MemoryLogger, algorithm, rollout_fit, tiny_policy, trainer

from igpo_lightning.algos import Kept, Moved, NoReference
from igpo_lightning.algos.losses import ClippedSurrogate
from igpo_lightning.errors import ConfigError


@pytest.mark.parametrize(("reference", "moves"), [
    (Kept(), []),
    (Moved(ref_model_sync_steps=3), [3, 6, 9, 12]),
    (Moved(ref_model_sync_steps=None, ref_model_sync_rollouts=2), [8]),  # of four updates each
], ids=["kept", "updates", "rollouts"])  # fmt: skip
def test_it_moves_when_it_is_due(reference, moves):
    assert [done for done in range(13) if reference.due(done, per_rollout=4)] == moves


@pytest.mark.parametrize(("options", "named"), [
    ({"ref_model_sync_steps": 4, "ref_model_sync_rollouts": 1}, "make the other null"),
    ({"ref_model_sync_steps": None}, "give ref_model_sync_steps"),
    ({"ref_model_sync_steps": 0}, "algo.reference.ref_model_sync_steps=0"),
    ({"ref_model_mixup_alpha": 1.5}, "algo.reference.ref_model_mixup_alpha=1.5"),
    ({"ref_model_mixup_alpha": 0.0}, "take algo/reference=kept"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(options, named):
    with pytest.raises(ConfigError, match=named):
        Moved(**options)


def test_none_is_refused_where_the_loss_needs_one():
    with pytest.raises(ConfigError, match=r"algo\.reference: none, but algo\.loss") as caught:
        algorithm(reference=NoReference())
    assert "\n" not in str(caught.value)
    algorithm(reference=NoReference(), loss=ClippedSurrogate(beta=0.0))


def ref_logps(tmp_path, reference, rollouts=3):
    """[rollouts] reference log-probs, and those of the policy that sampled."""
    module, data = rollout_fit(tiny_policy(), rollouts=rollouts, reference=reference)
    seen, run = [], data.engine.run

    def recorded(*given):
        found = run(*given)
        seen.append((found.ref_logps.clone(), found.old_logps.clone()))
        return found

    data.engine.run = recorded
    trainer(tmp_path, logger=MemoryLogger()).fit(module, datamodule=data)
    return seen


def test_a_reference_that_is_the_policy_of_each_rollouts_beginning(tmp_path):
    """Moved wholly after the two updates of each rollout: its log-probs are the old ones."""
    whole = Moved(ref_model_sync_steps=None, ref_model_sync_rollouts=1, ref_model_mixup_alpha=1.0)
    for ref, old in ref_logps(tmp_path / "moved", whole):
        assert torch.equal(ref, old)
    kept = ref_logps(tmp_path / "kept", Kept())
    assert torch.equal(*kept[0]) and not torch.equal(*kept[1])
    half = ref_logps(tmp_path / "half", Moved(ref_model_sync_steps=2, ref_model_mixup_alpha=0.5))
    assert torch.equal(*half[0]) and not torch.equal(*half[1])
    assert not torch.equal(half[1][0], kept[1][0])
