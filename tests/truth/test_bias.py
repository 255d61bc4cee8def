"""The part `bias` at a size for the suite: answers, and words across pictures."""

from tests.truth import bias_pools
from tests.truth.bias import KINDS, Judge, Told, audits

SEED = 5


def audited(name: str, judge: Judge, replications: int) -> Told:
    kind = KINDS[name]
    pool = kind.pool(kind.num_asked + kind.num_paired, SEED)
    return audits(kind, pool, replications, SEED, judge)


def test_a_judge_of_facts_is_not_accused_of_length():
    """With cut answers it was, in 63 % of audits."""
    assert audited("length", Judge({}), 20).accused <= 0.05
    assert audited("length", Judge({}, minds=0.05), 20).accused <= 0.05


def test_a_liking_of_length_is_found_and_taken_out_of_kept_pairs():
    told = audited("length", Judge({"length": 0.8}), 15)
    assert told.found == 1
    assert told.removed > 0.7


def test_a_liking_of_words_across_a_picture_is_found_and_taken_out_of_kept_pairs():
    """Without a measure of them nothing could be taken out."""
    told = audited("text", Judge({"text": 0.5}), 12)
    assert told.found >= 0.9
    assert told.removed > 0.6


def test_pools_hold_what_they_say():
    pool = bias_pools.answers(40, SEED)
    said = [merits for one in pool.merits for merits in one]
    lengths = [look["length"] for one in pool.looks for look in one]
    assert abs(sum(map(sum, pool.costs))) == 0  # an addition takes nothing away
    longer = [m for m, x in zip(said, lengths, strict=True) if x > sorted(lengths)[160]]
    assert sum(longer) / len(longer) > sum(said) / len(said) + 0.5  # longer answers say more
