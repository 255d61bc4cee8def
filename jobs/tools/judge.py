"""One prompt's candidates from files and words: judged, compared two by two, and told."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.refs import EndpointRef, JudgeRef
from actors.storage import local_model
from actors.weights import pinned_commit
from factory.media.clips import describe, is_clip
from factory.media.pictures import MediaError
from factory.prompt_parts import in_words
from factory.prompt_rows import PromptsError, check_words
from factory.protocols import Explains, Judge
from factory.ranking.matchups import Matchup, matchup
from jobs.pipelines.models import named_judge
from jobs.rounds.workspace import InputError, Round
from schemas.recipe import Recipe
from schemas.rows import Candidate, Duel, Media, Part, Prompt, Score, Task

if TYPE_CHECKING:
    from actors.judges.dry import Asked


@dataclass(frozen=True)
class Case:
    """What is to be judged; a candidate's id is what the user called it."""

    prompt: Prompt
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Judgement:
    """What a judge says of a case.

    scores: one for each candidate, with `reasons` in the same order.
    matchups: of every two candidates, None where one could not be judged; with `why` likewise.
    """

    case: Case
    judge: str
    scores: tuple[Score, ...]
    reasons: tuple[str, ...]
    matchups: tuple[tuple[str, str, Matchup | None], ...]
    why: tuple[str, ...]


def read_case(files: Sequence[Path], text: str, answers: Sequence[str], *, is_video: bool) -> Case:
    """The files and words of a command line as a prompt and its candidates.

    Args:
        files: pictures or clips; of a question all that it is about, in order.
        text: the caption, or the question that `answers` are given to.
        answers: none for a caption.
        is_video: whether the files are to be clips.

    Raises:
        InputError: a file that cannot be read or is of the other kind, no text, answers without a
            question, two candidates of one name.
    """
    for words in (text, *answers):
        if not words.strip():
            raise InputError("the caption, the question or an answer is empty")
        try:
            check_words(words, repr(f"{words:.40}"))
        except PromptsError as error:
            raise InputError(str(error)) from None
    media = [_read(path, is_video) for path in files]
    if answers:
        task: Task = "video_understanding" if is_video else "image_understanding"
        named = [Candidate(answer, "user", 0, answer=answer) for answer in answers]
        about = [Part("question", media=one) for one in media]
        prompt = Prompt.of_parts([*about, Part("user", text)], task)
    else:
        task = "video_generation" if is_video else "image_generation"
        named = [
            Candidate(str(path), "user", 0, one) for path, one in zip(files, media, strict=True)
        ]
        prompt = Prompt.of(text, task)
    names = [one.candidate_id for one in named]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"{twice!r} is given twice; every candidate is judged once")
    return Case(prompt, tuple(named))


def _read(path: Path, is_video: bool) -> Media:
    try:
        found = describe(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except MediaError as error:
        raise InputError(f"{path}: {error}") from None
    # A clip of one frame is both: what is asked about it is told by the option.
    if is_video and not is_clip(found.data):
        raise InputError(f"{path}: is a picture; give it by --image")
    if not is_video and found.num_frames > 1:
        raise InputError(f"{path}: is a clip of {found.num_frames} frames; give it by --video")
    return found


def judge(judge: Judge, case: Case) -> Judgement:
    """Score every candidate, compare every two in both orders, and ask why."""
    sitting = judge.sit(case.prompt, case.candidates)
    scores = sitting.scores()
    pairs = list(combinations(range(len(case.candidates)), 2))
    duels: list[Duel] = []
    if pairs:
        duels = sitting.duels([match for i, j in pairs for match in ((i, j), (j, i))])
    names = [one.candidate_id for one in case.candidates]
    found = [(names[i], names[j], matchup(duels, names[i], names[j])) for i, j in pairs]
    reasons, why = [""] * len(scores), [""] * len(pairs)
    if isinstance(sitting, Explains):
        reasons = [
            "" if score.error else sitting.justify_score(at, score.value)
            for at, score in enumerate(scores)
        ]
        why = [
            sitting.justify_duel(pair, met.preference) if met else ""
            for pair, (_, _, met) in zip(pairs, found, strict=True)
        ]
    return Judgement(case, judge.name, tuple(scores), tuple(reasons), tuple(found), tuple(why))


def as_text(found: Judgement) -> str:
    """For people: a line for each candidate and each two of them."""
    lines = [f"{found.judge} on {found.case.prompt.task}: {in_words(found.case.prompt)}"]
    for score, reason in zip(found.scores, found.reasons, strict=True):
        said = (
            f"invalid: {score.error}{_wrote(score)}"
            if score.error
            else f"{score.value:.2f} ± {score.spread:.2f}"
        )
        lines.append(f"  {said}  {score.candidate_id}{_because(reason)}")
    for (first, second, met), reason in zip(found.matchups, found.why, strict=True):
        if met is None:
            lines.append(f"  not compared: {first} | {second}")
            continue
        lines.append(
            f"  first {met.p_first:.2f}, second {met.p_second:.2f}, tie {met.p_tie:.2f}"
            f"{' (turns with the order shown)' if met.is_flipped else ''}"
            f"  {first} | {second}{_because(reason)}"
        )
    return "\n".join(lines)


def _wrote(score: Score) -> str:
    """What the judge wrote instead of a score, where it writes."""
    text = score.reply.text if score.reply else None
    return f"; it wrote {text!r}" if text is not None else ""


def _because(reason: str) -> str:
    return f"\n    because: {reason}" if reason else ""


def as_json(found: Judgement) -> str:
    """For programs: the same figures; what could not be judged has an error and no number."""
    scores: list[dict[str, Any]] = [
        {
            "candidate": one.candidate_id,
            "score": None if one.error else one.value,
            "spread": None if one.error else one.spread,
            "reason": reason,
            "error": one.error,
        }
        for one, reason in zip(found.scores, found.reasons, strict=True)
    ]
    pairs = [
        {"first": first, "second": second, "reason": reason}
        | ({"error": "not compared"} if met is None else _figures(met))
        for (first, second, met), reason in zip(found.matchups, found.why, strict=True)
    ]
    return json.dumps(
        {
            "judge": found.judge,
            "task": found.case.prompt.task,
            "prompt": in_words(found.case.prompt),
            "scores": scores,
            "pairs": pairs,
        },
        ensure_ascii=False,
    )


def _figures(met: Matchup) -> dict[str, Any]:
    wanted = ("p_first", "p_second", "p_tie", "logit", "is_flipped")
    return {"verdict": met.preference, **{name: asdict(met)[name] for name in wanted}}


def asked_dry(ref: Any, case: Case, *, is_json: bool) -> str:
    """What a judge would be sent about the first candidate, and about the first two; no weights are
    loaded.

    Raises:
        InputError: a judge of which that cannot be told.
        SpecificationError: one that cannot be asked.
    """
    if isinstance(ref, EndpointRef):
        from actors.judges.dry import posted

        told = posted(ref.raw(), case.prompt, case.candidates)
        if is_json:
            return json.dumps(dict(told), ensure_ascii=False)
        return "\n\n".join(f"{_QUESTIONS[kind]}: the body posted\n{body}" for kind, body in told)
    if not isinstance(ref, JudgeRef):
        raise InputError(
            f"--ask-dry: {ref.address} is asked by code of its own: what it is sent is not known"
        )
    from actors.judges.dry import DryJudge

    dry = DryJudge(
        local_model(ref.path),
        ref.specification,
        trust_remote_code=ref.trust_remote_code,
        revision=pinned_commit(ref.weights),
    )
    found = dry.asked(case.prompt, case.candidates)
    if is_json:
        return json.dumps([asdict(one) for one in found], ensure_ascii=False)
    return "\n\n".join(_dry_text(one) for one in found)


_QUESTIONS = {"score": "a question of points", "duel": "a question of which is better"}


def _dry_text(asked: Asked) -> str:
    """One question for people: the prompt, its tokens with a medium as one line, the answer."""
    what = _QUESTIONS[asked.kind]
    if asked.error is not None:
        return f"{what}: {asked.error}"
    runs = dict(asked.places)
    lines = [
        f"{what}: {len(asked.tokens)} tokens, of which {sum(runs.values())} stand for media",
        "--- prompt",
        asked.text,
        "--- tokens",
    ]
    at = 0
    while at < len(asked.tokens):
        token, said = asked.tokens[at]
        num = runs.get(at, 1)
        many = f" × {num}: a medium" if at in runs else ""
        lines.append(f"{at:6} {token:8} {said!r}{many}")
        at += num
    return "\n".join([*lines, "--- answer", *asked.answer])


def run(recipe: Recipe, given: argparse.Namespace) -> None:
    """Judge what the command line names and print it, or what would be asked.

    Raises:
        InputError: files, words or a judge that cannot be used.
    """
    files = given.image or given.video
    if bool(given.answer) != (given.question is not None):
        raise InputError("--answer: a question has at least one, and a caption none")
    text = given.question if given.caption is None else given.caption
    case = read_case(files, text, given.answer, is_video=bool(given.video))
    ref, model = named_judge(given.judge, Round(recipe, given.round))
    if given.dry_run:
        print(f"{len(case.candidates)} candidate(s) of {case.prompt.task}, by {model.address}")
        return
    if given.ask_dry:
        print(asked_dry(ref, case, is_json=given.json))
        return
    found = judge(ref.load(), case)
    print(as_json(found) if given.json else as_text(found))
