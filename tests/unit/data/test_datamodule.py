from fakes import compose
from hydra.utils import instantiate


def test_what_was_left_out_is_told(tmp_path):
    data = instantiate(compose(tmp_path, "algo=sft").algo.datamodule)
    data._train = list(data.source.train[:3])
    assert data.describe() == "3 training problems"
    data.source.dropped = {"malformed": 1, "trace too long": 2}
    data.dropped = {"trace too long": 1200}
    assert data.describe() == "3 training problems (left out: 1 malformed, 1,202 trace too long)"
