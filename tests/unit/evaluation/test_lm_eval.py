"""The model of lm-evaluation-harness; skipped where that is not installed."""

from types import SimpleNamespace

import pytest
import torch
from fakes import source, tiny_policy

pytest.importorskip("lm_eval")

from lm_eval.api.registry import get_model

from igpo_lightning.checks import ConfigError
from igpo_lightning.evaluation import lm_eval as plugin
from igpo_lightning.evaluation.decoding import complete
from igpo_lightning.evaluation.likelihood import log_likelihood
from igpo_lightning.sampling import BlockwiseSampler
from igpo_lightning.seeding import derive
from igpo_lightning.types import Problem, Prompt

GREEDY = {"until": [], "do_sample": False, "temperature": 0.0}
CONTEXTS = [p.prompt for p in source().train[:5]]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_policy().save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def model(path):
    plugin.register()
    arguments = f"path={path},length=16,block_length=8,steps=4,mc_samples=6"
    return get_model("igpo_lightning").create_from_arg_string(
        arguments, {"batch_size": "2", "device": "cuda:0"}
    )


def asked(*arguments):
    return [SimpleNamespace(args=args) for args in arguments]


def test_completions_are_those_of_the_sampler(model):
    texts = model.generate_until(asked(*[(c, GREEDY) for c in CONTEXTS]), disable_tqdm=True)
    prompts = [Prompt(Problem("", "", "", ""), tuple(model.tok_encode(c))) for c in CONTEXTS]
    alone = [complete(model.policy, BlockwiseSampler(16, 8, 4), [p], [0]).texts[0] for p in prompts]
    assert texts == alone and any(texts)


def test_stop_strings_and_lengths_cut_the_text(model):
    [whole] = model.generate_until(asked((CONTEXTS[0], GREEDY)), disable_tqdm=True)
    word = whole.split()[2]
    cut, short = model.generate_until(
        asked((CONTEXTS[0], {**GREEDY, "until": [word]}), (CONTEXTS[0], {**GREEDY, "max_gen_toks": 2})),
        disable_tqdm=True,
    )
    assert cut == whole[: whole.index(word)] and short.split() == whole.split()[:2]


def test_a_context_asked_again_is_another_sample(model):
    warm = {"until": [], "do_sample": True, "temperature": 1.0}
    twice = model.generate_until(asked((CONTEXTS[0], warm), (CONTEXTS[0], warm)), disable_tqdm=True)
    assert twice[0] != twice[1]
    assert model.generate_until(asked((CONTEXTS[0], warm)), disable_tqdm=True) == twice[:1]


def test_likelihoods(model):
    context, continuation = "How many", " 3 4"
    [(nats, greedy)] = model.loglikelihood(asked((context, continuation)), disable_tqdm=True)
    ids = model.tok_encode(context), model.tok_encode(context + continuation)[2:]
    seed = derive(0, "lm_eval", context)
    assert nats == pytest.approx(log_likelihood(model.policy, *ids, samples=6, batch_size=2, seed=seed))
    assert greedy is False


@pytest.mark.parametrize("settings, message", [
    ({**GREEDY, "num_beams": 2}, "gen_kwargs: num_beams not supported"),
    ({"do_sample": True, "temperature": 1.0, "top_p": 0.9}, "gen_kwargs: top_p not supported"),
])  # fmt: skip
def test_settings_without_a_meaning(model, settings, message):
    with pytest.raises(ConfigError, match=message):
        model.generate_until(asked((CONTEXTS[0], settings)))


def test_what_is_not_supported(model, path, monkeypatch):
    with pytest.raises(ConfigError, match="loglikelihood_rolling"):
        model.loglikelihood_rolling(asked(("x",)))
    with pytest.raises(ConfigError, match="has no chat template; omit --apply_chat_template"):
        model.apply_chat_template([{"role": "user", "content": "x"}])
    with pytest.raises(ConfigError, match="batch_size=auto"):
        plugin.DiffusionLM(path, batch_size="auto")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="runs in one process"):
        plugin.DiffusionLM(path)


def test_the_chat_template_is_the_tokenizers(model, monkeypatch):
    template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    template += "{% if add_generation_prompt %}[a]{% endif %}"
    monkeypatch.setattr(model.tokenizer, "chat_template", template)
    history = [{"role": "user", "content": "hi"}]
    assert model.apply_chat_template(history) == "[user]hi[a]"
    assert model.chat_template(True) == template
    assert torch.device("cpu") == model.device
