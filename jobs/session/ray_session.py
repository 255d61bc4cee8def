"""Ray for a job: a local one by default, or the cluster that the recipe names."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.session.machines import check_root_is_shared, told_to_workers
from jobs.session.ray_start import join, patiently
from schemas.recipe import Recipe


@contextmanager
def ray_session(recipe: Recipe) -> Iterator[None]:
    """Ray for the time of a job; a session that is already there is used and left running.

    Raises:
        RayStartError: the machine is too slow for Ray, no cluster is where the recipe says, or its
            machines do not see the recipe's root.
    """
    # One thread a process, and no network, also in the workers that inherit this environment.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    owned = not ray.is_initialized()
    if owned and recipe.address == "local":
        patiently(lambda: _start(recipe.num_cpus))
    elif owned:
        told = told_to_workers()
        join(recipe.address, lambda: _join(recipe.address, told))
        try:
            check_root_is_shared(recipe)
        except BaseException:
            ray.shutdown()
            raise
    import ray.data  # a second or more, in which the workers that Ray starts ahead come up

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


def _start(num_cpus: int) -> None:
    import ray

    ray.shutdown()  # what an earlier try left of itself in this process
    ray.init(
        address="local",
        num_cpus=num_cpus,
        include_dashboard=False,
        logging_level=logging.WARNING,
        log_to_driver=False,
    )


def _join(address: str, told: dict[str, str]) -> None:
    import ray

    ray.init(
        address=address,
        logging_level=logging.WARNING,
        log_to_driver=False,
        # A local Ray inherits the environment; workers elsewhere are told, without credentials.
        runtime_env={"env_vars": told} if told else None,
    )
