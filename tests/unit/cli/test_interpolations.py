"""Variables, resolvers and keys that are not there; missing values."""

from __future__ import annotations

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.line import check_command_line


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "seed=${oc.env:IGPO_UNSET}",
            "seed=${oc.env:IGPO_UNSET}: the environment variable IGPO_UNSET",
        ),
        ("name=a/${oc.env:IGPO_UNSET}", "name=a/${oc.env:IGPO_UNSET}: the environment variable IGPO_UNSET"),
        ('seed="${oc.decode:${oc.env:IGPO_UNSET}}"', "the environment variable IGPO_UNSET is not set"),
        ("seed=${env:HOME}", "there is no resolver 'env'; did you mean oc.env?"),
        ("seed=${oc.evn:HOME}", "there is no resolver 'oc.evn'; did you mean oc.env"),
        ("seed=${nowhere:3}", "there is no resolver 'nowhere'"),
        ("seed=${algo.nowhere}", "seed=${algo.nowhere}: Interpolation key 'algo.nowhere' not found"),
        ("hydra.run.dir=x/${oc.env:IGPO_UNSET}", "hydra.run.dir=x/${oc.env:IGPO_UNSET}: the environment"),
        ("hydra.run.dir=/etc/passwd/x", "hydra.run.dir=/etc/passwd/x: /etc/passwd is no folder"),
    ],
)
def test_what_is_not_there_is_named_with_its_key(conf_tree, override, message):
    with pytest.raises(ConfigError) as caught:
        check_command_line(conf_tree, "train", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "override",
    ["name=${oc.env:IGPO_UNSET,3}", "name=${now:%Y}", "name=${hydra:job.name}",
     "output_dir=${hydra:run.dir}/x",
     "seed=${algo.num_generations}", "name=${hydra:runtime.output_dir}"],
)  # fmt: skip
def test_what_a_run_will_know_passes(conf_tree, override):
    check_command_line(conf_tree, "train", [override])
