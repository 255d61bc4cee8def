"""Simulated labels of what a generator made: sampled answers, of which many are alike."""

from collections import Counter

from factory.sandbox.four_tasks import Side, drawn_cases, see
from factory.sandbox.labels import annotators_of, simulate_labels
from schemas.recipe import AnnotatorSpec, Labels
from schemas.rows import Candidate, Group

LABELS = Labels(
    prompts="label.parquet",
    pairs_per_prompt=100,
    heldout_share=0.0,
    annotators=[AnnotatorSpec(name="exact", noise=0.0, error_rate=0.0)],
)


def sampled(seed: int) -> list[Group]:
    """Questions whose answers were sampled: each comes twice, and one sample failed."""
    groups = []
    for prompt, sides in drawn_cases("video_understanding", 4, 3, seed):
        answers = [one.answer for one in sides] * 2
        candidates = [
            Candidate(f"{prompt.prompt_id} {at}", "answerer@0", at, answer=answer)
            for at, answer in enumerate(answers)
        ]
        candidates.append(Candidate("cut", "answerer@0", 99, error="the answer does not end"))
        groups.append(Group(prompt, tuple(candidates)))
    return groups


def test_answers_are_labelled_once_each_by_how_right_they_are():
    annotators = annotators_of(LABELS, 0)
    for group in sampled(5):
        labels = simulate_labels(group, annotators, LABELS, 0)
        assert labels == simulate_labels(group, annotators, LABELS, 0)
        answers = {one.answer for one in group.candidates if one.error is None}
        points = [one for one in labels if one.points is not None]
        assert Counter(one.first_answer for one in points) == dict.fromkeys(answers, 1)
        pairs = [one for one in labels if one.preference is not None]
        assert len(pairs) == len(answers) * (len(answers) - 1)  # both ways round
        assert len({one.label_id for one in labels}) == len(labels)
        for one in pairs:
            assert one.first is None
            assert one.second is None
            assert one.prompt.media is not None
            sides = (one.first_answer, one.second_answer)
            first, second = (see(one.prompt, Side(answer=side)).quality for side in sides)
            wanted = "tie" if first == second else "first" if first > second else "second"
            assert one.preference == wanted
            assert one.annotator == "simulated:exact"
