"""Everything that is used of Hydra beyond its public interface, in one place, with the reason.

Hydra is pinned to 1.3 (``pyproject.toml``); a new minor release means: read this file again.

* ``get_args_parser``: ``hydra.main`` reads ``sys.argv`` with it. A line has to be read in the same way
  before Hydra runs, and there is no public parser.
* ``Hydra.create_main_hydra2`` and ``create_config_search_path``: the Compose API has no
  ``--config-dir``, a second folder that is searched first.
* ``OverridesParser`` and the types of what it gives: the grammar of overrides. Hydra documents them for
  authors of sweepers and launchers, but as no stable interface.
* ``ConfigLoader``'s ``list_groups`` and ``get_group_options``, as ``GlobalHydra`` hands it out: the names
  of groups and options. Public in Hydra's plugins, not in the Compose API.
"""

from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    OverrideType,
    Quote,
    QuotedString,
)

__all__ = [
    "ChoiceSweep",
    "ConfigLoader",
    "Hydra",
    "IntervalSweep",
    "Override",
    "OverrideType",
    "OverridesParser",
    "Quote",
    "QuotedString",
    "create_config_search_path",
    "get_args_parser",
]
