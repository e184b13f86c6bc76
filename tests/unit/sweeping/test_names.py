from __future__ import annotations

import hashlib

from igpo_lightning.sweeping.resolvers import job_name, key_of, own_overrides


def digits(*overrides: str) -> str:
    return hashlib.sha256("\n".join(overrides).encode()).hexdigest()[:6]


def test_a_name_tells_what_is_swept_and_hashes_the_rest():
    overrides = ["seed=1", "algo=igpo", "algo.inpaint.ratio=[0.2,0.4]"]
    expected = digits("algo.inpaint.ratio=[0.2,0.4]", "algo=igpo", "seed=1")
    assert job_name(overrides, ["algo"]) == f"ratio-0.2-0.4_seed-1_{expected}"


def test_a_name_does_not_depend_on_order_nor_on_how_the_sweep_is_run():
    one = job_name(["algo=igpo", "seed=1", "sweep=joblib", "sweep_dir=/tmp/x", "resume=auto"])
    assert one == job_name(["seed=1", "algo=igpo"])


def test_a_fixed_override_changes_the_name():
    assert job_name(["seed=1", "algo.lr=1"], ["algo.lr"]) != job_name(["seed=1", "algo.lr=2"], ["algo.lr"])


def test_a_name_needs_no_quotes():
    name = job_name(
        ["+model.lora={rank: 8, alpha: 16}", "algo/logprobs@x=mean_field", "model.path='/a b/ö=1'"]
    )
    assert name.startswith("lora-rank-8-alpha-16_logprobs-mean_field_path--ab-1_")


def test_a_long_name_is_cut_but_keeps_its_hash():
    overrides = [f"a{i}={'x' * 30}" for i in range(8)]
    name = job_name(overrides)
    assert len(name) == 106
    assert name.endswith(digits(*overrides))


def test_with_nothing_swept_the_hash_is_left():
    assert job_name(["seed=1"], ["seed"]) == digits("seed=1")


def test_keys():
    assert [key_of(text) for text in ("a.b=1", "+a=x=y", "~a", "algo/logprobs@p=z")] == [
        "a.b", "a", "a", "algo/logprobs",
    ]  # fmt: skip
    assert own_overrides(["sweep=ray", "seed=1", "sweep_dir=x", "resume=auto"]) == ["seed=1"]
