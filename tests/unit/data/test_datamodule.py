from types import SimpleNamespace

import pytest
from fakes import compose, datamodule, rollout_fit, sft_fit, source, tiny_policy, trainer

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.account import Account
from igpo_lightning.data.cache import Fate
from igpo_lightning.data.contamination import Decontaminated


def test_what_was_left_out_is_told(tmp_path):
    data = datamodule(compose(tmp_path, "algo=sft"))
    rows = list(data.source.train[:3])
    data.account = Account({}, Decontaminated(rows), rows, [Fate(True)] * 3)
    assert data.describe() == "3 training problems"
    fates = [Fate(False, "trace too long"), Fate(True), Fate(True)]
    data.account = Account({"malformed": 1, "trace too long": 1201}, Decontaminated(rows), rows, fates)
    assert data.describe() == "2 training problems (left out: 1 malformed, 1,202 trace too long)"


@pytest.mark.parametrize("override, told", [
    ("data.max_prompt=2", "24 prompt too long (data.max_prompt=2)"),
    ("sampler.length=4", "24 trace too long (sampler.length=4)"),
])  # fmt: skip
def test_where_no_row_is_left_the_setting_that_did_it_is_named(tmp_path, override, told):
    options = ["algo=sft", "algo.batch_size=8", "data.on_long=drop", "sampler.block_length=4", override]
    data = datamodule(compose(tmp_path, *options))
    data.trainer = SimpleNamespace(lightning_module=SimpleNamespace(policy=tiny_policy()))
    with pytest.raises(ConfigError) as caught:
        data.setup("fit")
    assert str(caught.value) == f"data.source: no training row is left; left out: {told}"


def test_a_sample_stands_for_the_whole_set(tmp_path):
    """Enough for a dry run: sizes are estimated, the schedule is that of the whole set, and this is said."""
    lenient = [f"data.on_{what}=drop" for what in ("long", "missing_answer", "mask_token")]
    settings = ["algo=sft", "algo.batch_size=8"]
    whole, part = (datamodule(compose(tmp_path, *settings, *lenient)) for _ in range(2))
    strict = datamodule(compose(tmp_path, *settings))  # a dry run refuses the row that a run would refuse
    part.sample = strict.sample = 6
    for data in (whole, part, strict):
        data.trainer = SimpleNamespace(
            lightning_module=SimpleNamespace(policy=tiny_policy()),
            world_size=1, global_rank=0, global_step=0, is_global_zero=False,
        )  # fmt: skip
        data.setup("fit")
    assert len(part._train) == len(whole._train) > 6 and part.updates == whole.updates
    size = len(whole.source.train)
    assert {part._train[i].problem.id for i in range(size)} == {
        whole.source.train[i * size // 6].id for i in range(6)
    }
    assert strict.describe() == whole.describe() and list(strict._train) == list(whole._train)
    assert part.describe() == f"about {size:,} training problems: estimated from 6 of them"


def test_without_validation_problems_there_is_no_validation(tmp_path, recwarn):
    module, data = rollout_fit(tiny_policy(), rollouts=1)
    data.source = source(val_size=0)
    fitted = trainer(tmp_path)
    fitted.fit(module, datamodule=data)
    assert fitted.global_step == 2 and "val/accuracy" not in fitted.callback_metrics
    assert not [w for w in recwarn if "is zero" in str(w.message)]


def test_tokens_that_fine_tuning_has_seen(tmp_path):
    """Of each row its prompt, its trace and the end; counted again from the start when a run goes on."""
    module, data = sft_fit(tiny_policy(), steps=8)
    run = trainer(tmp_path)
    run.fit(module, datamodule=data)
    draws = [data._draws[update] for update in range(8)]
    tokens = [sum(len(data._train[i].ids) + len(data._train[i].response) + 1 for i in rows) for rows in draws]
    assert data.tokens_of(7) == (tokens[7], sum(tokens))
    assert run.callback_metrics["train/num_tokens"] == sum(tokens)
    assert run.callback_metrics["train/epoch"] == pytest.approx(8 / 6)  # updates of 4 rows out of 24
    data.setup("fit")
    assert data.tokens_of(2) == (tokens[2], sum(tokens[:3]))
