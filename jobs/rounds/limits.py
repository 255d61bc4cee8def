"""What a loop may cost, and what it has cost so far: hours and GPU hours of finished stages.

The numbers come from the manifests, so they add up over every run of the loop, whoever started it.
What a killed attempt took is in none of them: nobody was left to write it down.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobs.rounds.workspace import Round
from schemas import manifest
from schemas.artifacts import loop_kinds
from schemas.recipe import Recipe


@dataclass(frozen=True)
class Spent:
    """hours: of all finished stages, one after the other.

    gpu_hours: each stage's hours times the GPUs that it reserved.
    """

    hours: float
    gpu_hours: float


def spent_in(at: Round) -> Spent:
    """What the finished stages of one round took."""
    made = [manifest.read(at.directory(kind.name)) for kind in loop_kinds()]
    figures = [one.figures for one in made if one is not None]
    return Spent(
        sum(one.get("seconds", 0.0) for one in figures) / 3600,
        sum(one.get("gpu_seconds", 0.0) for one in figures) / 3600,
    )


def spent(recipe: Recipe) -> Spent:
    """What all rounds took so far."""
    each = [spent_in(Round(recipe, number)) for number in range(1, recipe.num_rounds + 1)]
    return Spent(sum(one.hours for one in each), sum(one.gpu_hours for one in each))


def reached(recipe: Recipe) -> str | None:
    """Which limit is reached, by how much, and what to change; None while something is left."""
    limits, so_far = recipe.limits, spent(recipe)
    asked = (
        ("max_hours", "hours", so_far.hours, limits.max_hours),
        ("max_gpu_hours", "GPU hours", so_far.gpu_hours, limits.max_gpu_hours),
    )
    for key, unit, used, most in asked:
        if most is not None and used >= most:
            return f"limits.{key}: {used:.2f} of {most:g} {unit} are spent; raise it to go on"
    return None
