"""Which checkpoints of a recipe may bring code of their own, for plans, logs and manifests.

Each section that names a checkpoint says so for that one (`trust_remote_code`); what a round makes
of it by training carries the same code and is trusted with it.
"""

from __future__ import annotations

from typing import Any

from schemas.recipe import GeneratorSpec, JudgeSpec, Recipe


def trusted_checkpoints(recipe: Recipe) -> list[tuple[str, str]]:
    """The recipe's keys that are on, each with the checkpoint that it is about."""
    specs: dict[str, GeneratorSpec | JudgeSpec | None] = {
        "generator": recipe.generator,
        "judge": recipe.judge,
        "evaluate.heldout_judge": recipe.evaluate.heldout_judge,
    }
    specs |= {f"produce.also.{at}": one for at, one in enumerate(recipe.produce.also)}
    found = [
        (name, one.path) for name, one in specs.items() if one is not None and one.trust_remote_code
    ]
    local = recipe.localise
    if local is not None and local.parent is not None and local.trust_remote_code:
        found.append(("localise", local.parent))
    return [(f"{name}.trust_remote_code", path) for name, path in found]


def code_settings(spec: GeneratorSpec | JudgeSpec, prefix: str = "") -> dict[str, Any]:
    """What a manifest says of it: nothing where it is off, so that older ones still hold."""
    return {f"{prefix}trust_remote_code": True} if spec.trust_remote_code else {}
