"""Agreement on single dimensions: counted, with what could not be read beside, by their names."""

import math

from factory.evaluation.dimensions import by_dimension
from factory.evaluation.judge_report import INVALID, estimate_of, report
from factory.evaluation.report_text import as_text
from schemas.rows import Dimension, Duel, Opinion, Score


def side(number: int, error: str | None = None, **points: float) -> Score:
    value = math.nan if error else sum(points.values())
    return Score(str(number), "j@1", value, 0.1, error, points)


def pair(n: int, dimensions: tuple[Dimension, ...], *scores: Score) -> Opinion:
    return Opinion(
        *(f"l{n}", f"p{n}", "video_generation", {}, "j@1", "first", None),
        scores=scores,
        dimensions=dimensions,
    )


VQ, MQ = Dimension("vq", "first"), Dimension("mq", "second")
ROWS = [
    pair(0, (VQ, MQ), side(0, VQ=3.0, overall=9), side(1, VQ=1.0, overall=1)),
    pair(1, (VQ,), side(0, VQ=1.0), side(1, VQ=2.0)),
    pair(2, (Dimension("vq", "tie"),), side(0, VQ=2.0), side(1, VQ=2.0)),
    pair(3, (VQ,), side(0, "broken"), side(1, VQ=2.0)),
    pair(4, (Dimension("vq", None, 4.0, 2.0),), side(0, VQ=5.0), side(1, VQ=2.0)),
]


def test_each_dimension_is_held_against_people_by_its_points() -> None:
    found, unscored = by_dimension(ROWS, num_resamples=20)
    assert unscored == ("mq",)
    vq = found["vq"]
    assert (vq.num_pairs, vq.num_decided, vq.num_read) == (5, 3, 4)
    assert round(vq.accuracy.value, 6) == round(2 / 3, 6)
    assert vq.ties.accuracy.value == 0.75
    assert math.isnan(vq.correlation.value)


def duel(first: str, second: str, *said: Dimension, error: str | None = None) -> Duel:
    return Duel(first, second, "j@1", 0.6, 0.3, 0.1, error, dimensions=said)


def test_duels_tell_dimensions_too_in_both_orders() -> None:
    """A verdict, or points of the two sides, told of the sides in the order shown."""

    def judged(n: int, *duels: Duel) -> Opinion:
        return Opinion(
            *(f"l{n}", f"p{n}", "image_generation", {}, "j@1", "first", None),
            duels=duels,
            dimensions=(Dimension("alignment", "first"),),
        )

    better, worse = Dimension("Alignment", None, 0.6, 0.4), Dimension("Alignment", None, 0.4, 0.6)
    rows = [
        judged(0, duel("0", "1", better), duel("1", "0", worse)),
        judged(1, duel("0", "1", better), duel("1", "0", better)),  # whichever is shown first
        judged(2, duel("0", "1", Dimension("alignment", "tie")), duel("1", "0", worse)),
        judged(3, duel("0", "1", better), duel("1", "0", worse, error="cut")),
    ]
    (found,) = by_dimension(rows, num_resamples=20)[0].values()
    assert (found.num_verdicts, found.num_no_verdict) == (3, 1)
    assert found.verdicts.value == (1 + 0.5 + 0.75) / 3
    made = report(rows, "j@1", "labels", num_resamples=20)
    (part,) = [one for one in made.slices if one.name == "dimension: alignment"]
    assert [one.name for one in part.estimates] == ["accuracy without ties"]


def test_points_of_single_sides_are_correlated() -> None:
    rows = [
        Opinion(
            *(f"s{n}", f"p{n}", "image_generation", {}, "j@1", None, 3.0),
            scores=(side(0, Alignment=float(n)),),
            dimensions=(Dimension("alignment", None, float(n) / 2),),
        )
        for n in range(1, 6)
    ]
    rows.append(
        Opinion(
            *("s9", "p9", "image_generation", {}, "j@1", None, 3.0),
            scores=(side(0, "broken"),),
            dimensions=(Dimension("alignment", None, 2.0),),
        )
    )
    (found,) = by_dimension(rows, num_resamples=20)[0].values()
    assert (found.num_points, found.num_read_points, found.num_pairs) == (6, 5, 0)
    assert found.correlation.value == 1.0


def test_the_report_tells_dimensions_with_their_counts() -> None:
    made = report(ROWS, "j@1", "labels", num_resamples=20)
    accuracy = estimate_of(made, "score accuracy without ties", "dimension: vq")
    rate = estimate_of(made, INVALID, "dimension: vq")
    assert accuracy is not None
    assert rate is not None
    assert (accuracy.num, accuracy.num_invalid, accuracy.low is not None) == (3, 1, True)
    assert (rate.value, rate.num) == (0.2, 5)
    text = as_text(made)
    assert "the labels tell mq, of which the judge says nothing" in text
    assert all(
        ", " in line for line in text.splitlines() if "accuracy" in line and " over " in line
    )
