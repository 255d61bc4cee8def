"""Local criteria: which apply to a prompt, how they are asked, and how they weigh in the order."""

import math
import pickle
from dataclasses import replace

import pytest

from factory.curation.curator import Curator
from factory.judging.criteria import CriteriaJudge, CriteriaSitting, asked, criteria_for, weigh
from factory.prompt_parts import in_words
from factory.ranking import Pointwise
from factory.sandbox.oracle_judge import OracleJudge
from schemas.arrow import groups_from_table, groups_to_table
from schemas.recipe import Criteria, Criterion
from schemas.rows import Candidate, Duel, Group, Part, Prompt, Score
from tests.factory.some_pairs import media, picture

LEGIBILITY = Criterion(name="legibility", text="judge how legible the words are", weight=3.0)
COLOURS = Criterion(name="brand colours", text="judge whether the colours are ours", weight=0.5)
NORTH = Criterion(
    name="legibility", text="judge how legible the runes are", weight=1.0, where={"region": "north"}
)
NORTH_MUGS = Criterion(
    name="legibility",
    text="judge how legible the runes on the mug are",
    where={"region": "north", "product": "mug"},
)
CRITERIA = Criteria(overall_weight=1.0, named=[LEGIBILITY, COLOURS, NORTH, NORTH_MUGS])
PROMPT = Prompt.of("a poster")


class StubJudge:
    """Its points depend on the question: what each candidate's answer holds for it."""

    name = "stub@1"

    def __init__(self):
        self.texts = []

    def sit(self, prompt, candidates):
        return StubSitting(self, prompt, candidates)


class StubSitting:
    def __init__(self, judge, prompt, candidates):
        self.judge, self.prompt, self.candidates = judge, prompt, candidates
        judge.texts.append(prompt.text)

    def about(self, prompt):
        return StubSitting(self.judge, prompt, self.candidates)

    def scores(self):
        return [self._score(one) for one in self.candidates]

    def _score(self, candidate):
        points = dict(part.split("=") for part in candidate.answer.split())
        key = next((key for key in points if key in self.prompt.text), "overall")
        value = float(points[key])
        error = None if math.isfinite(value) else "no number"
        return Score(candidate.candidate_id, self.judge.name, value, 0.4, error)

    def duels(self, matches):
        ids = [one.candidate_id for one in self.candidates]
        return [Duel(ids[i], ids[j], self.judge.name, 1.0, 0.0, 0.0) for i, j in matches]


CANDIDATES = (
    Candidate("plain", "generator@1", 0, answer="overall=4 legible=1 colours=2"),
    Candidate("clear", "generator@1", 1, answer="overall=3 legible=4 colours=2"),
)


def test_the_variant_with_the_most_fitting_tags_counts():
    def found(**tags):
        return criteria_for(Prompt.of("a mug", tags=tags), CRITERIA)

    assert found() == [LEGIBILITY, COLOURS]
    assert found(region="south", product="mug") == [LEGIBILITY, COLOURS]
    assert found(region="north") == [NORTH, COLOURS]
    assert found(region="north", product="mug", extra="x") == [NORTH_MUGS, COLOURS]
    twins = Criteria(
        named=[
            Criterion(name="fit", text="one", where={"region": "north"}),
            Criterion(name="fit", text="two", where={"product": "mug"}),
        ]
    )
    both = criteria_for(Prompt.of("a mug", tags={"region": "north", "product": "mug"}), twins)
    assert [one.text for one in both] == ["one"]  # as specific: the recipe's order


def test_a_criterion_is_put_after_the_prompt_and_is_the_same_row():
    question = asked(PROMPT, LEGIBILITY)
    assert question.text == "a poster\njudge how legible the words are"
    assert question.prompt_id == PROMPT.prompt_id


def test_each_criterion_is_a_score_of_its_own_and_the_value_their_weighted_mean():
    judge = StubJudge()
    assert CriteriaJudge(judge, CRITERIA).name == "stub@1"
    sitting = CriteriaJudge(judge, CRITERIA).sit(PROMPT, CANDIDATES)
    plain, clear = sitting.scores()
    assert plain.breakdown == {"overall": 4.0, "legibility": 1.0, "brand colours": 2.0}
    assert plain.value == pytest.approx((1.0 * 4 + 3.0 * 1 + 0.5 * 2) / 4.5)
    assert clear.value == pytest.approx((1.0 * 3 + 3.0 * 4 + 0.5 * 2) / 4.5)
    assert judge.texts == ["a poster", asked(PROMPT, LEGIBILITY).text, asked(PROMPT, COLOURS).text]
    assert sitting.duels([(0, 1)])[0].preference == "first"  # of the whole, as without criteria


def test_without_criteria_nothing_changes():
    judge = StubJudge()
    bare = CriteriaJudge(judge, Criteria()).sit(PROMPT, CANDIDATES).scores()
    assert bare == judge.sit(PROMPT, CANDIDATES).scores()
    assert [one.breakdown for one in bare] == [{}, {}]


def test_the_order_goes_by_the_weights_and_they_can_change_without_the_judge():
    scores = CriteriaJudge(StubJudge(), CRITERIA).sit(PROMPT, CANDIDATES).scores()
    group = Group(PROMPT, CANDIDATES, tuple(scores))
    kept = groups_from_table(groups_to_table([group]))[0]
    assert kept == group  # the breakdown survives Arrow

    def chosen(criteria):
        (pair,) = Curator(Pointwise(), (), criteria=criteria)(kept)
        return pair.chosen.candidate_id, pair.score_margin

    assert chosen(CRITERIA) == ("clear", pytest.approx(8 / 4.5))
    light = [one.model_copy(update={"weight": 0.1}) for one in CRITERIA.named]
    lighter = CRITERIA.model_copy(update={"named": light})
    assert chosen(lighter) == ("plain", pytest.approx(0.7 / 1.2))
    only = CRITERIA.model_copy(update={"overall_weight": 0.0})
    assert chosen(only) == ("clear", pytest.approx(9 / 3.5))


def test_an_unreadable_criterion_makes_the_score_unreadable():
    mute = replace(CANDIDATES[0], answer="overall=4 legible=nan colours=2")
    score = CriteriaJudge(StubJudge(), CRITERIA).sit(PROMPT, (mute,)).scores()[0]
    assert math.isnan(score.value)
    assert score.error == "criterion legibility: no number"


def test_an_unreadable_overall_score_keeps_its_own_error():
    mute = replace(CANDIDATES[0], answer="overall=nan legible=nan colours=2")
    score = CriteriaJudge(StubJudge(), CRITERIA).sit(PROMPT, (mute,)).scores()[0]
    assert math.isnan(score.value)
    assert score.error == "no number"


def test_a_criterion_that_was_never_asked_is_no_zero():
    old = Group(PROMPT, (), (Score("a", "j", 4.0, 0.4, breakdown={"overall": 4.0}),))
    (score,) = weigh(old, Criteria(named=[LEGIBILITY])).scores
    assert math.isnan(score.value)
    assert score.error == "criterion legibility: was not scored; judge the groups again"
    bare = Group(PROMPT, (), (Score("a", "j", 4.0, 0.4),))  # from before there were criteria
    assert weigh(bare, Criteria(named=[LEGIBILITY])) == bare


def test_a_dimension_that_the_judge_rates_by_itself_is_weighed_without_asking():
    own = {"overall": 3.0, "alignment": 5.0, "style": 1.0}
    rated = Score("a", "j", 3.0, 0.0, breakdown=own)

    class Rating:
        def scores(self, indices=None):
            return [rated]

        def about(self, prompt):
            raise AssertionError("nothing is to be asked")

    criteria = Criteria(named=[Criterion(name="alignment", weight=3.0)])
    (score,) = CriteriaSitting(Rating(), PROMPT, criteria).scores()
    assert score.value == pytest.approx((3 + 3 * 5) / 4)
    assert score.breakdown == own
    (again,) = weigh(Group(PROMPT, (), (rated,)), criteria).scores
    assert again.value == score.value
    unrated = (Score("a", "j", 3.0, 0.0), Score("a", "j", 3.0, 0.0, breakdown={"overall": 3.0}))
    for one in weigh(Group(PROMPT, (), unrated), criteria).scores:
        assert str(one.error).startswith("criterion alignment: the judge rated no such dimension")


def test_the_oracle_says_that_it_knows_no_criteria():
    drawn = Candidate("a", "generator@1", 0, media(picture(1)))
    caption = Prompt.of("a large red circle in the center on a white background")
    (score,) = CriteriaJudge(OracleJudge(), CRITERIA).sit(caption, (drawn,)).scores()
    assert math.isnan(score.value)
    assert score.error == "criterion legibility: the oracle measures prompts and knows no criteria"


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ({"named": [{"name": "overall", "text": "x"}]}, "is the judge's own score"),
        ({"named": [{"name": "fit", "text": "x"}, {"name": "fit", "text": "y"}]}, "there twice"),
        ({"overall_weight": 0, "named": [{"name": "fit", "text": "x", "weight": 0}]}, "both 0"),
        ({"named": [{"name": "fit", "text": ""}]}, "at least 1 character"),
    ],
)
def test_criteria_that_make_no_sense_are_refused(criteria, message):
    with pytest.raises(ValueError, match=message):
        Criteria.model_validate(criteria)


def test_criteria_travel():
    assert pickle.loads(pickle.dumps(CRITERIA)) == CRITERIA


def test_a_criterion_is_put_after_the_last_turn_of_a_dialogue():
    prompt = Prompt.of_parts([Part("user", "x"), Part("assistant", "y"), Part("user", "z")])
    put = asked(prompt, COLOURS)
    assert in_words(put) == f"user: x\nassistant: y\nuser: z\n{COLOURS.text}"
    assert put.prompt_id == prompt.prompt_id
