"""Candidates drawn again from their rows alone: for an auditor, and to see that rows tell enough.

Of a recipe nothing is needed. The generator must lie at a given path, and be the one that the rows
name; what it is called with is what they say. Left out: what code of somebody's own drew, which
has no weights here, and failures that say nothing of a candidate. Bytes are equal where libraries,
device and number of threads are; the manifest says the first two (`made_with`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from actors.drawing import TEXT
from actors.generators import AnswerGenerator, DiffusersGenerator, load_generator
from actors.storage import local_model
from actors.weights import model_weights, pinned_commit
from schemas.recipe import Answering, GeneratorSpec
from schemas.rows import Candidate, Drawn, Group


class RedrawError(ValueError):
    """A candidate that cannot be drawn again here."""


def generator_of(path: str, drawn: Drawn) -> DiffusersGenerator | AnswerGenerator:
    """The generator at `path`, as it was when it drew a candidate.

    Args:
        path: a directory, or the hub name that the row has a commit of.
        drawn: of the candidate.

    Raises:
        RedrawError: another model is there, or another version of ours around it.
    """
    weights = model_weights(path, pinned_commit(drawn.weights))
    if weights is None or weights != drawn.weights:
        raise RedrawError(f"{path}: is {weights}, and the candidate was drawn by {drawn.weights}")
    answering = Answering() if drawn.encoding == TEXT else None
    spec = GeneratorSpec(
        path=path, precision=drawn.precision, answering=answering, variant=_variant(drawn)
    )
    generator = load_generator(local_model(path), f"{spec.name}@0", spec, weights)
    engine = generator.drawing.engine
    if engine != drawn.engine:
        raise RedrawError(
            f"{path}: draws by {engine}, and the candidate was drawn by {drawn.engine}: "
            "draw it again with the factory that drew it"
        )
    return generator


def drawn_again(
    generator: DiffusersGenerator | AnswerGenerator, group: Group, batch_size: int
) -> Iterator[tuple[Candidate, Candidate]]:
    """Each of a row's candidates that the generator drew, and the same drawn again.

    Args:
        generator: as `generator_of` loads it.
        group: the row, with the prompt's own media where it has such.
        batch_size: most candidates at a time; where rows say that more were computed together, the
            generator fills a batch up, since sums round by its size.
    """
    batches: dict[Drawn, list[Candidate]] = {}
    for one in group.candidates:
        if _is_of(generator, one) and one.drawn is not None:
            batches.setdefault(replace(one.drawn, key=None), []).append(one)
    for drawn, candidates in batches.items():
        for start in range(0, len(candidates), batch_size):
            few = candidates[start : start + batch_size]
            seeds = [one.seed for one in few]
            yield from zip(few, generator.draw_from(drawn, group.prompt, seeds)(), strict=True)


def _is_of(generator: DiffusersGenerator | AnswerGenerator, candidate: Candidate) -> bool:
    drawn = candidate.drawn
    if drawn is None or candidate.is_attempt:
        return False
    drawing = generator.drawing
    ours = (drawing.weights, drawing.engine, drawing.spec.precision, drawing.spec.variant)
    return (drawn.weights, drawn.engine, drawn.precision, _variant(drawn)) == ours


def _variant(drawn: Drawn) -> str | None:
    """Of the weights that drew it."""
    variant: str | None = json.loads(drawn.arguments).get("variant")
    return variant


def is_the_same(candidate: Candidate, again: Candidate) -> bool:
    """Whether two are one candidate to the last byte, whatever they are called."""
    return _known_by(candidate) == _known_by(again)


def _known_by(candidate: Candidate) -> tuple[object, ...]:
    digest = None if candidate.measures is None else candidate.measures.digest
    key = None if candidate.drawn is None else candidate.drawn.key
    if candidate.error is not None:  # what was cut of an answer was not always kept
        return key, None, None, candidate.error
    return key, digest, candidate.answer, None


def redraw(path: str, groups: Sequence[Group], batch_size: int) -> tuple[int, int]:
    """How many candidates of some rows come out the same to the last byte, and how many were drawn
    again. Their generator is loaded once.

    Raises:
        RedrawError: none can be drawn again, or the generator at `path` is another.
    """
    known = (one.drawn for group in groups for one in group.candidates)
    first = next((one for one in known if one is not None and one.weights is not None), None)
    if first is None:
        raise RedrawError("no candidate says what it was drawn from, or by which weights")
    generator = generator_of(path, first)
    pairs = [pair for group in groups for pair in drawn_again(generator, group, batch_size)]
    return sum(is_the_same(*pair) for pair in pairs), len(pairs)
