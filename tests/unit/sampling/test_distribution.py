import math

import pytest
import torch

from igpo_lightning.sampling.distribution import Distribution
from igpo_lightning.seeding import torch_rng


def random_logits(rows, vocabulary, scale=3.0):
    logits = scale * torch.randn(rows, vocabulary, generator=torch_rng("logits"))
    logits[:, 5] = -torch.inf
    return logits


@pytest.mark.parametrize("vocabulary", [8, 511, 512, 513, 1024, 1700])
def test_numbers_are_those_of_a_float64_softmax(vocabulary):
    logits = random_logits(40, vocabulary)
    step, exact = Distribution(logits.clone()), logits.double().log_softmax(-1)
    ids = torch.randint(6, vocabulary, (40,), generator=torch_rng("ids"))
    assert torch.allclose(step.log_probability(ids), exact.gather(-1, ids[:, None])[:, 0], atol=1e-6)
    assert torch.allclose(step.entropy(), torch.special.entr(exact.exp()).sum(-1), atol=1e-5)
    two = exact.exp().topk(2).values
    assert torch.allclose(step.margin(), two[:, 0] - two[:, 1], atol=1e-6)
    assert torch.equal(step.draw(0.0, torch.zeros(40, dtype=torch.float64)), logits.argmax(-1))


@pytest.mark.parametrize("vocabulary", [7, 512, 1300])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.7])
def test_a_draw_inverts_the_distribution_function(vocabulary, temperature):
    logits = random_logits(60, vocabulary)
    uniform = torch.rand(60, dtype=torch.float64, generator=torch_rng("uniform"))
    cdf = (logits.double() / temperature).softmax(-1).cumsum(-1)
    expected = torch.searchsorted(cdf, uniform[:, None], right=True)[:, 0]
    assert torch.equal(Distribution(logits).draw(temperature, uniform), expected)


def test_what_has_no_probability_never_comes():
    """Also at the very end of the distribution function, and behind its last part."""
    almost_one = torch.full((1,), 1.0 - 2.0**-53, dtype=torch.float64)
    for vocabulary in (9, 600, 1025):
        logits = torch.zeros(1, vocabulary)
        logits[:, -3:] = -torch.inf
        assert Distribution(logits).draw(1.0, almost_one).item() == vocabulary - 4
        logits[:, 0] = -torch.inf
        assert Distribution(logits).draw(1.0, torch.zeros(1, dtype=torch.float64)).item() == 1


def test_saturated_confidences_do_not_tie():
    """float32 has 1 - 1e-9 and 1 - 1e-12 both as 1: the surer would not be known."""
    logits = torch.zeros(2, 4)
    logits[0, 0], logits[1, 0] = 20.0, 30.0
    tokens = torch.zeros(2, dtype=torch.long)
    first, second = Distribution(logits).log_probability(tokens).tolist()
    assert logits.log_softmax(-1)[:, 0].tolist() == [0.0, 0.0] or first < second
    assert first == pytest.approx(-3 * math.exp(-20), rel=1e-5)
    assert second == pytest.approx(-3 * math.exp(-30), rel=1e-2)


def test_draws_have_the_right_distribution_over_two_parts():
    """Chi-square over ten tokens that stand in different parts of the sums."""
    logits = torch.full((1, 1100), -torch.inf)
    places = torch.tensor([0, 3, 510, 511, 512, 513, 900, 1023, 1024, 1099])
    logits[0, places] = torch.linspace(-1, 1, 10)
    n = 20_000
    uniform = torch.rand(n, dtype=torch.float64, generator=torch_rng("draws"))
    drawn = Distribution(logits.expand(n, -1)).draw(0.8, uniform)
    counts = torch.bincount(drawn, minlength=1100).double()
    assert counts[places].sum() == n
    expected = n * (logits[0].double() / 0.8).softmax(-1)[places]
    assert float(((counts[places] - expected) ** 2 / expected).sum()) < 33.7  # 9 degrees: p = 0.0001
