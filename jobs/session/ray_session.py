"""Starting Ray for a job: a local one by default, or the cluster that the recipe names."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from actors.storage import shared_environment
from schemas.recipe import Recipe


@contextmanager
def ray_session(recipe: Recipe) -> Iterator[None]:
    """Ray for the time of a job; a session that is already there is used and left running."""
    # One thread a process, and no network, also in the workers that inherit this environment.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    import ray.data

    owned = not ray.is_initialized()
    is_local = recipe.address == "local"
    if owned:
        ray.init(
            address=recipe.address,
            num_cpus=recipe.num_cpus if is_local else None,
            include_dashboard=False if is_local else None,
            logging_level=logging.WARNING,
            log_to_driver=False,
            # A local Ray inherits the environment; workers elsewhere are told, without credentials.
            runtime_env=None if is_local else {"env_vars": shared_environment()},
        )
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = os.isatty(2)
    for chatty in ("ray.data", "ray.train", "ray.tune"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        yield
    finally:
        if owned:
            ray.shutdown()
