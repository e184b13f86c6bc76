from fakes import compose, rollout_fit, tiny_policy, trainer
from hydra.utils import instantiate


def test_what_was_left_out_is_told(tmp_path):
    data = instantiate(compose(tmp_path, "algo=sft").algo.datamodule)
    data._train = list(data.source.train[:3])
    assert data.describe() == "3 training problems"
    data.source.dropped = {"malformed": 1, "trace too long": 2}
    data.dropped = {"trace too long": 1200}
    assert data.describe() == "3 training problems (left out: 1 malformed, 1,202 trace too long)"


def test_without_validation_problems_there_is_no_validation(tmp_path, recwarn):
    module, data = rollout_fit(tiny_policy(), windows=1)
    data.val_size = 0
    fitted = trainer(tmp_path)
    fitted.fit(module, datamodule=data)
    assert fitted.global_step == 2 and "val/accuracy" not in fitted.callback_metrics
    assert not [w for w in recwarn if "is zero" in str(w.message)]
