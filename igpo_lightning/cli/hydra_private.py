"""The one name that is used of Hydra beyond its public interface, with the reason.

``get_args_parser``: ``hydra.main`` reads ``sys.argv`` with it. A line has to be read in the same way before
Hydra runs, and no public function does. Hydra is pinned to 1.3 (``pyproject.toml``); of a new minor release,
see whether this is still so.
"""

from hydra._internal.utils import get_args_parser

__all__ = ["get_args_parser"]
