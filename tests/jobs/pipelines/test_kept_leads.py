"""What a correction changes in kept pairs, counted from the rows of groups and of pairs."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from factory.bias.correction import Correction
from factory.bias.kept import Leads, lead
from factory.bias.profile import BiasProfile
from factory.curation.curator import Curator
from factory.filters import objections_of
from factory.media.measures import measure_answer
from factory.ranking import Pointwise
from jobs.pipelines import kept_leads as module
from jobs.pipelines.bias import PROFILE
from jobs.pipelines.kept_leads import kept_leads, lead_in_words
from schemas.arrow import groups_to_table, pairs_to_table
from schemas.recipe import Objections
from schemas.rows import Candidate, Group, Prompt, Score

SHORT, LONG = "It is a cat, and it sleeps there.", "There is a dog in here " * 4 + "I believe."
SDS = {"brightness": 0.1, "length": 0.5}
#: How much longer the long answer is, in sds of length.
FAR = (math.log1p(26) - math.log1p(8)) / 0.5


def answered(number: int, short_points: float) -> Group:
    """The long answer has 3.5 points; of two thirds of them the judge likes but the length."""
    prompt = Prompt.of(f"what is in picture {number} ?")
    candidates = tuple(
        Candidate(f"{number}-{at}", "g@0", at, answer=text, measures=measure_answer(text))
        for at, text in enumerate((SHORT, LONG))
    )
    points = (short_points, 3.5)
    scores = tuple(
        Score(one.candidate_id, "judge@1", value, 0.1)
        for one, value in zip(candidates, points, strict=True)
    )
    return Group(prompt, candidates, scores, ())


@pytest.fixture
def round_of(tmp_path, monkeypatch):
    """A round with groups and a profile, whose tasks run here."""
    monkeypatch.setattr(
        module, "each_in_a_task", lambda work, pieces, *more: (work(one, *more) for one in pieces)
    )
    groups = [answered(at, 1.0 if at % 3 == 0 else 2.9) for at in range(12)]
    for kind in ("groups", "profile", "pairs"):
        (tmp_path / kind).mkdir()
    pq.write_table(groups_to_table(groups), tmp_path / "groups" / "0.parquet")
    profile = BiasProfile((), SDS, {}, 12, 0, 0)
    (tmp_path / "profile" / PROFILE).write_text(json.dumps(profile.to_dict()))
    audit = SimpleNamespace(num_resamples=50)
    at = SimpleNamespace(
        directory=lambda kind: tmp_path / kind, recipe=SimpleNamespace(audit=audit, seed=0)
    )
    return at, groups


def test_the_lead_is_told_before_and_after(round_of):
    at, groups = round_of
    plain = [one for one in objections_of(Objections()) if not one.needs_media]
    curator = Curator(Pointwise(), tuple(plain), correction=Correction({"length": 1.0}))
    pairs = [pair for group in groups for pair in curator(group)]
    assert [one.verdict for one in pairs] == ["kept"] * 12
    light = [replace(one, weight=0.5 if n % 3 == 0 else 1.0) for n, one in enumerate(pairs)]
    pq.write_table(pairs_to_table(light), at.directory("pairs") / "0.parquet")
    (told,) = kept_leads(at, at.directory("pairs"), curator, ["0.parquet"])
    assert told.value == pytest.approx(FAR)  # every long answer was chosen
    # Eight of twelve are turned; the four others count half.
    assert told.corrected.value == pytest.approx(FAR * (4 * 0.5 - 8) / (4 * 0.5 + 8))
    assert told.num == told.corrected.num == 12
    assert lead_in_words(told).startswith("length: lead of chosen over rejected sides: +")


def test_a_judge_that_nothing_was_taken_from_has_none(round_of):
    at, _ = round_of
    assert kept_leads(at, at.directory("pairs"), Curator(Pointwise(), ()), []) == ()


def test_an_attribute_that_a_side_lacks_is_no_lead():
    rows = np.array([[1.0, math.nan], [3.0, 2.0]])
    told = Leads(["a", "b"], rows, np.array([1.0, 3.0])).means(50, 0)
    assert [one.value for one in told] == [2.5, 2.0]
    (nothing,) = Leads.of([], 1).means(50, 0)
    assert math.isnan(nothing.value)
    assert lead({"length": 2.0}, {"length": 1.0}, {"length": 0.5}) == [2.0]
    assert math.isnan(lead({}, {"length": 1.0}, {"length": 0.5})[0])
