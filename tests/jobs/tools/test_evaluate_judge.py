"""A judge on benchmarks: the oracle of the sandbox stands in, which knows the right answers."""

import json
import random
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.judge_workers import opinion_of
from factory.evaluation.judge_report import AFTER, MACRO, estimate_of, report
from factory.evaluation.report_text import as_text
from factory.judging.fitting import fit
from factory.media.pictures import encode_png
from factory.sandbox.drawing import draw
from factory.sandbox.world import parse, sample_captions
from jobs import evaluate_judge
from jobs.datasets.labels import Split, label_batches
from jobs.pipelines.opinions import OPINIONS_FILE, read_opinions
from jobs.rounds.tracking import Tracker
from jobs.rounds.workspace import InputError
from jobs.tools import evaluate_judge as measuring
from jobs.tools import judge_stability
from schemas import manifest, results
from schemas.arrow import labels_from_table
from schemas.places import Place
from schemas.rows import Duel, Opinion, Score

ORACLE = "sandbox:oracle"  # a word for its `package.module:name`
CAPTIONS = sample_captions(7, seed=3)


def right(caption: str) -> bytes:
    return encode_png(draw(parse(caption), random.Random(1)))


def benchmark(path: Path) -> Path:
    """Six pairs, right against wrong, one of them voted for the wrong side; one tie."""
    rows = []
    for n, caption in enumerate(CAPTIONS[:6]):
        sides = {"left": right(caption), "right": right(CAPTIONS[n + 1])}
        vote = "leftvote"
        if n % 2:
            sides, vote = {"left": sides["right"], "right": sides["left"]}, "rightvote"
        if n == 5:
            vote = "leftvote"  # of a person who clicked wrongly
        rows.append(
            {"prompt": caption, "vote_type": vote, **{f"{k}_image": v for k, v in sides.items()}}
        )
    same = right(CAPTIONS[6])
    rows.append(
        {"prompt": CAPTIONS[6], "vote_type": "tievote", "left_image": same, "right_image": same}
    )
    rows.append({**rows[0], "left_image": b"broken"})
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.slow
@pytest.mark.slow
def test_a_benchmark_is_measured_once_and_told_again(
    tmp_path: Path, local_ray: None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = benchmark(tmp_path / "bench.parquet")
    command = ["--format=genai-bench", f"--file={path}", f"--judge={ORACLE}", "--slice=vote"]
    command.append(f"root={tmp_path / 'run'}")
    assert evaluate_judge.main(command) == 0
    out = tmp_path / "run" / "data" / "benchmark-genai-bench@1"
    made = manifest.read(out)
    assert made is not None
    assert made.counts == {"labels": 7, "pairs": 7, "points": 0, "invalid": 0, "unusable_rows": 1}
    found = results.read(out / results.AGREEMENT, results.JudgeReport)
    assert found is not None
    diff, tau = (
        estimate_of(found, "accuracy without ties"),
        estimate_of(found, "accuracy with ties"),
    )
    assert diff is not None
    assert tau is not None
    assert (diff.value, diff.num_invalid) == (pytest.approx(5 / 6), 0)
    assert tau.value == pytest.approx(6 / 7)
    by_score = estimate_of(found, "score accuracy with ties by threshold")
    assert by_score is not None
    assert by_score.value == pytest.approx(6 / 7)
    assert [one.name for one in found.slices] == [
        "all",
        "vote: leftvote",
        "vote: rightvote",
        "vote: tievote",
    ]
    assert len(read_opinions(out / OPINIONS_FILE)) == 7
    tracker = Tracker("laptop", tmp_path / "run")
    (run,) = tracker.client.search_runs(
        [tracker.experiment_id], "tags.`factory.stage` = 'evaluate_judge-genai-bench'"
    )
    assert run.info.status == "FINISHED"
    assert run.data.metrics["accuracy_without_ties"] == pytest.approx(5 / 6)
    assert run.data.metrics["unusable_rows"] == 1
    assert run.data.params["format"] == "genai-bench"
    first = capsys.readouterr().out
    assert "1 row(s) unusable" in first
    assert evaluate_judge.main(command) == 0
    again = capsys.readouterr().out
    assert "complete already" in again
    assert as_text(found) in again
    assert evaluate_judge.main([*command, "seed=7"]) == 2
    assert "seed: 0 -> 7" in capsys.readouterr().err


def test_a_dry_run_says_what_would_be_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = benchmark(tmp_path / "bench.parquet")
    pq.write_table(pq.read_table(path).slice(0, 7), path)
    command = ["--format=genai-bench", f"--file={path}", f"--judge={ORACLE}", "--dry-run"]
    assert evaluate_judge.main([*command, f"root={tmp_path / 'run'}"]) == 0
    assert "7 label(s) of the first rows" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--file=absent.parquet"], "judge@1 is not complete; run `python -m jobs.train_judge`"),
        (["--file=absent.parquet", "--judge=absent/no/model"], "--judge: no model at"),
        (["--file=absent.parquet", f"--judge={ORACLE}"], "absent.parquet: no such file"),
        (["--format=hpd", "--file=absent.json", f"--judge={ORACLE}"], "absent.json: no such file"),
    ],
)
def test_a_missing_input_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], fault: str
) -> None:
    assert evaluate_judge.main([*arguments, f"root={tmp_path / 'run'}"]) == 2
    assert fault in capsys.readouterr().err


def test_a_benchmark_that_cannot_be_read_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "bench.json", tmp_path / "bench@1"
    path.write_text("[]")
    command = ["--format=hpd", f"--file={path}", f"--judge={ORACLE}", f"--out={out}"]
    assert evaluate_judge.main([*command, f"root={tmp_path / 'run'}"]) == 2
    assert "no row gives a label" in capsys.readouterr().err
    assert not out.exists()
    out.mkdir()
    (out / "notes.txt").write_text("keep me")
    assert evaluate_judge.main([*command, f"root={tmp_path / 'run'}"]) == 2
    assert "holds files that are no evaluation" in capsys.readouterr().err
    assert (out / "notes.txt").read_text() == "keep me"


def test_what_failed_keeps_the_imported_rows_and_what_was_judged_is_not_judged_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = benchmark(tmp_path / "bench.parquet"), tmp_path / "bench@1"
    command = ["--format=genai-bench", f"--file={path}", f"--judge={ORACLE}", f"--out={out}"]
    command.append(f"root={tmp_path / 'run'}")
    answers = [opinion(n, "image_generation", "first", 0.8) for n in range(4)]
    calls: list[str] = []

    def judge(*given: object, **more: object) -> list[Opinion]:
        calls.append("judge")
        if len(calls) == 1:
            raise InputError("the judge does not answer")
        return answers

    def track(*given: object) -> None:
        calls.append("track")
        if calls.count("track") == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(measuring, "ray_session", lambda recipe: nullcontext())
    monkeypatch.setattr(measuring, "judge_labels", judge)
    monkeypatch.setattr(measuring, "_track", track)
    assert evaluate_judge.main(command) == 2
    assert manifest.read(out) is None
    imported = manifest.read(out / "labels@1")
    assert imported is not None
    assert evaluate_judge.main(command) == 130  # between the manifest and what MLflow is told
    assert manifest.read(out / "labels@1") == imported
    capsys.readouterr()
    assert evaluate_judge.main(command) == 0
    assert calls == ["judge", "judge", "track", "track"]
    assert "accuracy without ties" in capsys.readouterr().out
    assert evaluate_judge.main(command) == 0
    assert calls == ["judge", "judge", "track", "track"]
    assert "bench@1: complete already (invalid 0, labels 4" in capsys.readouterr().out
    assert evaluate_judge.main([*command, "seed=7"]) == 2
    message = capsys.readouterr().err
    assert "bench@1 was made with another recipe or command line:\n  seed: 0 -> 7" in message
    assert "Use another --out" in message


def asked_here(
    ref: Any, files: Sequence[Place], settings: object, split: Split, *, with_scores: bool
) -> list[Opinion]:
    """As `judge_labels`, in this process."""
    judge = ref.load()
    found = [
        opinion_of(judge, label, with_scores=with_scores)
        for batch in label_batches(files, split)
        for label in labels_from_table(batch)
    ]
    return sorted(found, key=lambda one: one.label_id)


def test_the_same_rows_give_the_same_report_to_the_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pq.read_table(benchmark(tmp_path / "bench.parquet"))
    table = pa.concat_tables([table, table.slice(1, 1)])
    order = [5, 2, 8, 0, 7, 3, 6, 1, 4]
    told = {
        "a": [table],
        "b": [table.take(order)],
        "c": [table.take(order[4:]), table.take(order[:4])],
    }
    monkeypatch.setattr(measuring, "ray_session", lambda recipe: nullcontext())
    monkeypatch.setattr(measuring, "judge_labels", asked_here)
    found = set()
    for name, parts in told.items():
        files = [tmp_path / f"{name}{number}.parquet" for number in range(len(parts))]
        for file, rows in zip(files, parts, strict=True):
            pq.write_table(rows, file)
        out = tmp_path / f"{name}@1"
        command = ["--format=genai-bench", *(f"--file={file}" for file in files), f"--out={out}"]
        command += [f"--judge={ORACLE}", f"root={tmp_path / 'run'}", "evaluate.num_resamples=100"]
        assert evaluate_judge.main(command) == 0
        found.add((out / results.AGREEMENT).read_bytes() + (out / OPINIONS_FILE).read_bytes())
    assert len(found) == 1
    text = capsys.readouterr().out
    assert "8 labels, whose content has the digest" in text
    assert "of them 1 say again what was said, and 0 contradict it" in text
    assert "accuracy without ties (diff)" in text
    made = results.read(tmp_path / "a@1" / results.AGREEMENT, results.JudgeReport)
    assert made is not None
    assert made.seen is not None
    assert (made.seen.num, made.seen.duplicate, made.seen.num_unusable) == (8, 1, 1)


# ----------------------------------------------------------------------------------- stability


class RayHere:
    """Stands in for Ray: what is to be done by a worker is done at once."""

    @staticmethod
    def remote(**resources: float) -> Any:
        return lambda work: SimpleNamespace(remote=work)

    @staticmethod
    def get(done: Any) -> Any:
        return done


def test_how_stable_a_judge_is_is_measured_once_and_told_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = benchmark(tmp_path / "bench.parquet")
    monkeypatch.setattr(judge_stability, "ray_session", lambda recipe: nullcontext())
    monkeypatch.setitem(sys.modules, "ray", RayHere)
    command = ["--format=genai-bench", f"--file={path}", f"--judge={ORACLE}", "--stability=4"]
    command.append(f"root={tmp_path / 'run'}")
    assert evaluate_judge.main(command) == 0
    out = tmp_path / "run" / "data" / "stability-genai-bench@1"
    found = results.read(out / results.STABILITY, results.Stability)
    assert found is not None
    assert found.num_labels == 4
    told = {one.name: one for one in found.variants}
    company = told["in company, with sides of other labels"]
    assert (company.num_duels, company.num_flips, company.why_not) == (8, 0, "")
    assert "no precision to set" in told["in another precision"].why_not
    assert "in a directory" in told["by ONNX"].why_not
    first = capsys.readouterr().out
    assert evaluate_judge.main(command) == 0
    again = capsys.readouterr().out
    assert "complete already" in again
    assert again.splitlines()[-5:] == first.splitlines()[-5:]
    assert evaluate_judge.main([*command, "--stability=5"]) == 2
    assert "stability: 4 -> 5" in capsys.readouterr().err


# -------------------------------------------------------------------------------------- report


def opinion(n: int, task: str, preference: str, p: float | None) -> Opinion:
    error = "broken media" if p is None else None
    first = float("nan") if p is None else p
    duels = (
        Duel("0", "1", "j@1", first, 1 - first, 0.0, error),
        Duel("1", "0", "j@1", 1 - first, first, 0.0, error),
    )
    return Opinion(f"l{n}", f"p{n}", task, {"kind": task[:5]}, "j@1", preference, None, (), duels)  # type: ignore[arg-type]


def test_calibrated_figures_leave_out_what_was_fitted_on() -> None:
    opinions = [opinion(n, "image_generation", "first", 0.8) for n in range(60)]
    calibration = fit(opinions[:40], "temperature", 0.9)
    made = report(opinions, "j@1", "labels", calibration, num_resamples=20)
    claimed = estimate_of(made, "calibration error")
    calibrated = estimate_of(made, "calibration error" + AFTER)
    assert claimed is not None
    assert calibrated is not None
    assert (claimed.num, calibrated.num) == (60, 20)
    assert [one.num for one in made.slices[0].calibrated] == [20]
    alone = report(opinions[:40], "j@1", "labels", calibration, num_resamples=20)
    nothing = estimate_of(alone, "calibration error" + AFTER)
    assert nothing is not None
    assert (nothing.value, nothing.num) == (None, 0)


def test_a_report_tells_tasks_apart_and_the_invalid_beside() -> None:
    opinions = [opinion(n, "image_generation", "first", 0.8) for n in range(6)]
    opinions += [opinion(n, "video_generation", "second", 0.8) for n in range(6, 8)]
    opinions.append(opinion(8, "video_generation", "second", None))
    opinions.append(
        Opinion(
            *("s", "p9", "image_generation", {}, "j@1", None, 3),
            scores=(Score("0", "j@1", 3.0, 0.5),),
        )
    )
    made = report(opinions, "j@1", "some labels", tags=["kind"], num_resamples=50)
    assert [one.name for one in made.slices] == [
        "all",
        "image_generation",
        "video_generation",
        "kind: ",
        "kind: image",
        "kind: video",
    ]
    overall, macro = estimate_of(made, "accuracy without ties"), estimate_of(made, MACRO)
    assert overall is not None
    assert macro is not None
    assert (overall.value, overall.num, overall.num_invalid) == (0.75, 8, 1)
    assert (macro.value, macro.note) == (0.5, "mean of 2 tasks")
    video = estimate_of(made, "invalid rate", "video_generation")
    assert video is not None
    assert video.value == pytest.approx(1 / 3)
    assert json.loads(json.dumps(as_text(made)))
    assert "accuracy without ties" in as_text(made)
