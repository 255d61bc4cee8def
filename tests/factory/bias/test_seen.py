"""Columns of observations: whichever worker was first, and however many fit in a block."""

import numpy as np
import pytest

from factory.bias import seen as columns
from factory.bias.estimate import bias_profile
from factory.bias.observation import Observation
from factory.bias.seen import Packed, Seen, as_seen
from factory.ranking.matchups import matchups
from tests.factory.simulated import duel


def observation(rng, number):
    """Two or three candidates by two generators, before two judges, where the second is harsh."""
    ids = [f"{number} {at}" for at in range(2 + number % 2)]
    looks = {
        name: {"brightness": rng.normal(), "length": rng.normal()} for name in ids[: number % 4]
    }
    scores = {name: rng.normal(3 + looks.get(name, {}).get("brightness", 0)) for name in ids}
    duels = [duel(ids[i], ids[1 - i], rng.normal()) for i in range(2)]
    makers = {name: f"g@{at % 2}" for at, name in enumerate(ids)}
    by = {"kind@1": scores, "harsh@1": {name: rng.normal() for name in ids}}
    tags = {"region": ("north", "south")[number % 2]} if number % 3 else {}
    return Observation(f"p{number}", scores, tuple(matchups(duels)), 1, looks, tags, makers, by)


def test_pieces_in_any_order_and_blocks_of_any_size_give_the_same_profile(monkeypatch):
    rng = np.random.default_rng(0)
    every = [observation(rng, number) for number in range(80)]
    whole = bias_profile(every, num_resamples=40)
    assert {one.kind for one in whole.figures} == {
        "position", "association", "slice", "self-preference"
    }  # fmt: skip
    monkeypatch.setattr(columns, "GROUPS_AT_ONCE", 7)
    pieces = [Packed.of(every[at::3]) for at in (2, 0, 1)]
    again = bias_profile(Seen(pieces), num_resamples=40)
    assert again.sds == pytest.approx(whole.sds)
    for one, other in zip(again.figures, whole.figures, strict=True):
        assert (one.kind, one.name, one.measure) == (other.kind, other.name, other.measure)
        assert (one.num, one.num_invalid) == (other.num, other.num_invalid)
        for edge in ("value", "low", "high"):
            before = getattr(other.estimate, edge)
            assert getattr(one.estimate, edge) == pytest.approx(before, nan_ok=True)
        assert one.p_value == pytest.approx(other.p_value, nan_ok=True)


def test_every_two_scores_of_a_group_are_compared_once():
    scores = [{"a": 1.0, "b": 2.0, "c": 4.0}, {"d": 8.0}, {"e": 16.0, "f": 32.0}]
    seen = as_seen(Observation(str(at), one, (), 0, {}) for at, one in enumerate(scores))
    (block,) = seen.blocks()
    first, second = block.scored_pairs()
    found = sorted(zip(block.scores[first], block.scores[second], strict=True))
    assert found == [(1, 2), (1, 4), (2, 4), (16, 32)]
    assert not block.is_seen.any()


def test_an_attribute_that_nobody_knows_is_an_error():
    with pytest.raises(KeyError, match="glamour"):
        as_seen([Observation("p", {}, (), 0, {"a": {"glamour": 1.0}})])
