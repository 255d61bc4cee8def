"""A transformers vision-language model as a judge.

A family with eyes of ours (`eyes`) takes the *fast path*: each medium goes through the vision tower
once, a candidate's score and all its duels reuse its visual tokens, and prompts that begin alike
share that beginning (`decoder`). Every other family takes the *plain path*: the model's own
processor and forward pass, prompt by prompt (`plain`). Both read the same verdict trees, and the
first is proven equal to the second.

All scores of a prompt are one batch, and so are all duels of one plan, split only where `max_batch`
(for memory) asks for it: what a batch holds depends on the prompt alone, never on which other
prompts share the worker, so the same rows give the same bits on the same machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from actors.judges.checkpoint import check_directory, load_weights
from actors.judges.decoder import Decoder
from actors.judges.eyes import Seen, eyes_of
from actors.judges.formats import Run, format_of
from actors.judges.looks import Look
from actors.judges.plain import PlainFormat, PlainPath, PlainText
from actors.judges.prompts import Medium, Text
from actors.judges.sampling import Chance, response_of
from actors.judges.sitting import Match, ReadSitting, Response, Sides
from actors.memory import is_attempt, reason
from actors.trust import trusted
from factory.judging.reading import answer_name
from factory.judging.specification import JudgeSpecification, TaskSpecification, find
from factory.judging.verdicts import AnswerTree, Logits
from factory.judging.votes import seeds_of
from factory.prompt_parts import in_words
from schemas.rows import Candidate, Preference, Prompt

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
#: What is fetched of a hub repository: no pickled weights, and code only where it is trusted.
_FILES = ["*.json", "*.txt", "*.model", "*.jinja", "*.safetensors"]
_CODE = ["*.py"]


class TransformersJudge:
    """Weights, processor and specification of any image-text-to-text model.

    num_forwards, num_batches: scores and duels asked for so far, and the passes of the language
        model that they took.
    eyes: the vision side on the fast path; None on the plain one.
    plain: what runs the model on the plain path; None on the fast one.
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
        allow_missing: Sequence[str] = (),
        run: Run = "auto",
    ) -> None:
        """Load a judge.

        Args:
            path: a model directory or a hub name.
            name: `name@version`.
            precision: fp32, fp16 or bf16.
            max_batch: most prompts in one forward pass.
            specification: one, or the name of a shipped one or a JSON file; the model's own
                `judge.json` where not given.
            trust_remote_code: run the code that comes with the checkpoint.
            revision: commit of a hub's repository; its main branch where not given.
            allow_missing: patterns of names of tensors that may be missing.
            run: the path that is taken; for tests of one against the other.

        Raises:
            SpecificationError: no specification, a model that cannot be read by it, a processor
                that cannot be built here, or weights that are not all those of the model.
        """
        trust = trusted(path, trust_remote_code)
        path = local_directory(path, revision, with_code=trust)
        check_directory(path, trust_remote_code=trust)
        if not isinstance(specification, JudgeSpecification):
            specification = find(path, specification)
        self.name = name
        self.max_batch = max_batch
        self.num_forwards = self.num_batches = 0
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # Before the weights, which may be large.
        self.format = format_of(path, specification, run, trust_remote_code=trust)
        self.model = load_weights(
            path,
            _DTYPES[precision],
            self.device,
            trust_remote_code=trust,
            allow_missing=allow_missing,
        )
        self.model.eval().requires_grad_(False)
        self.eyes, self.plain = None, None
        if isinstance(self.format, PlainFormat):
            self.plain = PlainPath(self.model, self.format, max_batch)
            self.plain.check(path)
        else:
            self.eyes = eyes_of(self.model, self.format.processor)

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> TransformersSitting:
        return TransformersSitting(self, prompt, candidates)

    @torch.inference_mode()
    def encode(
        self, looks: Sequence[Look], is_video: bool = False, is_alone: bool = False
    ) -> list[Seen]:
        """Visual tokens of each medium, as `Eyes.encode`; on the fast path."""
        assert self.eyes is not None
        return self.eyes.encode(looks, is_video, is_alone)

    @property
    def stops(self) -> tuple[int, ...]:
        """Tokens that end an answer."""
        config = self.model.generation_config.eos_token_id
        given = config if isinstance(config, list) else [config]
        own = self.format.tokenizer.eos_token_id
        return tuple(one for one in (*given, own) if one is not None)


class TransformersSitting(ReadSitting):
    """One prompt's candidates before a `TransformersJudge`."""

    def __init__(
        self, judge: TransformersJudge, prompt: Prompt, candidates: Sequence[Candidate]
    ) -> None:
        task = judge.format.specification.task(prompt.task)
        super().__init__(judge.name, task, prompt, candidates)
        self.judge = judge
        self._is_video = prompt.task.startswith("video") and not self.task.is_pictures
        # On the fast path: each look as it is shown alone in a prompt, or among others.
        self._media: dict[tuple[int, bool], Medium] = {}
        self._seen: list[Seen] = []
        self._faulty: set[int] = set()
        self.decoder: Decoder | PlainPath
        if judge.plain is not None:
            self.decoder = judge.plain
        else:
            assert judge.eyes is not None
            self.decoder = Decoder(judge.model, judge.eyes, self._seen, judge.max_batch)

    # ------------------------------------------------------------------------------ what is seen

    def _see(self, sides: Sequence[Sides]) -> None:
        """Encode what these sides show, on the fast path: all looks of the sitting at once, in the
        form in which a prompt shows them. A medium that the model does not take, such as one of
        2008 x 8 pixels, is a fault of the sides that show it, and of no other.
        """
        if self.judge.eyes is None:
            return
        for is_alone in {self._is_alone(one) for one in sides}:
            known = {look for look, form in self._media if form == is_alone}
            done = known | self._faulty
            wanted = [look for look in range(len(self.looks)) if look not in done]
            if wanted:
                self._encode_or_mark(wanted, is_alone)

    def _is_alone(self, sides: Sides) -> bool:
        """Whether a prompt for these sides shows one medium, and the family shows it otherwise
        then.
        """
        if self.judge.eyes is None or not self.judge.eyes.tiles_alone or self._is_video:
            return False
        looks, _, source = self.shown(sides)
        return len(looks) + len(source) == 1

    def _encode_or_mark(self, looks: Sequence[int], is_alone: bool) -> None:
        try:
            self._encode(looks, is_alone)
            return
        except Exception as error:
            if is_attempt(error):
                raise
        faults: dict[int, str] = {}
        for look in looks:
            try:
                self._encode([look], is_alone)
            except Exception as error:
                if is_attempt(error):
                    raise
                faults[look] = f"not taken by the judge: {reason(error)}"
        self._faulty |= set(faults)
        self.mark(faults)

    def _encode(self, looks: Sequence[int], is_alone: bool) -> None:
        assert self.judge.eyes is not None
        alone = {"is_alone": True} if is_alone else {}
        seen = self.judge.encode([self.looks[look] for look in looks], self._is_video, **alone)
        for look, one in zip(looks, seen, strict=True):
            told = self.judge.eyes.told((self.looks[look], self._is_video))
            self._media[look, is_alone] = Medium(len(self._seen), one.ids, *told)
            self._seen.append(one)

    # --------------------------------------------------------------------------------- prompts

    def point(self, index: int) -> Text | PlainText:
        """The pointwise prompt of a candidate."""
        words = in_words(self.prompt)
        return self.judge.format.point(self.task, words, *self._shown((index,)))

    def pair(self, match: Match) -> Text | PlainText:
        """The pairwise prompt of two candidates, in the order shown."""
        words = in_words(self.prompt)
        return self.judge.format.pair(self.task, words, *self._shown(match))

    def _shown(self, sides: Sides) -> tuple[list[Any], list[str], list[Any]]:
        """Media as the path takes them, answers, and what an edit starts from."""
        _, answers, source = self.shown(sides)
        if self.judge.eyes is None:
            shown = [
                [(self.looks[look], self._is_video) for look in at] for at in self.places(sides)
            ]
            return shown, answers, [(self.looks[look], self._is_video) for look in source]
        self._see([sides])
        form = self._is_alone(sides)
        media = [[self._media[look, form] for look in at] for at in self.places(sides)]
        return media, answers, [self._media[look, form] for look in source]

    # --------------------------------------------------------------------------------- asking

    def justify_duel(self, match: Match, preference: Preference) -> str:
        """Why one of two sides is preferred, as the judge writes it after its answer; what it wrote
        with it where the specification asks for no reasons; empty where a side cannot be judged, or
        the judge is not as sure of what it writes as the specification wants.
        """
        if not self.task.reason:
            return super().justify_duel(match, preference)
        if self._error(match):
            return ""
        return self._reason(self.pair(match), self.task.answers[preference])

    def justify_score(self, index: int, value: float) -> str:
        """Why a side has its score: after the number of the scale that is nearest to `value`."""
        if not self.task.reason:
            return super().justify_score(index, value)
        if self._error((index,)):
            return ""
        nearest = min(self.task.scale, key=lambda one: abs(one - value))
        return self._reason(self.point(index), self.task.score.replace("{score}", f"{nearest:g}"))

    def _error(self, sides: Sides) -> str | None:
        """Why these sides cannot be judged, once what they show has been looked at."""
        known = next(filter(None, self._errors(sides)), None)
        if known is None:
            self._see([sides])
        return next(filter(None, self._errors(sides)), None)

    def _reason(self, asked: Text | PlainText, answer: str) -> str:
        said = self.judge.format.answer_ids(f"{answer} {self.task.reason}")
        text: Any = asked.followed_by(said)
        (written,) = self.decoder.generate([text], self.task.max_tokens, self.judge.stops)
        if written.least_p < self.task.reason_confidence:
            return ""
        return self.judge.format.read(written.ids)

    def ask_scores(self, indices: Sequence[int]) -> list[Response]:
        def text(sides: Sides) -> Text | PlainText:
            return self.point(sides[0])

        sides = [(index,) for index in indices]
        return self._ask(sides, text, self.judge.format.score_tree)

    def ask_duels(self, matches: Sequence[Match]) -> list[Response]:
        def text(sides: Sides) -> Text | PlainText:
            return self.pair((sides[0], sides[1]))

        return self._ask(matches, text, self.judge.format.verdict_tree)

    def _ask(
        self,
        sides: Sequence[Sides],
        text_of: Callable[[Sides], Text | PlainText],
        tree_of: Callable[[TaskSpecification], AnswerTree[Any]],
    ) -> list[Response]:
        self._see(sides)
        errors = [next(filter(None, self._errors(one)), None) for one in sides]
        asked = [one for one, error in zip(sides, errors, strict=True) if error is None]
        texts = [text_of(one) for one in asked]
        with self._counted(texts):
            said = iter(self._answers(texts, asked, tree_of))
        responses = []
        for one, error in zip(sides, errors, strict=True):
            if error is not None:
                responses.append(Response(error=error))
                continue
            text, response = next(said)
            if response.error is None:
                digest = self.request_digest(text.ids, one)
                response = replace(response, request=digest, num_read=len(text.ids))
            responses.append(response)
        return responses

    def _answers(
        self,
        texts: Sequence[Text | PlainText],
        sides: Sequence[Sides],
        tree_of: Callable[[TaskSpecification], AnswerTree[Any]],
    ) -> list[tuple[Text | PlainText, Response]]:
        """What is said after each prompt. On the plain path, what the processor does not take is a
        fault of its own prompt alone.
        """
        if not texts:
            return []
        try:
            return list(zip(texts, self._say(texts, sides, tree_of), strict=True))
        except Exception as error:
            if self.judge.plain is None or is_attempt(error):
                raise
            if len(texts) == 1:
                return [(texts[0], Response(error=f"not taken by the judge: {reason(error)}"))]
        return [
            one
            for text, of in zip(texts, sides, strict=True)
            for one in self._answers([text], [of], tree_of)
        ]

    def _say(
        self,
        texts: Sequence[Any],
        sides: Sequence[Sides],
        tree_of: Callable[[TaskSpecification], AnswerTree[Any]],
    ) -> list[Response]:
        if self.task.reading == "text":
            return self._write(texts, sides)
        return self._weigh(texts, tree_of(self.task))

    def _write(self, texts: Sequence[Any], sides: Sequence[Sides]) -> list[Response]:
        """What the model writes after each prompt: once, or as often as answers are drawn."""
        task, num, chance = self.task, self.task.num_samples, None
        if task.temperature:
            requests = [
                self.request_digest(text.ids, of) for text, of in zip(texts, sides, strict=True)
            ]
            seeds = [seed for one in requests for seed in seeds_of(one, num)]
            chance = Chance(tuple(seeds), task.temperature, task.top_p)
        every = [text for text in texts for _ in range(num)]
        written = self.decoder.generate(every, task.max_tokens, self.judge.stops, chance)
        drawn = [written[at : at + num] for at in range(0, len(written), num)]
        return [response_of(answers, self.judge.format.read) for answers in drawn]

    def _weigh(self, texts: Sequence[Any], tree: AnswerTree[Any]) -> list[Response]:
        """How probable each answer is after each prompt."""
        logits = [self.decoder.logits(texts, chain) for chain in tree.chains]
        return [Response(logprobs=one, num_written=0) for one in logprobs_of(tree, logits)]

    @contextmanager
    def _counted(self, asked: Sequence[object]) -> Iterator[None]:
        before = self.decoder.num_passes
        yield
        self.judge.num_forwards += len(asked)
        self.judge.num_batches += self.decoder.num_passes - before


def logprobs_of(tree: AnswerTree[Any], logits: Sequence[Logits]) -> list[dict[str, float]]:
    """For each prompt the log-probability of each answer by its name, from logits of the tree's
    chains.
    """
    names = [one if isinstance(one, str) else answer_name(one) for one in tree.tokens]
    return [dict(zip(names, row, strict=True)) for row in tree.log_probabilities(logits).tolist()]


def local_directory(path: str, revision: str | None = None, *, with_code: bool = False) -> str:
    """A model's directory: the path itself, or where a hub repository has been fetched to."""
    if Path(path).is_dir():
        return path
    from huggingface_hub import snapshot_download

    wanted = [*_FILES, *_CODE] if with_code else _FILES
    return str(snapshot_download(path, revision=revision, allow_patterns=wanted))
