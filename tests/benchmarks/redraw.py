"""Whether candidates can be drawn again from their rows alone, in other company.

    python -m tests.benchmarks.redraw [--num 100] [--batch 3]

The sandbox's generator draws candidates, four a prompt and together. They are written as rows and
read back, and its directory and these rows are then all that there is: drawn again `--batch` at a
time, each is held against the row by the digest of the stored bytes and by its key. The row says
how many were computed together, by which sums round; a smaller batch is filled up to that. One
thread computes, as in a worker: with more, libraries round by how they share the work.

redrawn: candidates drawn again.
redrawn_equal: those that are the same to the last byte.
"""

from __future__ import annotations

import argparse
import json
from itertools import islice

from actors.group_workers import one_thread_per_worker
from actors.redraw import redraw
from actors.refs import GeneratorRef
from actors.weights import model_weights
from factory.candidates import candidate_seeds
from factory.prompts import read_prompts
from schemas.arrow import groups_from_table, groups_to_table
from schemas.recipe_file import load
from schemas.rows import Group

_TOGETHER = 4


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--num", type=int, default=100)
    parser.add_argument("--batch", type=int, default=3)
    given = parser.parse_args()
    one_thread_per_worker()
    path = load("jobs/recipes/laptop.yaml").generator.path
    equal, num = redraw(path, rows(given.num // _TOGETHER), given.batch)
    print(json.dumps({"redrawn_equal": equal, "redrawn": num}))


def rows(num: int) -> list[Group]:
    """The first prompts of the laptop's recipe with what is drawn for them, as rows hold it."""
    recipe = load("jobs/recipes/laptop.yaml")
    spec = recipe.generator
    generator = GeneratorRef(spec.path, "generator@0", spec, model_weights(spec.path)).load()
    groups = []
    for prompt in islice(read_prompts(recipe.produce.prompts), num):
        seeds = candidate_seeds(prompt, spec.name, recipe.seed, _TOGETHER)
        groups.append(Group(prompt, tuple(generator.generate(prompt, seeds))))
    return groups_from_table(groups_to_table(groups))


if __name__ == "__main__":
    main()
