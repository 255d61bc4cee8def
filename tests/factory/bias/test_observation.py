import numpy as np
import pytest

from factory.bias.observation import measure_media, observe, observe_label
from factory.media.pictures import ATTRIBUTES, encode_png
from factory.ranking.matchups import matchup
from schemas.rows import Candidate, Group, Label, Media, Prompt
from tests.factory.simulated import duel, score, unreadable

PROMPT = Prompt.of("a cross")


def grey(level):
    pixels = np.full((8, 8, 3), level, dtype=np.uint8)
    return Media(encode_png(pixels), 8, 8)


BROKEN = Media(b"not a picture", 8, 8)


def test_a_group_is_reduced_to_numbers():
    candidates = (
        Candidate("a", "g@1", 0, grey(51)),
        Candidate("b", "g@1", 1, grey(204)),
        Candidate("c", "g@1", 2, BROKEN),
        Candidate("d", "g@1", 3, error="out of memory"),
    )
    scores = (score("a", 3.0), score("b", 4.0), score("c", float("nan"), "broken"))
    duels = (duel("a", "b", 1), duel("b", "a", -1), duel("a", "c", 1), unreadable("c", "a"))
    found = observe(Group(PROMPT, candidates, scores, duels))
    assert found.prompt_id == PROMPT.prompt_id
    assert found.scores == {"a": 3.0, "b": 4.0}
    assert [(one.first_id, one.second_id) for one in found.matchups] == [("a", "b")]
    assert found.num_unreadable == 1
    assert set(found.attributes) == {"a", "b"}
    assert found.attributes["a"]["brightness"] == pytest.approx(0.2)
    assert set(found.attributes["a"]) == {*ATTRIBUTES, "text"}


def test_broken_media_has_no_attributes():
    assert measure_media(BROKEN) == {}


def test_a_pairwise_label_keeps_its_order_and_the_judge_s_view():
    met = matchup([duel("0", "1", 1), duel("1", "0", -1)], "0", "1")
    label = Label("l", PROMPT, "ann", grey(0), grey(255), "second")
    found = observe_label(label, met)
    assert (found.preference, found.matchup) == ("second", met)
    assert (found.first["brightness"], found.second["brightness"]) == (0.0, 1.0)


def test_a_pointwise_label_compares_nothing():
    assert observe_label(Label("l", PROMPT, "ann", grey(0), points=4)) is None
