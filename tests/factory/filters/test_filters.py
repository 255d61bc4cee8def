import math
import pickle
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from factory.curation.pairing import invalid_pair
from factory.filters import (
    BrokenMedia,
    Disagree,
    Dissent,
    Inconsistent,
    LowConfidence,
    LowEntropy,
    NearDuplicate,
    SimilarAnswers,
    ThinMargin,
    Unsafe,
    judge_pair,
    objections_of,
    pictures,
)
from factory.filters.text import similarity
from factory.filters.verdicts import Abstain, confidence
from factory.media import measures
from factory.media.clips import encode_clip
from factory.media.pictures import entropy
from factory.plugins import PluginError
from factory.statistics.metrics import hash_share
from schemas.recipe import Objections
from schemas.rows import Group, Media, Task
from tests.factory.some_pairs import GOOD, answers, media, picture, side, swapped

ALL = objections_of(Objections(min_margin=0.3, min_hash_distance=0.02))


def test_a_good_pair_is_kept():
    assert [one(GOOD) for one in ALL] == [None] * len(ALL)
    assert judge_pair(GOOD, ALL) == GOOD


def test_every_objection_is_written_down_in_a_fixed_order():
    bad = replace(GOOD, margin=0.1, margin_sd=1.0, is_flipped=True, p_chosen=0.4)
    judged = judge_pair(replace(bad, rejected=replace(bad.chosen, candidate_id="b")), ALL)
    assert judged.verdict == "rejected"
    reasons = [one.partition(":")[0] for one in judged.objections]
    assert reasons == [
        "inconsistent",
        "thin margin",
        "low confidence",
        "disagreement",
        "near-duplicate",
    ]
    assert all(": " in one for one in judged.objections)


def test_judging_again_replaces_the_verdict():
    rejected = judge_pair(replace(GOOD, margin=0.1), ALL)
    assert rejected.verdict == "rejected"
    assert judge_pair(replace(rejected, margin=1.0), ALL) == GOOD


def test_an_invalid_pair_stays_as_it_is():
    record = invalid_pair(Group(GOOD.prompt, ()), "no group: out of memory")
    assert judge_pair(record, ALL) is record


@pytest.mark.parametrize(
    ("p_chosen", "least", "said"),
    [
        (0.8, 0.8, None),  # the pair that the rule was taken from
        (0.79, 0.8, "abstention: a duel with confidence 0.790, 0.800 wanted"),
        (0.2, 0.8, None),  # sure of the other side: a disagreement, and not a doubt
        (0.99, math.inf, "abstention: no confidence is known that is enough on image_generation"),
        (math.nan, 0.8, None),  # the two never met
    ],
)
def test_abstention(p_chosen, least, said):
    pair = replace(GOOD, p_chosen=p_chosen)
    task = GOOD.prompt.task
    assert Abstain({task: least})(pair) == said
    assert Abstain({task: least})(replace(pair, p_chosen=1 - p_chosen)) == said
    assert Abstain({"video_generation": least})(pair) is None
    settings = Objections(min_margin=0, min_confidence=0, abstain=True)
    raised = judge_pair(pair, objections_of(settings, least_confidence={task: least})).objections
    assert [one for one in raised if one.startswith("abstention")] == ([said] if said else [])
    assert not any(isinstance(one, Abstain) for one in ALL)


def test_a_margin_is_a_share_of_each_tasks_scale():
    """0.3 points are a lot from 1 to 5, and nothing from 0 to 100."""
    pair, units = replace(GOOD, margin=0.31), {GOOD.prompt.task: 4.0}
    assert judge_pair(pair, objections_of(Objections(), units=units)).verdict == "kept"
    wide = objections_of(Objections(), units={GOOD.prompt.task: 100.0})
    (thin,) = judge_pair(pair, wide).objections
    assert thin == "thin margin: 0.31 points, 7.5 wanted"
    former = objections_of(Objections(min_margin=0.3), units={GOOD.prompt.task: 100.0})
    assert judge_pair(pair, former).verdict == "kept"  # in points, as the recipe says


def test_what_lies_on_a_threshold_passes():
    """A threshold is the least, or the most, that is let through."""
    distance = hash_share(pictures.hash_of(GOOD.chosen), pictures.hash_of(GOOD.rejected))
    detail = min(entropy(picture(1)), entropy(picture(2)))
    texts = answers("two cats on a red sofa", "two cats on a red soft sofa")
    alike = similarity(texts.chosen.answer, texts.rejected.answer)
    for passes, fails, pair in (
        (NearDuplicate(distance), NearDuplicate(distance + 1e-9), GOOD),
        (LowEntropy(detail), LowEntropy(detail + 1e-9), GOOD),
        (ThinMargin(GOOD.margin), ThinMargin(GOOD.margin + 1e-9), GOOD),
        (LowConfidence(confidence(GOOD)), LowConfidence(confidence(GOOD) + 1e-9), GOOD),
        (SimilarAnswers(alike), SimilarAnswers(alike - 1e-9), texts),
    ):
        assert passes(pair) is None
        assert fails(pair) is not None


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
    assert judge_pair(answers("two cats", "one cat"), ALL).verdict == "kept"
    same = answers("two cats", "two cats")
    assert judge_pair(same, ALL).objections == ("near-duplicate: both answers are the same",)
    long = "the picture shows two cats on a red sofa, one of them asleep, in the light of a lamp"
    near = answers(long, long.replace("sofa, one", "sofa: one").replace("lamp", "lamps"))
    assert SimilarAnswers(0.95)(near) is not None
    assert SimilarAnswers(0.95)(swapped(near)) == SimilarAnswers(0.95)(near)
    assert SimilarAnswers(0.95)(answers(long, long.replace("two cats", "a dog"))) is None
    assert SimilarAnswers(1.0)(near) is None
    assert SimilarAnswers(0.9)(GOOD) is None


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
            "low confidence",
            "thin margin",
        ]
        assert judged.objections[0].startswith(f"broken media: {name}: ")
        assert detail in judged.objections[0]


def test_each_side_is_decoded_once(monkeypatch):
    decoded = []
    real = measures.decode
    monkeypatch.setattr(measures, "decode", lambda data: decoded.append(data) or real(data))
    measures._measured.cache_clear()
    judge_pair(GOOD, ALL)
    assert decoded == [GOOD.chosen.media.data, GOOD.rejected.media.data]


def measured(candidate):
    """The candidate as a row without its media is read."""
    return replace(
        candidate,
        media=candidate.media and replace(candidate.media, stored=None, path="packs/some"),
        measures=measures.measures_of(candidate),
    )


def test_what_was_measured_is_enough():
    copied = replace(GOOD, rejected=replace(GOOD.chosen, candidate_id="b"))
    grey = side(GOOD, media=media(np.zeros((16, 16, 3), dtype=np.uint8)))
    broken = side(GOOD, media=Media(b"not a picture", 8, 8))
    dull = objections_of(Objections(min_margin=0.3, min_entropy=5.9))
    for pair in (GOOD, copied, grey, broken):
        away = replace(pair, chosen=measured(pair.chosen), rejected=measured(pair.rejected))
        for some in (ALL, dull):
            judged, whole = judge_pair(away, some), judge_pair(pair, some)
            assert (judged.verdict, judged.objections) == (whole.verdict, whole.objections)
            assert judged.chosen.media == away.chosen.media


def test_media_are_fetched_for_those_who_need_their_pixels():
    away = replace(GOOD, chosen=measured(GOOD.chosen), rejected=measured(GOOD.rejected))
    fetched = []

    def fetch(pair):
        fetched.append(pair.pair_id)
        return GOOD

    assert judge_pair(away, ALL, fetch) == away
    assert not fetched
    seeing = (*ALL, Unsafe(f"{__name__}:sees_pixels", 0.5))
    assert judge_pair(away, seeing, fetch).objections == ()
    assert fetched == [GOOD.pair_id]
    assert "could not be classified" in judge_pair(away, seeing).objections[0]


def sees_pixels():
    return lambda prompt, candidate: float(not candidate.media.data)


def test_objections_travel_and_come_from_the_recipe():
    assert pickle.loads(pickle.dumps(ALL)) == ALL
    tasks = get_args(Task)
    assert (
        BrokenMedia(),
        Inconsistent(),
        ThinMargin(dict.fromkeys(tasks, 0.3)),
        LowConfidence(0.6),
        Disagree(),
        Dissent(0.4),
        SimilarAnswers(0.95),
        LowEntropy(0.1),
        NearDuplicate(0.02),
    ) == ALL


@pytest.mark.parametrize(
    ("margin", "margin_sd", "p_chosen", "wanted"),
    [
        (1.0, 1.0, math.nan, 0.8413),  # the normal distribution at one standard deviation
        (1.0, 1.0, 0.7, 0.8413),  # the duel is part of the margin, and no second opinion
        (0.2, 1.0, 0.99, 0.5793),  # a sure duel does not know the judge's own error
        (-1.0, 1.0, 0.9, 0.1587),
        (0.0, 0.0, 0.9, 0.5),
        (math.nan, math.nan, 0.9, 0.9),  # no margin is claimed
        (math.nan, math.nan, math.nan, math.nan),
    ],
)
def test_confidence_is_the_probability_of_being_right(margin, margin_sd, p_chosen, wanted):
    pair = replace(GOOD, margin=margin, margin_sd=margin_sd, p_chosen=p_chosen)
    assert confidence(pair) == pytest.approx(wanted, abs=1e-4, nan_ok=True)
    objection = LowConfidence(0.75)(pair)
    assert (objection is not None) == (wanted < 0.75)


def test_low_entropy_is_told_from_a_picture_with_something_in_it():
    ramp = np.linspace(100, 116, 32).astype(np.uint8)[:, None, None].repeat(32, 1).repeat(3, 2)
    faint = side(GOOD, media=media(ramp))
    assert entropy(ramp) < 3 < entropy(picture(1))
    assert LowEntropy(3.0)(faint).startswith("low entropy: rejected: ")
    assert LowEntropy(3.0)(swapped(faint)).startswith("low entropy: chosen: ")
    assert LowEntropy(3.0)(GOOD) is None
    assert LowEntropy(3.0)(answers("two cats", "one cat")) is None


def clip(seeds):
    data = encode_clip(np.stack([picture(seed) for seed in seeds]), 4.0)
    return Media(data, 32, 32, len(seeds), 4.0)


def test_clips_are_looked_at_by_four_of_their_frames():
    moving, other = clip([1, 2, 3, 4]), clip([1, 2, 5, 6])
    pair = side(replace(GOOD, chosen=replace(GOOD.chosen, media=moving)), media=other)
    assert judge_pair(pair, ALL).verdict == "kept"
    assert NearDuplicate(0.02)(side(pair, media=moving)) is not None
    assert BrokenMedia()(side(pair, media=replace(moving, stored=moving.data[:200]))) is not None
    black = encode_clip(np.zeros((4, 32, 32, 3), dtype=np.uint8), 4.0)
    assert BrokenMedia()(side(pair, media=Media(black, 32, 32, 4, 4.0))) == (
        "broken media: rejected: blank"
    )


# ------------------------------------------------------------------------------------- safety


class StubClassifier:
    """Calls unsafe what was drawn from seed 13, and cannot classify seed 14."""

    def __call__(self, prompt, candidate):
        if candidate.seed == 14:
            raise ValueError("no face found")
        return 0.9 if candidate.seed == 13 else 0.1


def make_stub():
    return StubClassifier()


@pytest.fixture
def stub(monkeypatch):
    """The name of the stub's maker, as a recipe would give that of an installed package."""
    import sys
    import types

    module = types.ModuleType("stub_safety")
    module.make = make_stub
    monkeypatch.setitem(sys.modules, "stub_safety", module)
    return "stub_safety:make"


@pytest.mark.parametrize(
    ("seed", "wanted"),
    [
        (0, None),
        (13, "unsafe: rejected: probability 0.90, 0.5 allowed"),
        (14, "unsafe: rejected: could not be classified: no face found"),
    ],
)
def test_the_users_own_classifier_is_asked_about_both_sides(stub, seed, wanted):
    unsafe = Unsafe(stub, 0.5)
    pair = side(GOOD, seed=seed)
    assert unsafe(pair) == wanted
    other = unsafe(swapped(pair))
    assert other == (None if wanted is None else wanted.replace("rejected", "chosen"))


def test_a_probability_on_the_limit_is_let_through_and_none_at_all_is_not(stub, monkeypatch):
    assert Unsafe(stub, 0.9)(side(GOOD, seed=13)) is None
    monkeypatch.setattr(StubClassifier, "__call__", lambda *_: math.nan)
    assert Unsafe(stub, 0.9)(GOOD) == "unsafe: chosen: probability nan, 0.9 allowed"


def test_no_classifier_is_asked_unless_the_recipe_names_one(stub):
    assert not any(isinstance(one, Unsafe) for one in ALL)
    found = objections_of(Objections(safety_classifier=stub, max_p_unsafe=0.95))
    assert found[-1] == Unsafe(stub, 0.95)
    assert judge_pair(side(GOOD, seed=13), found).verdict == "kept"


def test_a_classifier_that_cannot_be_loaded_is_an_error_before_any_work():
    with pytest.raises(PluginError, match=r"'no\.such\.package:make': cannot be loaded"):
        objections_of(Objections(safety_classifier="no.such.package:make"))
    with pytest.raises(PluginError, match="cannot be loaded"):
        objections_of(Objections(safety_classifier="math:no_such_function"))
    with pytest.raises(ValueError, match="safety_classifier"):
        Objections(safety_classifier="os.system('x')")


def test_a_pair_that_too_many_members_of_a_panel_would_turn_round_is_objected_to() -> None:
    objection = Dissent(0.4)
    assert objection(GOOD) is None  # one judge alone
    assert objection(replace(GOOD, dissent=1 / 3)) is None
    assert objection(replace(GOOD, dissent=0.4)) is None
    said = objection(replace(GOOD, dissent=0.5))
    assert said == "panel: 50% of its members prefer the rejected side, 40% at most wanted"
