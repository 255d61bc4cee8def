"""A transformers vision-language reward model as a judge.

Each medium goes through the vision tower once; a candidate's score and all its duels reuse its
visual tokens, and prompts that begin alike share that beginning (`decoder`). All scores of a prompt
are one batch, and so are all duels of one plan, split only where `max_batch` (for memory) asks for
it: what a batch holds depends on the prompt alone, never on which other prompts share the worker,
so the same rows give the same bits on the same machine.
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
from actors.judges.eyes import Seen, eyes_of, load_processor
from actors.judges.looks import Look
from actors.judges.prompts import Medium, PromptFormat, Text
from actors.judges.sitting import Match, ReadSitting, Response, Sides
from actors.memory import is_attempt, reason
from actors.trust import trusted
from factory.judging.reading import answer_name
from factory.judging.specification import JudgeSpecification, TaskSpecification, find
from factory.judging.verdicts import AnswerTree, Logits
from factory.prompt_parts import in_words
from schemas.rows import Candidate, Preference, Prompt

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
#: What is fetched of a hub repository: no pickled weights, and code only where it is trusted.
_FILES = ["*.json", "*.txt", "*.model", "*.jinja", "*.safetensors"]
_CODE = ["*.py"]


class TransformersJudge:
    """A LLaVA, LLaVA-OneVision or Qwen2.5-VL judge: weights, processor and specification.

    num_forwards, num_batches: scores and duels asked for so far, and the passes of the language
        model that they took.
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

        Raises:
            SpecificationError: no specification, a model that cannot be read by it, or weights that
                are not all those of the model.
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
        self.model = load_weights(
            path,
            _DTYPES[precision],
            self.device,
            trust_remote_code=trust,
            allow_missing=allow_missing,
        )
        self.model.eval().requires_grad_(False)
        processor = load_processor(path, self.model.config, trust_remote_code=trust)
        self.format = PromptFormat(specification, processor)
        self.eyes = eyes_of(self.model, self.format.processor)

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> TransformersSitting:
        return TransformersSitting(self, prompt, candidates)

    @torch.inference_mode()
    def encode(self, looks: Sequence[Look], is_video: bool = False) -> list[Seen]:
        """Visual tokens of each medium."""
        return self.eyes.encode(looks, is_video)

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
        seen = self._encoded(prompt.task.startswith("video"))
        self._media = {
            look: Medium(index, one.ids) for index, (look, one) in enumerate(seen.items())
        }
        self.decoder = Decoder(judge.model, judge.eyes, [*seen.values()], judge.max_batch)

    def _encoded(self, is_video: bool) -> dict[int, Seen]:
        """What is seen of each look, by its index. A medium that the model does not take, such as
        one of 2008 x 8 pixels, is a fault of the sides that show it, and of no other.
        """
        every = range(len(self.looks))
        try:
            return self._encode(every, is_video)
        except Exception as error:
            if is_attempt(error):
                raise
        faults: dict[int, str] = {}
        for index in every:
            try:
                self._encode([index], is_video)
            except Exception as error:
                if is_attempt(error):
                    raise
                faults[index] = f"not taken by the judge: {reason(error)}"
        self.mark(faults)
        return self._encode([index for index in every if index not in faults], is_video)

    def _encode(self, indices: Sequence[int], is_video: bool) -> dict[int, Seen]:
        looks = [self.looks[index] for index in indices]
        seen = self.judge.encode(looks, is_video) if looks else []
        return dict(zip(indices, seen, strict=True))

    def point(self, index: int) -> Text:
        """The pointwise prompt of a candidate."""
        media, answers, source = self._shown([index])
        return self.judge.format.point(self.task, in_words(self.prompt), media, answers, source)

    def pair(self, match: Match) -> Text:
        """The pairwise prompt of two candidates, in the order shown."""
        media, answers, source = self._shown(match)
        return self.judge.format.pair(self.task, in_words(self.prompt), media, answers, source)

    def _shown(self, match: Sequence[int]) -> tuple[list[Medium], list[str], list[Medium]]:
        looks, answers, source = self.shown(match)
        return [self._media[at] for at in looks], answers, [self._media[at] for at in source]

    def justify_duel(self, match: Match, preference: Preference) -> str:
        """Why one of two sides is preferred, as the judge writes it after its answer; empty where
        the specification asks for no reasons, a side cannot be judged, or the judge is not as sure
        of what it writes as the specification wants.
        """
        if not self.task.reason or any(self._errors(match)):
            return ""
        return self._reason(self.pair(match), self.task.answers[preference])

    def justify_score(self, index: int, value: float) -> str:
        """Why a side has its score: after the number of the scale that is nearest to `value`."""
        if not self.task.reason or self.sides[index].error is not None:
            return ""
        nearest = min(self.task.scale, key=lambda one: abs(one - value))
        return self._reason(self.point(index), self.task.score.replace("{score}", f"{nearest:g}"))

    def _reason(self, asked: Text, answer: str) -> str:
        said = self.judge.format.answer_ids(f"{answer} {self.task.reason}")
        text = Text((*asked.ids, *said), asked.media, asked.cuts)
        (written,) = self.decoder.generate([text], self.task.max_tokens, self.judge.stops)
        if written.least_p < self.task.reason_confidence:
            return ""
        return self.judge.format.read(written.ids)

    def ask_scores(self, indices: Sequence[int]) -> list[Response]:
        texts = [self.point(index) for index in indices]
        sides = [(index,) for index in indices]
        return self._ask(sides, texts, self.judge.format.score_tree)

    def ask_duels(self, matches: Sequence[Match]) -> list[Response]:
        texts = [self.pair(match) for match in matches]
        return self._ask(matches, texts, self.judge.format.verdict_tree)

    def _ask(
        self,
        sides: Sequence[Sides],
        texts: Sequence[Text],
        tree_of: Callable[[TaskSpecification], AnswerTree[Any]],
    ) -> list[Response]:
        with self._counted(texts):
            if self.task.reading == "text":
                responses = self._write(texts)
            else:
                responses = self._weigh(texts, tree_of(self.task))
        return [
            replace(one, request=self.request_digest(text.ids, of), num_read=len(text.ids))
            for one, text, of in zip(responses, texts, sides, strict=True)
        ]

    def _write(self, texts: Sequence[Text]) -> list[Response]:
        """What the model writes after each prompt."""
        written = self.decoder.generate(texts, self.task.max_tokens, self.judge.stops)
        return [
            Response(self.judge.format.read(one.ids), one.is_cut, num_written=len(one.ids))
            for one in written
        ]

    def _weigh(self, texts: Sequence[Text], tree: AnswerTree[Any]) -> list[Response]:
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
