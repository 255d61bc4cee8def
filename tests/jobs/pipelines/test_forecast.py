"""What a plan says of what is there, and of what the rest will cost."""

from dataclasses import replace
from pathlib import Path

import pytest

from factory.candidates import candidate_seeds
from factory.keys import Asking, reply_key
from jobs.datasets.at_hand import Source
from jobs.datasets.files import write_table
from jobs.pipelines.forecast import Forecast, forecast
from schemas.arrow import groups_to_table
from schemas.manifest import Manifest, to_bytes
from schemas.rows import Group, Prompt, Reply
from tests.stubs import Listed, Ref, StubGenerator

PROMPTS = [Prompt.of(f"a thing {number}") for number in range(10)]
REF = Ref(StubGenerator(), weights="w")
ASKING = Asking("judge", "fp32", {"template": "how good?"})


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Six of the prompts and one more, two candidates each; the judge has scored one of each."""
    groups = []
    for prompt in (*PROMPTS[:6], Prompt.of("another")):
        drawn = REF.load().generate(prompt, candidate_seeds(prompt, REF.name, 0, 2))
        key = reply_key(ASKING, "score", prompt, drawn[:1])
        said = Reply(key, "judge@1", drawn[0].candidate_id, numbers=(3.0, 0.1))
        groups.append(Group(prompt, tuple(drawn), replies=(said,)))
    directory = tmp_path / "data" / "groups@1"
    directory.mkdir(parents=True)
    write_table(directory / "rows-0.parquet", groups_to_table(groups))
    figures = {"generate_made": 14.0, "busy_generate_s": 28.0}
    files = ("rows-0.parquet",)
    made = Manifest("groups@1", "groups", "f", "d", (), {}, figures=figures, files=files)
    (directory / "manifest.json").write_bytes(to_bytes(made))
    return Source.of(directory)


def test_what_is_there_and_what_is_missing_is_told_with_its_price(source: Source) -> None:
    told = forecast(Listed(PROMPTS), [REF], 3, 0, [source], lambda _: ASKING)
    assert told == Forecast(10, 6, 30, 12, 6, True, {"generate": 2.0})
    assert str(told) == (
        "12 of 30 candidates are there, 18 to draw (about 36 s of a generator); "
        "6 are scored, 24 to score"
    )


def test_what_other_weights_drew_or_was_asked_otherwise_is_not_there(source: Source) -> None:
    other = replace(REF, weights="others")
    assert forecast(Listed(PROMPTS), [other], 2, 0, [source]).num_taken == 0
    assert forecast(Listed(PROMPTS), [REF], 2, 1, [source]).num_taken == 0  # another seed
    asking = replace(ASKING, score={"template": "how sharp?"})
    assert forecast(Listed(PROMPTS), [REF], 2, 0, [source], lambda _: asking).num_scored == 0


def test_of_a_judge_that_is_not_there_yet_nothing_is_said(source: Source) -> None:
    told = forecast(Listed(PROMPTS[:6]), [REF], 2, 0, [source])
    assert str(told) == "12 of 12 candidates are there, 0 to draw"


def test_a_guess_is_called_one() -> None:
    told = Forecast(10, 10, 40, 25, 9, False, {"generate": 600.0, "judge": 10.0})
    assert str(told) == (
        "about 25 of 40 candidates are there, 15 to draw (about 2.5 h of a generator); "
        "about 9 are scored, 31 to score (about 5 min of a judge, and its new duels)"
    )
