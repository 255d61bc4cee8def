"""A reward model that gives numbers as a judge: each candidate is looked at once, and duels follow
from the scores by the rule that was fitted to labels, or else by the one that the publisher trained
with.

The number in a score is the publisher's own. What cannot be judged is marked with its reason, and
is never a low number: broken media, a shape that the model does not take, a caption that it cannot
be shown, a number that is none.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from actors.judges.local import local_directory
from actors.judges.scalar import loading, pixels
from actors.judges.scalar.scorers import UnreadableCaptionError, scorer_of
from actors.memory import halving, is_attempt, reason
from factory.judging.by_scores import Rule, SittingByScores
from factory.judging.reading import score_of
from factory.judging.recording import Recorder
from factory.judging.scalar import FILE, ScalarSpecification, find
from factory.judging.specification import JudgeSpecification, SpecificationError
from factory.keys import Asking, output_digest
from factory.media.clips import Frames, decode_chosen, decode_still
from factory.media.pictures import MAX_PIXELS, MediaError
from factory.media.shape import shape_fault
from factory.prompt_parts import in_words
from schemas.rows import Candidate, Duel, Prompt, Reply, Score, Task

_LOGGER = logging.getLogger("preference_factory.models")
#: Frames of the largest picture that a clip's chosen frames may amount to: 0.6 GB decoded. A minute
#: at two frames a second has 110 megapixels at 720p.
_MOST_FRAMES = 4
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class ScalarJudge:
    """A loaded reward model.

    specification: how it is asked, and what its numbers are.
    rules: how its scores become verdicts, by task.
    """

    def __init__(
        self,
        path: str,
        name: str,
        precision: str = "fp32",
        max_batch: int = 64,
        specification: JudgeSpecification | str | None = None,
        *,
        trust_remote_code: bool = False,
        revision: str | None = None,
    ) -> None:
        """Load a judge.

        Args:
            path: a model directory or a hub name, with weights in safetensors.
            name: `name@version`.
            precision: fp32, fp16 or bf16; norms and heads are float32 in any.
            max_batch: most pictures or clips in one forward pass.
            specification: name of a shipped scalar specification, or a JSON file; the model's own
                `scalar.json` where not given.
            trust_remote_code: refused; no reward model here comes with code.
            revision: commit of a hub's repository; its main branch where not given.

        Raises:
            SpecificationError: nothing says which reward model it is, it lacks a part, or weights
                are not all those of the model.
            RulesError: a file of rules that cannot be read.
        """
        if trust_remote_code:
            raise SpecificationError(
                f"{path}: a scalar judge runs no code of its weights: leave trust_remote_code out"
            )
        if isinstance(specification, JudgeSpecification):
            raise SpecificationError(
                f"{path}: a scalar judge is not asked in words: its specification is a scalar one "
                f"(its {FILE}, or a shipped name)"
            )
        directory = local_directory(path, revision)
        self.name = name
        self.path = path
        self.precision = precision
        self.max_batch = max_batch
        self.specification = found_in(directory, specification)
        self.rules: Mapping[Task, Rule] = loading.rules_of(directory, self.specification)
        model = loading.load(directory, self.specification, _DTYPES[precision])
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model: Any = model.to(self.device)
        self.scorer = scorer_of(directory, self.model, self.specification)
        self._has_told = False

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> ScalarSitting:
        """Take in one prompt's candidates.

        Raises:
            SpecificationError: a task that the model was not trained to judge, or parts of a prompt
                that it has no place for.
        """
        self.specification.check_prompt(prompt)
        return ScalarSitting(self, prompt, candidates)

    def recorder(self, weights: str | None) -> Recorder:
        """Keeps what this judge says and knows it again: its replies are numbers alone, which stand
        as they are.

        Args:
            weights: what tells this model apart from every other (`actors.weights`).
        """
        return recorder_of(self.specification, self.rules, self.precision, weights)

    def tell_cut(self, num: int) -> None:
        """Say once that a caption was longer than what the model reads."""
        if not self._has_told:
            self._has_told = True
            _LOGGER.warning(
                "%s reads %s tokens of a caption; of one it did not see the last %d, and of others "
                "this is not told again",
                self.name,
                self.specification.max_tokens,
                num,
            )


def recorder_of(
    specification: ScalarSpecification,
    rules: Mapping[Task, Rule],
    precision: str,
    weights: str | None,
) -> Recorder:
    """The recorder of a judge that need not be loaded; see `ScalarJudge.recorder`."""
    score = {"scalar": specification.asking()}

    def asking(prompt: Prompt) -> Asking:
        specification.check_prompt(prompt)
        duel = {**score, "rule": repr(rules.get(prompt.task))}
        return Asking(weights, precision, score, duel)

    return Recorder(asking)


class ScalarSitting:
    """One prompt's candidates before a `ScalarJudge`; each is decoded and scored once."""

    def __init__(self, judge: ScalarJudge, prompt: Prompt, candidates: Sequence[Candidate]) -> None:
        self.judge = judge
        self.prompt = prompt
        self.candidates = candidates
        self._seen = [_see(one, prompt.task, judge.specification.fps) for one in candidates]
        self._replies: dict[int, Reply] = {}

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        wanted = range(len(self.candidates)) if indices is None else indices
        missing = sorted(set(wanted) - self._replies.keys())
        if missing:
            self._replies |= self._ask(missing)
        return [score_of(self._replies[index]) for index in wanted]

    def about(self, prompt: Prompt) -> ScalarSitting:
        """The same candidates under a prompt of the same words.

        Raises:
            SpecificationError: of other words, as with a criterion added: a reward model was
                trained on captions, and would give a number for anything.
        """
        if in_words(prompt) != in_words(self.prompt):
            raise SpecificationError(
                f"{self.judge.specification.name} reads the caption alone, and there is no place "
                "in it for a criterion's sentence; its own dimensions are weighed by their names"
            )
        other = copy(self)  # what was said stays said
        other.prompt = prompt
        return other

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        """What the scores of the two sides say.

        Raises:
            RulesError: nothing says how scores become verdicts.
        """
        judge = self.judge
        rule = judge.rules.get(self.prompt.task)
        if rule is None:
            raise loading.no_rule(judge.name, judge.path, judge.specification)
        return SittingByScores(self, len(self.candidates), rule).duels(matches)

    def _ask(self, indices: Sequence[int]) -> dict[int, Reply]:
        """A reply for each of these candidates."""
        caption = in_words(self.prompt)
        faults = {index: fault for index in indices if (fault := self._seen[index][1]) is not None}
        asked = [index for index in indices if index not in faults]
        is_failed_attempt = False
        num_read: int | None = None
        outputs: dict[int, Sequence[float]] = {}
        began = time.perf_counter()
        try:
            num_read, num_cut = self.judge.scorer.num_tokens(caption)
            if num_cut:
                self.judge.tell_cut(num_cut)
            outputs, unscored = self._outputs(caption, asked)
            faults |= unscored
        except UnreadableCaptionError as error:
            is_failed_attempt = error.is_attempt
            faults |= dict.fromkeys(asked, str(error))
        seconds = (time.perf_counter() - began) / max(len(asked), 1)
        replies = {}
        for index in indices:
            candidate = self.candidates[index]
            reply = Reply(None, self.judge.name, candidate.candidate_id, error=faults.get(index))
            if index in asked:
                reply = replace(
                    reply,
                    request=self._request(caption, candidate),
                    num_read=num_read,
                    num_written=0,
                    seconds=seconds,
                    is_attempt=is_failed_attempt,
                )
            if index in outputs:
                reply = self._read(reply, outputs[index])
            replies[index] = reply
        return replies

    def _outputs(
        self, caption: str, indices: Sequence[int]
    ) -> tuple[dict[int, Sequence[float]], dict[int, str]]:
        """The model's numbers, and why there are none: what the model does not take is a fault of
        the candidate that shows it, and of no other.
        """

        @torch.inference_mode()
        def work(some: Sequence[int]) -> list[list[float]]:
            made = self.judge.scorer.outputs(caption, [self._frames(index) for index in some])
            rows: list[list[float]] = made.float().cpu().tolist()
            return rows

        found: dict[int, Sequence[float]] = {}
        faults: dict[int, str] = {}
        for start in range(0, len(indices), self.judge.max_batch):
            some = indices[start : start + self.judge.max_batch]
            try:
                found |= dict(zip(some, halving(work, some), strict=True))
                continue
            except UnreadableCaptionError:
                raise
            except Exception as error:
                if is_attempt(error):
                    raise
            for index in some:
                try:
                    found[index] = work([index])[0]
                except Exception as error:
                    if is_attempt(error):
                        raise
                    faults[index] = f"not taken by the judge: {reason(error)}"
        return found, faults

    def _frames(self, index: int) -> Frames:
        frames = self._seen[index][0]
        assert frames is not None  # those without have a fault and are not asked about
        return frames

    def _read(self, reply: Reply, outputs: Sequence[float]) -> Reply:
        numbers, parts = self.judge.specification.read(outputs)
        if not all(map(math.isfinite, (*outputs, *numbers, *parts.values()))):
            return replace(reply, error="the judge's number is not a finite number")
        return replace(reply, numbers=numbers, breakdown=parts)

    def _request(self, caption: str, candidate: Candidate) -> str:
        said = (self.judge.specification.name, caption, output_digest(candidate))
        return hashlib.sha256(repr(said).encode()).hexdigest()[:32]


def _see(candidate: Candidate, task: Task, fps: float) -> tuple[Frames | None, str | None]:
    """The frames of a candidate [T, H, W, 3], or why there are none."""
    if candidate.error is not None:
        return None, f"not generated: {candidate.error}"
    if candidate.media is None:
        return None, "the candidate has no media"
    try:
        if task == "video_generation":
            frames = decode_chosen(
                candidate.media.data,
                lambda num, own: pixels.chosen_frames(num, own, fps),
                _MOST_FRAMES * MAX_PIXELS,
            )
        else:
            frames = decode_still(candidate.media.data)[None]
    except MediaError as error:
        return None, f"broken media: {error}"
    except ValueError as error:  # of a clip that has too few frames
        return None, f"not shown: {error}"
    height, width = frames.shape[1:3]
    fault = shape_fault(width, height)
    return (None, f"not shown: {fault}") if fault else (frames, None)


def found_in(directory: str, specification: str | None) -> ScalarSpecification:
    """How the reward model in a directory is asked. Raises SpecificationError."""
    beside = Path(directory) / FILE
    return find(directory, beside.read_bytes() if beside.is_file() else None, specification)
