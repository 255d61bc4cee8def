"""Reasons are counted by who was to make what did not come about."""

from factory.failures import Failures, failed_by_generator, reason_of


def row(*candidates: tuple[str, str | None], **more: object) -> dict[str, object]:
    made = [{"generator": who, "error": error} for who, error in candidates]
    return {"candidates": made, "scores": [], "error": None, "failed_stage": None, **more}


def test_one_cause_is_one_reason_whatever_its_numbers() -> None:
    first, second = (
        reason_of(f"ValueError: ratio must be below 200, got {got}") for got in ("251.0", "9")
    )
    assert first == second == "ValueError: ratio must be below #, got #"
    assert len(reason_of("x" * 900)) == 120
    assert reason_of("it is a GIF of 645 bytes; MP4 clips are read") == (
        "it is a GIF of # bytes; MP4 clips are read"
    )


def test_a_generator_that_always_fails_is_told_though_no_row_does() -> None:
    failures = Failures()
    for number in range(3):
        failures.add(row(("sketch@1", None), ("ink@0", f"OSError: no file {number}")))
    failures.add(row(("sketch@1", "nsfw_content_detected: x"), ("ink@0", "KeyError: 'a'")))
    assert failures.sentences() == [
        "ink: 4 of 4 came to nothing: 3 x OSError: no file #; 1 x KeyError: 'a'",
        "sketch: 1 of 4 came to nothing: 1 x nsfw_content_detected: x",
    ]
    assert failures.sentences(most=1)[0].endswith("3 x OSError: no file #; and 1 other reason(s)")


def test_a_judge_answers_for_its_own_failures_alone() -> None:
    failures = Failures()
    said = [
        {"judge": "judge@1", "error": "not generated: OSError: no file"},
        {"judge": "judge@1", "error": "not taken by the judge: ValueError: 251"},
        {"judge": "judge@1", "error": None},
    ]
    failures.add(row(("a@0", "OSError: no file"), scores=said))
    failures.add(row(error="judge@1: RuntimeError: planted", failed_stage="judge"))
    failures.add(row(error="OSError: no file", failed_stage="generate"))
    assert failures.sentences() == [
        "a: 1 of 1 came to nothing: 1 x OSError: no file",
        "judge: 1 of 2 came to nothing: 1 x not taken by the judge: ValueError: #",
        "judging a whole row: 1 of 1 came to nothing: 1 x judge@#: RuntimeError: planted",
    ]


def test_a_manifest_counts_the_failed_of_each_generator_that_has_some() -> None:
    counts = failed_by_generator(["a@1", "a@1", "b@0", "c@0"], ["x", None, "y", None])
    assert counts == {"invalid_candidates/a": 1, "invalid_candidates/b": 1}
