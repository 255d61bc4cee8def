"""The JSON files that stages write beside their manifest, and that the report reads.

    curves.json      train_judge, align   a list of points {"step": 10, "loss": 0.31, ...}
    profile.json     audit                Profile
    evaluation.json  evaluate             Evaluation
    ranking.json     curate               TaskRanking, ... (by whose noise pairs were ordered)
    slices.json      curate               Slice, ... (pairs by verdict and objection)
    kept_leads.json  curate               Estimate, ... (of what was corrected, in kept pairs)
    human_audit.json human_audit          HumanAudit
    agreement.json   train_judge, evaluate_judge, audit (of a judge that is given)   JudgeReport
    stability.json   evaluate_judge --stability   Stability
    rollbacks/N-K.json rollback           Rollback (in the root)
    findings.json    train_judge          Finding, ... (of the judge's gates, passed or not)
                     evaluate, localise, distil   Decision
    localisation.json localise            Localisation
    distillation.json distil              Distillation

Each is made of the dataclasses below, written and read field by field. A number that could not be
measured is null, never NaN, so that any JSON reader can open the files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from schemas.places import Place

PROFILE = "profile.json"
EVALUATION = "evaluation.json"
SLICES = "slices.json"
KEPT_LEADS = "kept_leads.json"
RANKING = "ranking.json"
HUMAN_AUDIT = "human_audit.json"
FINDINGS = "findings.json"
CURVES = "curves.json"
AGREEMENT = "agreement.json"
STABILITY = "stability.json"
LOCALISATION = "localisation.json"
DISTILLATION = "distillation.json"
GRID = "grid.png"

Read = TypeVar("Read")


class ResultError(ValueError):
    """A result file that is there and cannot be used; the message names file and field."""


class Measured(Protocol):
    """A number with its 95 % interval, as what measures has it: NaN where there is none."""

    @property
    def value(self) -> float: ...

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


def _bounds(measured: Measured) -> tuple[float | None, float | None, float | None]:
    value, low, high = (
        bound if math.isfinite(bound) else None
        for bound in (measured.value, measured.low, measured.high)
    )
    return value, low, high


@dataclass(frozen=True)
class Estimate:
    """A measured number with its 95 % interval.

    name: what was measured: "brightness", "first place", "win rate".
    value: the estimate; null where it could not be measured.
    low, high: the interval, by bootstrap clustered by prompt; null where there is none.
    neutral: the value that means no effect: 0 for a difference, 0.5 for the share of one of two;
        null where there is none, as for a rate of errors.
    unit: of all four; estimates of one unit are drawn on one axis.
    num: prompts, pairs or labels that it rests on.
    num_invalid: those that could not be judged and are not part of `num`.
    by: who measured: the address of a judge, or the oracle.
    note: a remark in plain text.
    corrected: the same after the correction, where there is one.
    kind: which bias it is about, as in `factory.bias.figure`; empty for other figures.
    is_flagged: whether it shows a bias, with the false discovery rate kept over all figures.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    neutral: float | None = 0.0
    unit: str = ""
    num: int | None = None
    num_invalid: int = 0
    by: str = ""
    note: str = ""
    corrected: Estimate | None = None
    kind: str = ""
    is_flagged: bool = False

    @classmethod
    def of(
        cls,
        name: str,
        measured: Measured,
        neutral: float | None = 0.0,
        unit: str = "",
        num: int | None = None,
        num_invalid: int = 0,
        by: str = "",
        note: str = "",
    ) -> Estimate:
        """What was measured, named; a number that is NaN or infinite is null."""
        return cls(name, *_bounds(measured), neutral, unit, num, num_invalid, by, note)

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out the neutral value."""
        if self.low is None or self.high is None or self.neutral is None:
            return False
        return self.low > self.neutral or self.high < self.neutral


@dataclass(frozen=True)
class Profile:
    """What `audit` found out about a judge.

    judge: its address.
    estimates: what was measured.
    unknown: sentences on what could not be, and what comes of it.
    strength: sentences on how large a bias this audit could find.
    """

    judge: str
    estimates: tuple[Estimate, ...]
    unknown: tuple[str, ...] = ()
    strength: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measured on held-out prompts.

    gains: win rates of the challenger against the champion, one for each judge (`by`).
    drift: shifts of attributes from champion to challenger, and from the generator that the recipe
        starts from where that is another one.
    grid_prompts, grid_columns: what the rows and columns of grid.png show, in order.
    scores: mean score of either, by each judge.
    errors: of answers: error rates by the judge that knows what is right, and the share that is
        mended.
    leads: the share of the gain by the round's own judge that no other judge sees, and what each is
        worth on held-out labels; in old evaluations its leads over the others, in win rates.
    slices: win rates on slices of prompts.
    diversity: of the outputs for one prompt; empty where there was one of each model.
    failures: shares of outputs that failed, of either model, and what the challenger has more.
    """

    challenger: str
    champion: str
    gains: tuple[Estimate, ...]
    drift: tuple[Estimate, ...] = ()
    grid_prompts: tuple[str, ...] = ()
    grid_columns: tuple[str, ...] = ()
    scores: tuple[Estimate, ...] = ()
    errors: tuple[Estimate, ...] = ()
    leads: tuple[Estimate, ...] = ()
    slices: tuple[Estimate, ...] = ()
    diversity: tuple[Estimate, ...] = ()
    failures: tuple[Estimate, ...] = ()


@dataclass(frozen=True)
class ReliabilityBin:
    """Pairs of like confidence: what the judge claims of them, and how many are right."""

    confidence: float
    share_right: float
    low: float | None
    high: float | None
    num: int


@dataclass(frozen=True)
class JudgeSlice:
    """A judge on one slice of labels.

    name: "all", a task, or "tag: value".
    estimates: the figures, each with its interval and the labels that it rests on.
    claimed: reliability of the judge's own probabilities.
    calibrated: of the calibrated ones; empty where the judge has no calibration for it.
    """

    name: str
    estimates: tuple[Estimate, ...]
    claimed: tuple[ReliabilityBin, ...] = ()
    calibrated: tuple[ReliabilityBin, ...] = ()


@dataclass(frozen=True)
class LabelsSeen:
    """The labels that a judge was measured on, whatever their files, their order and their ids.

    digest: of all that they say, media by their bytes.
    num: how many they are.
    duplicate: of them, those that say again what their annotator has said of the same sides.
    contradictory: those that contradict their annotator's own of the same sides.
    num_unusable: rows of the files that gave no label, or not all that they name.
    not_held: of those, by kind, the ones of kinds that none of the tasks holds.
    """

    digest: str
    num: int
    duplicate: int = 0
    contradictory: int = 0
    num_unusable: int = 0
    not_held: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PublishedFigure:
    """A figure that somebody has published of a judge on a benchmark.

    judge: as its authors call it.
    figure: which one, in words.
    value: a share.
    source: where it stands.
    """

    judge: str
    figure: str
    value: float
    source: str


@dataclass(frozen=True)
class JudgeReport:
    """How a judge agrees with labels.

    judge: its address.
    labels: what it was measured on.
    slices: "all" first; those of single dimensions are called "dimension: NAME".
    seen: the labels; None in reports from before that was told.
    headlines: of a benchmark, its own figures as its authors count them; `note` says how.
    published: figures of others on the same benchmark, for comparison.
    remarks: sentences on what the figures mean, and what could not be measured.
    """

    judge: str
    labels: str
    slices: tuple[JudgeSlice, ...]
    seen: LabelsSeen | None = None
    headlines: tuple[Estimate, ...] = ()
    published: tuple[PublishedFigure, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Variant:
    """The same labels before the same judge, asked in another way than in the baseline.

    name: of the way.
    why_not: why it could not be asked so; nothing else is told then.
    num_duels, num_scores: that could be read in both ways.
    num_flips: of the duels, those with another verdict.
    num_changed: of duels and scores, those with another number at all.
    largest_p: largest change of the probability that the side shown first is better; null without
        duels.
    largest_score: largest change of a score, in points of the judge's scale; null without scores.
    num_one_way: duels and scores that could be read in one of the two ways alone.
    """

    name: str
    why_not: str = ""
    num_duels: int = 0
    num_scores: int = 0
    num_flips: int = 0
    num_changed: int = 0
    largest_p: float | None = None
    largest_score: float | None = None
    num_one_way: int = 0


@dataclass(frozen=True)
class Stability:
    """Whether a judge says the same of the same labels however it is run.

    judge: its address.
    baseline: how it was asked that the variants are held against, in words.
    num_labels: each asked about in both orders.
    num_unread: of them, those of which nothing could be read as in the baseline.
    variants: a row each.
    """

    judge: str
    baseline: str
    num_labels: int
    num_unread: int
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class Finding:
    """What one gate saw.

    gate: the recipe's key: "min_win_rate".
    subject: the address that was looked at.
    is_passed: whether it may go on.
    threshold: as the recipe has it.
    value, low, high: what was measured, with its interval.
    message: one sentence.
    """

    gate: str
    subject: str
    is_passed: bool
    threshold: float
    value: float | None
    low: float | None = None
    high: float | None = None
    message: str = ""

    @classmethod
    def of(
        cls, gate: str, measured: Measured, threshold: float, *, is_passed: bool, message: str
    ) -> Finding:
        """A gate's finding, of a model that `about` names; a bound that is NaN is null."""
        value, low, high = _bounds(measured)
        return cls(gate, "", is_passed, threshold, value, low, high, message)

    def about(self, subject: str) -> Finding:
        """The same of the artifact at an address."""
        return replace(self, subject=subject)


@dataclass(frozen=True)
class Decision:
    """The decision of a round: the challenger becomes champion, or the champion stays.

    champion: the one that it was compared with.
    level: chance of error at which the win rate was tested, one-sided; None in decisions from
        before a loop's rounds spent from one sum, and of judges.
    """

    decision: Literal["promote", "keep"]
    challenger: str
    champion: str
    findings: tuple[Finding, ...]
    level: float | None = None


@dataclass(frozen=True)
class Rollback:
    """Someone went back to an earlier champion, for the rounds that follow.

    champion: the address that is champion from then on.
    was: the one before.
    reason: in words.
    at: ISO 8601, UTC.
    """

    champion: str
    was: str
    reason: str
    at: str


@dataclass(frozen=True)
class Localisation:
    """A judge that went on learning from one slice's labels, beside its parent.

    judge, parent: addresses.
    slice: where its labels lie.
    estimates: accuracy and error of both and their change, on the slice and elsewhere.
    """

    judge: str
    parent: str
    slice: str
    estimates: tuple[Estimate, ...]


@dataclass(frozen=True)
class Distillation:
    """A light judge beside its teacher, on held-out labels.

    judge, teacher: addresses.
    estimates: accuracy of all, accuracy kept and speed gained by each form of the light judge, and
        judgements a second; `by` is the address, or that and the file.
    """

    judge: str
    teacher: str
    estimates: tuple[Estimate, ...]


@dataclass(frozen=True)
class HumanAudit:
    """What people said of the audit sample.

    pairs: the address of the data set that was sampled.
    people: the annotators, as they named themselves.
    num_sampled, num_answered: pairs of the sample, and those with an answer.
    num_unclear: answers "cannot tell"; they are in no figure.
    estimates: precision, over all and by slice, agreements, and seconds for each answer if the
        sheets tell.
    num_corrected: answers that a later sheet of the same person replaced by another one.
    """

    pairs: str
    people: tuple[str, ...]
    num_sampled: int
    num_answered: int
    num_unclear: int
    estimates: tuple[Estimate, ...]
    num_corrected: int = 0


@dataclass(frozen=True)
class Slice:
    """The pairs with one value of one tag.

    num_pairs: of every verdict.
    verdicts: pairs by verdict.
    reasons: pairs by objection; a pair may have several.
    """

    tag: str
    value: str
    num_pairs: int
    verdicts: Mapping[str, int]
    reasons: Mapping[str, int]


@dataclass(frozen=True)
class TaskRanking:
    """By what noise of the judge the candidates of one task were ordered, and what its claims are
    worth.

    task: of the prompts.
    source: where the noise is from, in a sentence.
    unit: points of the judge's whole scale, whose shares all sds are.
    quality_sd, score_sd, duel_sd, item_sd, logits_per_share: see `factory.ranking.noise`;
        `quality_sd` is null where no spread is assumed.
    num_groups, num_duels, num_labels: that it was fitted on.
    why: what could not be fitted, and why; empty where nothing is missing.
    estimates: the calibration of P(right) on held-out labels that nothing was fitted on; a value
        that is null is not known, and the note says why.
    """

    task: str
    source: str
    unit: float
    quality_sd: float | None
    score_sd: float
    duel_sd: float
    item_sd: float
    logits_per_share: float
    num_groups: int = 0
    num_duels: int = 0
    num_labels: int = 0
    why: str = ""
    estimates: tuple[Estimate, ...] = ()


Result = (
    Profile
    | Evaluation
    | HumanAudit
    | Decision
    | Rollback
    | Localisation
    | Distillation
    | JudgeReport
    | Stability
    | tuple[Finding, ...]
    | tuple[Slice, ...]
    | tuple[Estimate, ...]
    | tuple[TaskRanking, ...]
)


@dataclass(frozen=True)
class ResultFile:
    """Where a round keeps a result.

    name: by which the page of the round asks for it.
    kind: of the artifact beside whose manifest it lies.
    file: its name there.
    type: what is in it.
    """

    name: str
    kind: str
    file: str
    type: Any


#: What the page of a round shows; one that a round has not made is left out there.
ROUND_RESULTS = (
    # Written even by a judge that fails, which has no manifest then.
    ResultFile("judge_findings", "judge", FINDINGS, tuple[Finding, ...]),
    ResultFile("agreement", "judge", AGREEMENT, JudgeReport),
    ResultFile("profile", "profile", PROFILE, Profile),
    # Of a judge that is used as it is, which the audit holds against the labels.
    ResultFile("agreement_as_given", "profile", AGREEMENT, JudgeReport),
    ResultFile("slices", "pairs", SLICES, tuple[Slice, ...]),
    ResultFile("kept_leads", "pairs", KEPT_LEADS, tuple[Estimate, ...]),
    ResultFile("ranking", "pairs", RANKING, tuple[TaskRanking, ...]),
    ResultFile("evaluation", "evaluation", EVALUATION, Evaluation),
    ResultFile("decision", "evaluation", FINDINGS, Decision),
    ResultFile("human_audit", "human_audit", HUMAN_AUDIT, HumanAudit),
    ResultFile("localisation", "local_judge", LOCALISATION, Localisation),
    ResultFile("local_decision", "local_judge", FINDINGS, Decision),
)


def read_round(directory_of: Callable[[str], Place]) -> dict[str, Any]:
    """The results of a round, by name; None for what is not there.

    Args:
        directory_of: the directory of the round's artifact of a kind.

    Raises:
        ResultError: a file that cannot be read as its kind.
    """
    return {
        result.name: read(directory_of(result.kind) / result.file, result.type)
        for result in ROUND_RESULTS
    }


def write(path: Place, result: Result) -> None:
    """Write a result; NaN and infinities become null."""
    path.write_bytes(to_bytes(result))


def to_bytes(result: Result) -> bytes:
    """The contents of a result's file."""
    plain = _without_nan(
        [asdict(one) for one in result] if isinstance(result, tuple) else asdict(result)
    )
    return (json.dumps(plain, indent=2, allow_nan=False) + "\n").encode()


def read(path: Place, kind: type[Read]) -> Read | None:
    """The result in a file, or None where there is no such file.

    Raises:
        ResultError: the file cannot be read as one of this kind.
    """
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(map(str, fault["loc"])) or "file"
        raise ResultError(f"{path}: {field}: {fault['msg']}") from None
    except OSError as error:
        raise ResultError(f"{path}: {error}") from None


def read_curves(path: Place) -> dict[str, list[tuple[int, float]]]:
    """The curves of a training run by metric, as (step, value); empty where there is no file.

    Raises:
        ResultError: the file is not a list of points.
    """
    points = read(path, list[dict[str, Any]])
    curves: dict[str, list[tuple[int, float]]] = {}
    for number, point in enumerate(points or ()):
        try:
            step = int(point["step"])
            for name, value in curve_values(point).items():
                if value is not None and math.isfinite(value):
                    curves.setdefault(name, []).append((step, float(value)))
        except (KeyError, TypeError, ValueError) as error:
            raise ResultError(f"{path}: point {number}: {error!r}") from None
    return curves


def curve_values(point: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of one point, whether they stand beside its step or under "metrics"."""
    inner = point.get("metrics")
    if isinstance(inner, Mapping):
        return dict(inner)
    return {key: value for key, value in point.items() if key != "step"}


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_nan(one) for one in value]
    return value
