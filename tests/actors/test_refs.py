"""What a reference of a judge loads, and what of it is kept: the same judge either way, and taken
over without a call.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from actors.judges import TransformersJudge
from actors.refs import EndpointRef, JudgeRef, JudgingRef, PluginRef
from factory.judging.recording import RecordingJudge
from factory.media.pictures import encode_png
from factory.protocols import Judge
from schemas.arrow import groups_from_table, groups_to_table
from schemas.recipe import Criteria, Criterion, EndpointSpec
from schemas.recipe_file import load
from schemas.rows import Candidate, Group, Media, Prompt, Reply
from tests.actors.test_endpoint import StubServer, serving

PROMPT = Prompt.of("a large red cross in the center on a white background")
MATCHES = [(0, 1), (1, 0), (2, 1)]
CRITERIA = Criteria(named=[Criterion(name="sharp", text="look at the edges")])


def picture(seed: int) -> Media:
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Media(encode_png(pixels), 32, 32)


CANDIDATES = [Candidate(str(seed), "g@0", seed, picture(seed)) for seed in range(3)]


@pytest.fixture
def server() -> Iterator[StubServer]:
    with serving() as stub:
        yield stub


def run(ref: JudgingRef, at_hand: Sequence[Reply] = ()) -> tuple[Group, Judge]:
    judge, recorder = ref.recorded()
    with recorder.open(at_hand) as ledger:
        sitting = judge.sit(PROMPT, CANDIDATES)
        scores, duels = sitting.scores(), sitting.duels(MATCHES)
    group = Group(PROMPT, tuple(CANDIDATES), tuple(scores), tuple(duels), replies=ledger.replies)
    (kept,) = groups_from_table(groups_to_table([group]))
    return kept, judge


def raw_of(judge: Judge) -> TransformersJudge:
    while not isinstance(judge, RecordingJudge):
        judge = judge.judge  # type: ignore[attr-defined]
    assert isinstance(judge.judge, TransformersJudge)
    return judge.judge


def test_a_judge_of_weights_says_the_same_kept_or_not_and_again() -> None:
    path = load("jobs/recipes/laptop.yaml").judge.path
    ref = JudgeRef(path, "judge@3", criteria=CRITERIA, weights="digest")
    plain = ref.load().sit(PROMPT, CANDIDATES)
    fresh, judge = run(ref)
    assert list(fresh.scores) == plain.scores()
    assert list(fresh.duels) == plain.duels(MATCHES)
    assert raw_of(judge).num_forwards == 9
    assert [one.criterion for one in fresh.replies] == [None] * 3 + ["sharp"] * 3 + [None] * 3
    score, duel = fresh.replies[0], fresh.replies[-1]
    assert set(score.logprobs) == {"1", "2", "3", "4", "5"}
    assert set(duel.logprobs) == {"first", "second", "tie"}
    assert (score.text, score.num_written) == (None, 0)
    assert (score.num_read or 0) > 10
    assert len({one.request for one in fresh.replies} - {None}) == 9
    taken, silent = run(replace(ref, address="judge@4"), fresh.replies)
    assert raw_of(silent).num_forwards == 0
    renamed = [replace(one, judge="judge@4") for one in fresh.scores]
    assert list(taken.scores) == renamed  # to the last bit
    assert [one.p_first for one in taken.duels] == [one.p_first for one in fresh.duels]
    some = [one for one in fresh.replies if "2" not in (one.first_id, one.second_id)]
    partly, asked = run(ref, some)
    assert raw_of(asked).num_forwards == len(fresh.replies) - len(some) == 3
    # In another batch, so up to rounding; what was at hand stays to the last bit.
    assert [one.value for one in partly.scores] == pytest.approx(
        [one.value for one in fresh.scores], abs=1e-4
    )
    assert partly.scores[:2] == fresh.scores[:2]
    unknown, asked = run(replace(ref, weights=None), fresh.replies)
    assert raw_of(asked).num_forwards == 9
    assert {one.key for one in unknown.replies} == {None}
    other, asked = run(replace(ref, precision="bf16"), fresh.replies)
    assert raw_of(asked).num_forwards == 9
    assert not {one.key for one in other.replies} & {one.key for one in fresh.replies}


def test_an_endpoint_is_not_asked_again_but_for_attempts(server: StubServer) -> None:
    spec = EndpointSpec(
        url=server.url,
        model="m",
        specification="unifiedreward-llava-onevision",
        concurrency=1,
        num_retries=0,
    )
    ref = EndpointRef(spec.judge, "endpoint@0", "m at revision 2")
    server.say("I would rather not.")
    server.queue.append((401, {}, b"bad key"))
    first, _ = run(ref)
    assert [one.is_attempt for one in first.replies] == [False, True, *[False] * 4]
    assert len(server.requests) == 6
    second, _ = run(ref, first.replies)
    assert len(server.requests) == 7
    assert [one.error is None for one in second.scores] == [False, True, True]
    assert second.scores[0].error == first.scores[0].error
    elsewhere = spec.model_copy(update={"url": "http://127.0.0.1:9", "concurrency": 8})
    third, _ = run(replace(ref, spec=elsewhere.judge), second.replies)
    assert str(third) == str(second)  # an address is in no key


def test_a_judge_of_ones_own_is_taken_where_its_revision_is_known() -> None:
    ref = PluginRef("tests.stubs:StubJudge", "--judge", "mine@0", is_renamed=True)
    fresh, _ = run(ref)
    assert {one.judge for one in (*fresh.scores, *fresh.duels, *fresh.replies)} == {"mine@0"}
    assert {one.key for one in fresh.replies} == {None}
    known = replace(ref, weights="mine at revision 2")
    first, _ = run(known)
    assert [one.value for one in first.scores] == [one.value for one in fresh.scores]
    judge, recorder = known.recorded()
    assert isinstance(judge, RecordingJudge)
    with recorder.open(first.replies) as ledger:
        assert tuple(judge.sit(PROMPT, CANDIDATES).scores()) == first.scores
    assert (ledger.num_asked, ledger.num_taken) == (0, 3)
