import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

from factory import filters
from factory.filters import (
    BrokenMedia,
    Disagree,
    Inconsistent,
    NearDuplicate,
    Quarantine,
    ThinMargin,
    judge_pair,
    objections_of,
)
from factory.media import encode_png
from factory.pairing import invalid_pair
from schemas.recipe import Objections
from schemas.rows import Candidate, Group, Media, Pair, Prompt

ALL = objections_of(Objections(min_margin=0.3, min_hash_distance=0.02))


def picture(seed, size=32):
    """Eight by eight patches of random colours."""
    cells = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return cells.repeat(size // 8, axis=0).repeat(size // 8, axis=1)


def media(pixels):
    return Media(encode_png(pixels), pixels.shape[1], pixels.shape[0])


def candidate(name, pixels):
    return Candidate(name, "generator@1", 0, media(pixels))


GOOD = Pair(
    pair_id="p",
    prompt=Prompt.of("a cross"),
    chosen=candidate("a", picture(1)),
    rejected=candidate("b", picture(2)),
    judge="judge@1",
    margin=1.0,
    margin_sd=0.3,
    score_margin=0.8,
    p_chosen=0.8,
    is_flipped=False,
    verdict="kept",
)


def side(pair, **changes):
    return replace(pair, rejected=replace(pair.rejected, **changes))


def test_a_good_pair_is_kept():
    assert [one(GOOD) for one in ALL] == [None] * len(ALL)
    assert judge_pair(GOOD, ALL) == GOOD


def test_every_objection_is_written_down_in_a_fixed_order():
    bad = replace(GOOD, margin=0.1, is_flipped=True, p_chosen=0.4)
    judged = judge_pair(replace(bad, rejected=replace(bad.chosen, candidate_id="b")), ALL)
    assert judged.verdict == "rejected"
    reasons = [one.partition(":")[0] for one in judged.objections]
    assert reasons == ["inconsistent", "thin margin", "disagreement", "near-duplicate"]
    assert all(": " in one for one in judged.objections)


def test_judging_again_replaces_the_verdict():
    rejected = judge_pair(replace(GOOD, margin=0.1), ALL)
    assert rejected.verdict == "rejected"
    assert judge_pair(replace(rejected, margin=1.0), ALL) == GOOD


def test_an_invalid_pair_stays_as_it_is():
    record = invalid_pair(Group(GOOD.prompt, ()), "no group: out of memory")
    assert judge_pair(record, ALL) is record


def test_inconsistent():
    assert Inconsistent()(GOOD) is None
    assert "order" in Inconsistent()(replace(GOOD, is_flipped=True))


@pytest.mark.parametrize(
    ("margin", "is_thin"),
    [(0.3, False), (0.299, True), (0.0, True), (-2.0, True), (math.nan, False)],
)
def test_thin_margin(margin, is_thin):
    objection = ThinMargin(0.3)(replace(GOOD, margin=margin))
    assert (objection is not None) == is_thin


@pytest.mark.parametrize(
    ("margin", "p_chosen", "score_margin", "wanted"),
    [
        (1.0, 0.8, 0.5, None),
        (1.0, 0.5, 0.0, None),
        (1.0, math.nan, math.nan, None),
        (math.nan, math.nan, -1.0, None),  # the random baseline claims nothing
        (1.0, 0.4, 0.5, "order and scores for the chosen side, duel for the rejected one"),
        (1.0, 0.6, -0.5, "order and duel for the chosen side, scores for the rejected one"),
        (1.0, 0.4, -0.5, "order for the chosen side, duel and scores for the rejected one"),
    ],
)
def test_disagree(margin, p_chosen, score_margin, wanted):
    objection = Disagree()(
        replace(GOOD, margin=margin, p_chosen=p_chosen, score_margin=score_margin)
    )
    assert objection == (None if wanted is None else f"disagreement: {wanted}")


def test_near_duplicate_is_a_share_of_the_bits():
    lighter = np.clip(picture(1).astype(int) + 1, 0, 255).astype(np.uint8)
    assert NearDuplicate(0.05)(side(GOOD, media=media(lighter))) is not None
    same = side(GOOD, media=GOOD.chosen.media)
    assert NearDuplicate(0.02)(same) == "near-duplicate: distance 0, 0.02 wanted"
    assert NearDuplicate(0.0)(same) is None
    # Unrelated pictures differ in about half of the bits, and never in all of them.
    assert NearDuplicate(0.2)(GOOD) is None
    assert NearDuplicate(1.0)(GOOD) is not None


def test_answers_are_compared_as_text():
    pair = replace(
        GOOD,
        chosen=Candidate("a", "vlm@1", 0, answer="two cats"),
        rejected=Candidate("b", "vlm@1", 0, answer="one cat"),
    )
    assert judge_pair(pair, ALL).verdict == "kept"
    same = side(pair, answer="two cats")
    assert judge_pair(same, ALL).objections == ("near-duplicate: both answers are the same",)


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"media": Media(b"not a picture", 8, 8)}, "cannot read"),
        ({"media": Media(GOOD.chosen.media.data[:60], 32, 32)}, "cannot read"),
        ({"media": media(np.zeros((16, 16, 3), dtype=np.uint8))}, "blank"),
        ({"media": None}, "no media"),
        ({"error": "out of memory"}, "out of memory"),
    ],
)
def test_broken_media_stops_what_needs_pixels(changes, detail):
    for pair, name in (
        (side(GOOD, **changes), "rejected"),
        (replace(GOOD, chosen=replace(GOOD.chosen, **changes)), "chosen"),
    ):
        judged = judge_pair(replace(pair, margin=0.0), ALL[::-1])
        assert judged.verdict == "rejected"
        assert [one.partition(":")[0] for one in judged.objections] == [
            "broken media",
            "thin margin",
        ]
        assert judged.objections[0].startswith(f"broken media: {name}: ")
        assert detail in judged.objections[0]


def test_each_side_is_decoded_once(monkeypatch):
    decoded = []
    real = filters.decode
    monkeypatch.setattr(filters, "decode", lambda data: decoded.append(data) or real(data))
    filters._pixels.cache_clear()
    judge_pair(GOOD, ALL)
    assert decoded == [GOOD.chosen.media.data, GOOD.rejected.media.data]


def test_objections_travel_and_come_from_the_recipe():
    assert pickle.loads(pickle.dumps(ALL)) == ALL
    assert (
        BrokenMedia(),
        Inconsistent(),
        ThinMargin(0.3),
        Quarantine(),
        Disagree(),
        NearDuplicate(0.02),
    ) == ALL


def test_a_verdict_that_turns_under_correction_is_quarantined():
    turned = replace(GOOD, margin=0.6, margin_before=-0.2)
    reason = "quarantine: a margin of -0.2 points before the correction of bias, 0.6 after it"
    assert Quarantine()(turned) == reason
    assert judge_pair(turned, ALL).verdict == "rejected"
    for before in (None, 0.9, 0.0, math.nan):
        assert Quarantine()(replace(GOOD, margin_before=before)) is None
