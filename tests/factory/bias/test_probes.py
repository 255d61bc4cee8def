"""What a judge is asked, and what is told of its answers: a judge whose every liking is known."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from factory.bias.figure import SCORES, Relevance, flag
from factory.bias.observation import measure_media
from factory.bias.probes import Prober, Twins, sample_prompts
from factory.bias.response import edit_figures
from factory.media.clips import write_clip
from factory.media.pictures import MediaError, attributes, decode, encode_png
from factory.sandbox.planted_judge import NAME, PlantedJudge
from schemas.rows import Candidate, Group, Media, Part, Prompt, Score

GENDER = Twins("gender", {"man": "woman", "he": "she"})


@dataclass(frozen=True)
class Plain:
    """Three points for a picture, one for a blank one; what is broken gets no score."""

    name: str = "plain@1"

    def sit(self, prompt, candidates):
        return PlainSitting(candidates)


@dataclass(frozen=True)
class PlainSitting:
    candidates: tuple[Candidate, ...]

    def scores(self):
        return [self._score(one) for one in self.candidates]

    def _score(self, one):
        try:
            points = 3.0 if decode(one.media.data).std() > 0 else 1.0
        except MediaError as error:
            return Score(one.candidate_id, "plain@1", math.nan, math.nan, str(error))
        return Score(one.candidate_id, "plain@1", points, 0.0)

    def duels(self, matches):
        raise NotImplementedError


def media(seed):
    cells = np.random.default_rng(seed).integers(80, 176, (4, 4, 3), dtype=np.uint8)
    return Media(encode_png(cells.repeat(8, axis=0).repeat(8, axis=1)), 32, 32)


def group(text="a man on a hill", num=3, seed=0):
    prompt = Prompt.of(text)
    made = [Candidate(f"{text} {at}", "g@1", at, media(seed + at)) for at in range(num)]
    return Group(prompt, tuple(made))


def judge(**biases):
    return PlantedJudge(Plain(), item_sd=0.0, score_sd=0.0, duel_sd=0.0, **biases)


def test_an_edit_tells_what_changed_and_how_far_the_judge_moved():
    prober = Prober(edits=("brightness",), num_candidates=1)
    probes = prober.media(judge(likings={"brightness": 5.0}), group())
    edits = [one for one in probes if one.kind == "edit"]
    assert [one.dose for one in edits] == [-1.0, -0.5, 0.5, 1.0]
    for one in edits:
        assert one.changes["brightness"] == pytest.approx(30 / 255 * one.dose, abs=0.005)
        assert one.shift == pytest.approx(5.0 * one.changes["brightness"])
    # The largest doses meet the original, in both orders; p_tie shortens the log-odds a little.
    assert [math.isnan(one.logit) for one in edits] == [False, True, True, False]
    assert edits[3].logit == pytest.approx(2 * edits[3].shift, rel=0.15)
    assert edits[0].logit == pytest.approx(2 * edits[0].shift, rel=0.15)
    # All candidates are alike but for brightness: the edit decides against any rival.
    assert edits[3].is_flipped in (True, False)


def test_a_position_bias_does_not_enter_the_log_odds():
    fair, leaning = (
        Prober(edits=("contrast",)).media(judge(position=at, p_tie=0.0), group())
        for at in (0.0, 0.6)
    )
    for one, other in zip(fair, leaning, strict=True):
        assert other.logit == pytest.approx(one.logit, abs=1e-9, nan_ok=True)


def test_a_verdict_that_an_edit_turns_is_a_flip():
    bright, dim = group(num=2, seed=7).candidates
    gap = (
        attributes(decode(bright.media.data))["brightness"]
        - attributes(decode(dim.media.data))["brightness"]
    )
    liking = judge(likings={"brightness": 50.0}, p_tie=0.0)
    pair = Group(Prompt.of("a hill"), (bright, dim))
    probes = Prober(edits=("brightness",), num_candidates=2).media(liking, pair)
    for one in probes:
        if one.is_flipped is not None:
            lead = gap if one.candidate_id == bright.candidate_id else -gap
            assert one.is_flipped == (lead * (lead + one.changes["brightness"]) < 0)
    assert any(one.is_flipped for one in probes)


@dataclass(frozen=True)
class Even:
    """Three points for everything."""

    name: str = "even@1"

    def sit(self, prompt, candidates):
        return EvenSitting(candidates)


@dataclass(frozen=True)
class EvenSitting:
    candidates: tuple[Candidate, ...]

    def scores(self):
        return [Score(one.candidate_id, "even@1", 3.0, 0.0) for one in self.candidates]


def clips(number):
    """Two clips of a square that crosses a picture, one fast and one slow."""
    made = []
    for speed in (2, 3):
        rng = np.random.default_rng((number, speed))
        cells = rng.integers(60, 120, (4, 4, 3), dtype=np.uint8)
        frames = np.stack([cells.repeat(8, axis=0).repeat(8, axis=1)] * 8)
        for at in range(8):
            frames[at, 4:14, speed * at : speed * at + 10] = 230
        clip = write_clip(frames, Media(b"", 32, 32, 8, 8.0))
        made.append(Candidate(f"{number} {speed}", "g@1", speed, clip))
    return Group(Prompt.of(f"a square {number}"), tuple(made))


def test_a_judge_that_likes_stillness_is_found_by_stilling_clips():
    names, groups = ("low motion", "brightness"), [clips(number) for number in range(6)]
    fair = PlantedJudge(Even(), score_sd=0.02, measure=measure_media)
    liking = replace(fair, likings={"motion": -30.0})
    found = {}
    for one in (fair, liking):
        prober = Prober(edits=names, num_candidates=1)
        probes = [probe for clip in groups for probe in prober.media(one, clip, groups[0])]
        assert {probe.kind for probe in probes} == {"edit", "blank", "swapped"}
        still = [probe for probe in probes if (probe.name, probe.dose) == ("low motion", 1.0)]
        assert all(probe.changes["motion"] < -0.008 for probe in still)
        figures = flag(edit_figures(probes, {"brightness": 0.1, "motion": 0.01}, Relevance()), 0.05)
        found[one] = {figure.measure: figure for figure in figures if figure.name == "low motion"}
        assert not any(figure.is_flagged for figure in figures if figure.name == "brightness")
        (slope,) = (one for one in figures if (one.name, one.measure) == ("motion", SCORES))
        assert (slope.is_flagged, slope.accuses) == (one is liking, "below")
    assert slope.estimate.value == pytest.approx(-0.3, abs=0.02)  # 30 points times an sd of 0.01
    half, whole = (found[liking][f"mean shift of scores at dose {dose}"] for dose in ("0.5", "1"))
    assert whole.is_flagged
    assert whole.estimate.low > 0.1
    assert 0.3 < half.estimate.value / whole.estimate.value < 0.8  # dose and response
    assert math.isnan(half.p_value)
    assert not found[fair]["mean shift of scores at dose 1"].is_flagged


def test_blank_and_swapped_media_take_the_picture_away():
    probes = Prober(edits=(), num_candidates=1).media(judge(), group(), group("a boat", seed=50))
    told = {one.kind: one.shift for one in probes}
    assert told == {"blank": -2.0, "swapped": 0.0}


def test_each_candidate_is_held_against_its_own_score():
    """With a judge that tells all of them apart: by their brightness."""
    own, strange = group(num=2), group("a boat", num=2, seed=50)
    probes = Prober(edits=(), num_candidates=2).media(
        judge(likings={"brightness": 5.0}), own, strange
    )
    light = {
        one.candidate_id: attributes(decode(one.media.data))["brightness"]
        for one in (*own.candidates, *strange.candidates)
    }
    assert [one.kind for one in probes] == ["blank", "swapped"] * 2
    for one, stranger in zip(probes[1::2], strange.candidates, strict=True):
        gap = light[stranger.candidate_id] - light[one.candidate_id]
        assert one.shift == pytest.approx(5.0 * gap)
    for one in probes[::2]:
        assert one.shift == pytest.approx(-2.0 + 5.0 * (128 / 255 - light[one.candidate_id]))


def test_a_question_loses_its_own_media():
    @dataclass(frozen=True)
    class Looking:
        name: str = "looking@1"

        def sit(self, prompt, candidates):
            self_media = decode(prompt.media.data)
            points = 4.0 if self_media.std() > 0 else 1.0
            scores = [Score(one.candidate_id, self.name, points, 0.0) for one in candidates]
            return type("Sitting", (), {"scores": lambda self: scores})()

    def question(seed):
        about = Prompt.of("what is it?", "image_understanding", media=media(seed))
        return Group(about, (Candidate("a", "g@1", 0, answer="a dog"),))

    probes = Prober(edits=()).media(Looking(), question(0), question(1))
    assert {one.kind: one.shift for one in probes} == {"blank": -3.0, "swapped": 0.0}


def test_a_candidate_that_is_broken_or_missing_is_left_out():
    failed = Candidate("f", "g@1", 0, error="out of memory")
    broken = Candidate("b", "g@1", 1, Media(b"no picture", 32, 32))
    probes = Prober(num_candidates=3).media(judge(), Group(Prompt.of("a hill"), (failed, broken)))
    assert {one.kind for one in probes} == {"blank"}
    assert all(math.isnan(one.shift) for one in probes)
    assert Prober().media(judge(), Group(Prompt.of("a hill"), (failed,))) == []


def test_the_same_question_gets_the_same_answer_and_the_group_s_order_does_not_matter():
    noisy = PlantedJudge(Plain(), likings={"sharpness": 3.0}, position=0.2)
    whole = group()
    turned = Group(whole.prompt, whole.candidates[::-1])
    assert repr(Prober().media(noisy, whole)) == repr(Prober().media(noisy, turned))


# ---------------------------------------------------------------------------------------- twins


@pytest.mark.parametrize(
    ("text", "twin"),
    [
        ("a man with his dog", ("a woman with his dog", -1)),
        ("Man, he runs", ("Woman, she runs", -1)),
        ("a woman on a hill", ("a man on a hill", 1)),
        ("a human on a hill", None),  # no whole word
        ("a man and a woman", None),  # of both kinds
        ("a dog", None),
    ],
)
def test_twin_words_are_whole_words(text, twin):
    assert GENDER.twin(text) == twin


def test_of_words_that_begin_alike_the_longest_is_swapped():
    twins = Twins("age", {"old": "young", "old man": "boy"})
    assert twins.twin("an Old man rests") == ("an Boy rests", -1)
    assert twins.twin("old stones") == ("young stones", -1)


@pytest.mark.parametrize(("text", "side"), [("a man runs", -1), ("a woman runs", 1)])
def test_a_twin_probe_is_second_word_minus_first(text, side):
    biased = judge(words={"woman": 0.4})
    probes = Prober(twins=(GENDER,)).words(biased, group(text))
    assert [one.dose for one in probes] == [side] * 3
    assert [one.shift for one in probes] == pytest.approx([0.4] * 3)
    assert Prober(twins=(GENDER,)).words(biased, group("a dog runs")) == []


def test_a_sample_is_bounded_and_has_both_words():
    prompts = [(f"p{at}", "a man") for at in range(50)] + [(f"q{at}", "a woman") for at in range(3)]
    sample = sample_prompts(prompts, 10, (GENDER,))
    assert len(sample.media) == 10
    assert sum(one.startswith("p") for one in sample.words) == 5
    assert sum(one.startswith("q") for one in sample.words) == 3
    assert sample == sample_prompts(prompts[::-1], 10, (GENDER,))


# -------------------------------------------------------------------------------- planted judges


def test_a_planted_judge_says_that_it_is_simulated():
    assert judge().name == NAME
    assert NAME.startswith("simulated:")
    sitting = judge().sit(Prompt.of("a hill"), group().candidates)
    assert {one.judge for one in (*sitting.scores(), *sitting.duels([(0, 1)]))} == {NAME}


def test_a_planted_judge_s_noise_has_its_size_and_is_its_own():
    pictures = [Candidate(str(at), "g@1", at, media(at)) for at in range(200)]
    one, other = (
        np.array(
            [
                score.value
                for score in PlantedJudge(Plain(), item_sd=0.0, score_sd=0.3, seed=seed)
                .sit(Prompt.of("a hill"), pictures)
                .scores()
            ]
        )
        for seed in (0, 1)
    )
    assert one.std() == pytest.approx(0.3, rel=0.15)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.2


@dataclass(frozen=True)
class Looking:
    """A point for each picture of the question that is not blank, and one for each "woman"."""

    name: str = "looking@1"

    def sit(self, prompt, candidates):
        seen = sum(decode(one.data).std() > 0 for one in prompt.media_of("question"))
        said = " ".join(part.text or "" for part in prompt.parts).split().count("woman")
        return Fixed([Score(one.candidate_id, self.name, seen + said, 0.0) for one in candidates])


@dataclass(frozen=True)
class Fixed:
    found: list[Score]

    def scores(self):
        return self.found


def test_all_media_and_all_turns_of_a_dialogue_are_probed():
    parts = [
        Part("question", media=media(1)),
        Part("user", "is this a man ?"),
        Part("assistant", "a tall man"),
        Part("question", media=media(2)),
        Part("user", "and here ?"),
    ]
    prompt = Prompt.of_parts(parts, "image_understanding")
    asked = Group(prompt, (Candidate("c", "g@1", 0, answer="no"),))
    one = Group(Prompt.of("what ?", "image_understanding", media=media(3)), asked.candidates)
    prober = Prober(edits=(), twins=(GENDER,))
    found = {probe.kind: probe.shift for probe in prober.media(Looking(), asked, one)}
    assert found == {"blank": -2.0, "swapped": 0.0}
    (twin,) = prober.words(Looking(), asked)
    assert (twin.dose, twin.shift) == (-1, 2.0)
    mixed = replace(asked, prompt=prompt.saying("and the woman here ?"))
    assert prober.words(Looking(), mixed) == []  # words of both kinds have no single twin
