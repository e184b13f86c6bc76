"""Which tokens behind a response are learned, and how much of every mean they are."""

from functools import partial

import pytest
import torch
from fakes import FixedPolicy, sft_fit, source, supervised, tiny_policy, trainer

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.sft_data import SFTBatch
from igpo_lightning.sampling import BlockwiseSampler
from igpo_lightning.training import MaskedDiffusionSFT

END, HALF, QUARTER = 0, 2, 3  # the policy gives the end p = 1/8, token 2 p = 1/2, token 3 p = 1/4
LOG2 = torch.tensor(2.0).log().item()


def module(**options):
    row = torch.tensor([1 / 8, 1e-13, 1 / 2, 1 / 4, 1 / 8]).log()
    policy = FixedPolicy(lambda tokens: row.expand(*tokens.shape, 5))
    return MaskedDiffusionSFT(policy, supervised(sampler=BlockwiseSampler(6, 6, 2), **options))


def batch(whole=(True, True)):
    """Two tokens, the end, a fill of three; and four tokens, the end, a fill of one."""
    return SFTBatch(
        prompt_ids=torch.full((2, 1), 4),
        prompt_mask=torch.ones(2, 1, dtype=torch.bool),
        response=torch.tensor([[HALF, QUARTER, END, END, END, END], [HALF] * 4 + [END, END]]),
        text=torch.tensor([3, 5]),
        whole=torch.tensor(whole),
    )


def denoise(supervise_padding, **options):
    """Everything is hidden, at t = 1/2."""
    loss, metrics = module(supervise_padding=supervise_padding).denoise(
        batch(**options), torch.full((2, 1), 0.5), torch.ones(2, 6, dtype=torch.bool)
    )
    return loss.item(), {name: float(value) for name, value in metrics.items()}


# -log p in units of log 2: 1, 2, 3 and three times 3; 1, 1, 1, 1, 3 and 3. Each counts 1/t = 2 times.
@pytest.mark.parametrize(
    "supervise_padding, first, second, right, text_right, padding",
    [
        ("all", 15 / 6, 10 / 6, 5 / 12, 5 / 8, 4 / 12),
        ("one", 6 / 3, 7 / 5, 5 / 8, 5 / 8, 0),
        ("none", 3 / 2, 4 / 4, 5 / 6, 5 / 6, 0),
    ],
)
def test_loss_and_means_by_hand(supervise_padding, first, second, right, text_right, padding):
    loss, metrics = denoise(supervise_padding)
    assert loss == pytest.approx(2 * LOG2 * (first + second) / 2, rel=1e-5)
    assert metrics == pytest.approx(
        {"token_accuracy": right, "text_token_accuracy": text_right, "padding_share": padding}
    )


def test_nothing_is_measured_on_a_row_that_was_cut():
    loss, metrics = denoise("all", whole=(True, False))
    assert loss == pytest.approx(2 * LOG2 * 15 / 6, rel=1e-5)
    assert metrics["padding_share"] == pytest.approx(3 / 6)
    assert denoise("all", whole=(False, False))[0] == 0


def test_what_is_hidden_does_not_depend_on_what_is_learned():
    canvases = []
    for kind in ("all", "one", "none"):
        made = module(supervise_padding=kind)
        made.compute_loss(batch())
        canvases.append(made.policy.calls[0])
    assert torch.equal(canvases[0], canvases[1]) and torch.equal(canvases[0], canvases[2])


def test_another_choice_is_refused():
    with pytest.raises(ConfigError, match=r"algo.supervise_padding=two: expected one of all, one, none"):
        module(supervise_padding="two")


def test_traces_that_do_not_fit_are_not_cut_in_silence(tmp_path):
    policy = tiny_policy()
    fine, data = sft_fit(policy)
    data.source = source(steps=(1, 3), val_size=12)
    data.encoder = partial(data.encoder, on_long="drop")
    data.length = 10
    trained = trainer(tmp_path)
    trained.fit(fine, datamodule=data)
    fits = [prompt for prompt in data.val_problems if len(prompt.response) < 10]
    assert 0 < len(fits) < 12 and all(len(prompt.response) < 10 for prompt in data._train)
    assert f"validation loss: of {len(fits)} of 12 problems" in data.describe()
    assert 0 < float(trained.callback_metrics["val/padding_share"]) < 1
    assert float(trained.callback_metrics["train/padding_share"]) > 0
