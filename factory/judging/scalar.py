"""Scalar specifications: what a reward model that gives numbers was trained to be shown, what its
numbers are, and how they become verdicts.

Such a model has no words and no scale. What it has belongs to the checkpoint: how a picture is cut,
in which words the caption is put, at which token a number is read, what is subtracted from it. So
this lies beside the weights (`scalar.json`), where a converter writes it, or is one of those that
are shipped (`scalars/*.json`, each read from the publisher's code at the commit named).

A score is the number that the publisher's own code prints, in its own unit: nothing is mapped to a
scale that the model never had. Knobs in points (`rank.score_sd`, `objections.min_margin` …) are
then in that unit too, and `knobs` says what would fit there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from factory.judging.by_scores import RaoKupper, Rule, UncertainBradleyTerry
from factory.judging.specification import SpecificationError
from factory.prompt_parts import PartsError, check_needs, needs_of
from schemas.recipe import Criteria
from schemas.rows import OVERALL, UNDERSTANDING, Prompt, Task

FILE = "scalar.json"
SHIPPED = Path(__file__).with_name("scalars")

#: clip: two towers and a cosine; qwen2_vl: Qwen2-VL with a head in the place of its vocabulary;
#: blip: BLIP's text encoder over a picture, and a stack of linear layers.
Kind = Literal["clip", "qwen2_vl", "blip"]
#: How a picture is brought to the size that the tower takes: as its image processor does; scaled to
#: fit and filled up with black; or the middle of it, cut as torchvision cuts.
Fit = Literal["processor", "pad", "crop"]


@dataclass(frozen=True)
class ScalarSpecification:
    """How one reward model is asked, and what its numbers are.

    name: of the model, as its publisher calls it.
    tasks: that it was trained to judge; others are refused.
    dimensions: what its numbers are, lower-case, in the order in which they come; the score is
        their sum.
    source, commit, license: of the publisher's code that this was read from.
    base: the model whose tokenizer, processor and configuration it was trained with.
    means, stds: each number is (raw - mean) / std; raw where there are none.
    has_sigma: whether one more number follows, the logarithm of the score's standard deviation.
    is_scaled: of `clip`: the cosine is multiplied by the exponential of the model's `logit_scale`.
    slope, tie_odds: of the Bradley-Terry model that the publisher trained with, in logits for a
        point, and Rao & Kupper's k (1: it knows no ties). No slope: nothing is known.
    duels: where slope and tie_odds come from, or why there are none.
    fit: of the picture, for `clip` and `blip`.
    max_tokens: of the caption; the model never sees what is beyond.
    is_cleaned: whether the caption is repaired before it is read, as open_clip does.
    template: of `qwen2_vl`: the user's turn after the medium; `{prompt}` is the caption.
    tokens: at which the numbers are read, in their order.
    head: of `qwen2_vl`: `linear`, or `ranknet` (two hidden layers of 1024 and 16).
    head_outputs: of the head: all numbers at the one token, one at each token, or, where there are
        as many outputs as tokens, at each token the output of its place.
    min_pixels, max_pixels: of a picture or frame after scaling.
    fps: of the frames that are taken of a clip.
    """

    name: str
    kind: Kind
    tasks: tuple[Task, ...]
    dimensions: tuple[str, ...]
    source: str
    commit: str
    license: str
    base: str = ""
    means: tuple[float, ...] = ()
    stds: tuple[float, ...] = ()
    has_sigma: bool = False
    is_scaled: bool = False
    slope: float | None = None
    tie_odds: float = 1.0
    duels: str = ""
    fit: Fit = "processor"
    max_tokens: int | None = None
    is_cleaned: bool = False
    template: str = ""
    tokens: tuple[str, ...] = ()
    head: Literal["", "linear", "ranknet"] = ""
    head_outputs: int = 0
    min_pixels: int = 0
    max_pixels: int = 0
    fps: float = 0.0

    def __post_init__(self) -> None:
        if fault := _fault(self):
            raise SpecificationError(f"scalar model {self.name!r}: {fault}")

    @property
    def num_outputs(self) -> int:
        """How many numbers the model gives."""
        return len(self.dimensions) + self.has_sigma

    def check_prompt(self, prompt: Prompt) -> None:
        """Refuse a prompt that this model was not trained to judge.

        Raises:
            SpecificationError: another task, or parts that it has no place for.
        """
        if prompt.task not in self.tasks:
            raise SpecificationError(
                f"{self.name} judges {', '.join(self.tasks)}, and not {prompt.task}: it was "
                "trained on nothing else"
            )
        try:
            check_needs(needs_of(prompt), frozenset(), self.name)
        except PartsError as error:
            raise SpecificationError(str(error)) from None

    def check_criteria(self, criteria: Criteria) -> None:
        """Refuse criteria that are sentences: a reward model was trained on captions, and would
        give a number for any. Those without are dimensions, which it must have.

        Raises:
            SpecificationError: names the criterion.
        """
        own = self.dimensions if len(self.dimensions) > 1 else ()
        for one in criteria.named:
            if one.text:
                raise SpecificationError(
                    f"criterion {one.name}: {self.name} was trained on captions, and has no place "
                    "for a sentence; leave its text out where it is one of the model's dimensions"
                )
            if one.name not in own:
                raise SpecificationError(
                    f"criterion {one.name}: {self.name} has {', '.join(own) or 'no dimensions'}"
                )

    def read(self, outputs: Sequence[float]) -> tuple[tuple[float, float], dict[str, float]]:
        """Value and spread of a score, and the points of its dimensions where there are several,
        from what the model gave [num_outputs]. Without a standard deviation the spread is 0, as of
        a number that a judge wrote down.
        """
        raw = [float(one) for one in outputs[: len(self.dimensions)]]
        means = self.means or (0.0,) * len(raw)
        stds = self.stds or (1.0,) * len(raw)
        points = [(one - mean) / std for one, mean, std in zip(raw, means, stds, strict=True)]
        value = sum(points)
        spread = 0.0
        if self.has_sigma:
            spread = math.exp(outputs[-1]) if outputs[-1] < _LARGEST_LOG else math.inf
        if len(points) == 1:
            return (value, spread), {}
        parts = dict(zip(self.dimensions, points, strict=True))
        return (value, spread), {**parts, OVERALL: value}

    def rule(self) -> Rule | None:
        """How scores become verdicts by what the publisher trained with; None where that says
        nothing of the score.
        """
        if self.slope is None:
            return None
        if self.has_sigma:
            return UncertainBradleyTerry(self.slope)
        return RaoKupper(self.slope, self.tie_odds)

    def asking(self) -> dict[str, Any]:
        """What decides the numbers that come back: the asking part of a reply's key."""
        said = asdict(self)
        return {name: value for name, value in said.items() if name not in _UNASKED}

    def save(self, directory: Path) -> None:
        """Write `scalar.json` beside the weights."""
        told = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (directory / FILE).write_text(told + "\n", encoding="utf-8")


#: The exponential of more is no number.
_LARGEST_LOG = 700.0
#: Parts of a specification that say nothing of the numbers that come back.
_UNASKED = ("source", "commit", "license", "base", "slope", "tie_odds", "duels", "tasks")


def shipped() -> list[str]:
    """Names of the specifications that are shipped."""
    return sorted(path.stem for path in SHIPPED.glob("*.json"))


def read(text: str, source: str) -> ScalarSpecification:
    """A specification from the text of its file; `source` names it in messages.

    Raises:
        SpecificationError: it is none.
    """
    try:
        raw = json.loads(text)
        unknown = set(raw) - {one.name for one in fields(ScalarSpecification)}
        if unknown:
            raise SpecificationError(f"unknown key {min(unknown)!r}")
        listed: dict[str, Any] = {
            key: tuple(one) if isinstance(one, list) else one for key, one in raw.items()
        }
        return ScalarSpecification(**listed)
    except SpecificationError as error:
        raise SpecificationError(f"{source}: {error}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise SpecificationError(f"{source}: no scalar specification: {error}") from None


def named(specification: str) -> ScalarSpecification:
    """A specification by its shipped name, or from a JSON file.

    Raises:
        SpecificationError: there is none.
    """
    path = Path(specification)
    if specification in shipped():
        path = SHIPPED / f"{specification}.json"
    try:
        return read(path.read_text(encoding="utf-8"), str(path))
    except OSError:
        raise SpecificationError(
            f"{specification!r} is no scalar specification: neither one of {', '.join(shipped())} "
            "nor a JSON file"
        ) from None


def find(path: str, beside: bytes | None, specification: str | None) -> ScalarSpecification:
    """The specification of a model: the one that is named, else the `scalar.json` beside it.

    Args:
        path: of the model, for messages.
        beside: the contents of its `scalar.json`; None where it has none.
        specification: named by whoever uses it.

    Raises:
        SpecificationError: nothing says that it is a reward model, or which one.
    """
    if specification is not None:
        return named(specification)
    if beside is not None:
        return read(beside.decode("utf-8", "replace"), f"{path}/{FILE}")
    raise SpecificationError(
        f"{path}: nothing says which reward model this is: it has no {FILE}. The same classes "
        "serve to search pictures or to answer questions, and would give a number for anything. "
        "Convert the published checkpoint (python -m jobs.convert), or where it is published in "
        f"transformers' format name its specification ({', '.join(shipped())})"
    )


def check_config(path: str, config: bytes, specification: ScalarSpecification) -> None:
    """Refuse a configuration that is not of the specification's kind. Raises SpecificationError."""
    try:
        kind = json.loads(config)["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise SpecificationError(f"{path}: config.json cannot be read: {error!r}") from None
    if kind != specification.kind:
        raise SpecificationError(
            f"{path}: is of model type {kind!r}, and {specification.name} is a "
            f"{specification.kind!r} model"
        )


def knobs(rule: Rule) -> dict[str, float]:
    """Knobs of a recipe that are in points, as they would be for a judge with such a rule: half a
    logit of noise, and a margin of half a logit.

    The defaults were chosen for scales of some points, on which a duel gains two logits a point.
    """
    slope = rule.slope
    return {
        "rank.logits_per_point": slope,
        "rank.score_sd": 1.0 / slope,
        "rank.duel_sd": 1.0 / slope,
        "curate.objections.min_margin": 0.5 / slope,
    }


def knob_faults(rule: Rule, given: Mapping[str, float]) -> list[str]:
    """Knobs in points that cannot be meant for the unit of this judge's scores: more than ten times
    from what would fit, one way or the other. A margin of 0 asks for nothing and is right anywhere.

    Args:
        rule: of the judge.
        given: the recipe's values of the knobs that `knobs` names.
    """
    return [
        f"{name}: {given[name]:g}, where {fitting:.3g} would fit the unit of this judge's scores "
        f"({rule.slope:.3g} logits a point)"
        for name, fitting in knobs(rule).items()
        if given.get(name, 0.0) > 0 and not 0.1 <= given[name] / fitting <= 10
    ]


def _fault(one: ScalarSpecification) -> str | None:
    """Why a specification cannot be asked or read."""
    if one.kind not in get_args(Kind):
        return f"unknown kind {one.kind!r}; known: {', '.join(get_args(Kind))}"
    shown = set(get_args(Task)) - set(UNDERSTANDING)
    if len(one.tasks) != 1 or set(one.tasks) - shown:
        return f"tasks: {list(one.tasks)}: needs one of {', '.join(sorted(shown))}"
    names = {name.lower() for name in one.dimensions}
    if not names or names != set(one.dimensions) or len(names) != len(one.dimensions):
        return "dimensions: needs one lower-case name or more, each once"
    if len({len(one.means), len(one.stds)}) > 1 or len(one.means) not in (0, len(one.dimensions)):
        return "means and stds: one for each dimension, or none"
    if not all(math.isfinite(mean) for mean in one.means) or not all(
        math.isfinite(std) and std > 0 for std in one.stds
    ):
        return "means and stds: finite numbers, and stds above 0"
    if one.slope is not None and not (math.isfinite(one.slope) and one.slope > 0):
        return f"slope: {one.slope} is no positive number"
    if not one.tie_odds >= 1:
        return f"tie_odds: {one.tie_odds} is less than 1"
    if one.fit not in get_args(Fit):
        return f"fit: {one.fit!r} is none of {', '.join(get_args(Fit))}"
    if one.kind != "qwen2_vl":
        return None
    if one.template.count("{prompt}") != 1:
        return "template: needs {prompt} once"
    if not one.tokens or any(one.template.count(token) != 1 for token in one.tokens):
        return "tokens: each stands once in the template"
    if one.head not in ("linear", "ranknet"):
        return f"head: {one.head!r} is neither linear nor ranknet"
    num = len(one.tokens)
    if one.num_outputs != (one.head_outputs if num == 1 else num) or (
        num > 1 and one.head_outputs not in (1, num)
    ):
        return (
            f"head_outputs: {one.head_outputs} output(s) at {num} token(s) are not "
            f"{one.num_outputs} number(s)"
        )
    if not 0 < one.min_pixels <= one.max_pixels:
        return "min_pixels and max_pixels: above 0, and in this order"
    if "video_generation" in one.tasks and not one.fps > 0:
        return "fps: above 0 where clips are judged"
    return None
