"""Code that comes with a checkpoint: run only where the recipe says so, and never unsaid.

Every loader passes `trust_remote_code`, off or on: where nothing is passed, transformers asks
whoever sits at the terminal. Left out: hub names that have not been fetched, of which transformers
itself says that they bring code.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

_LOGGER = logging.getLogger("preference_factory.models")


class UntrustedCodeError(ValueError):
    """A checkpoint that cannot be loaded without its own code, which nobody has trusted."""


def trusted(path: str, is_trusted: bool) -> bool:
    """What a loader is to pass as `trust_remote_code`; says so where it is on.

    Args:
        path: of the checkpoint that is about to be loaded.
        is_trusted: what the recipe says of this checkpoint.

    Raises:
        UntrustedCodeError: it is off, and transformers has no code of its own for this model.
    """
    if is_trusted:
        _LOGGER.warning(
            "%s: the code that comes with this checkpoint is run, as trust_remote_code says", path
        )
    elif _needs_code(path):
        raise UntrustedCodeError(
            f"{path}: this checkpoint can only be loaded by the code that comes with it (auto_map "
            "in its config.json), which is not run. Read that code, and where you trust it set "
            "trust_remote_code: true beside this path in the recipe"
        )
    return is_trusted


def _needs_code(path: str) -> bool:
    try:
        config = json.loads((Path(path) / "config.json").read_bytes())
    except (OSError, ValueError):
        return False
    if not isinstance(config, dict) or "auto_map" not in config:
        return False
    from transformers import CONFIG_MAPPING

    return config.get("model_type") not in CONFIG_MAPPING
