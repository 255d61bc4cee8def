"""What an evaluation says of its contests: gains by judge and by slice, how much of a gain only its
own judge sees, drift, diversity, and the grid that people look at. Numbers from groups; no model
runs here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from factory.evaluation import contest, shift
from factory.evaluation.alarms import ALL, Claim, Heard, hacking_claims, slices_of
from factory.evaluation.contest import Result
from factory.evaluation.shift import Outputs
from factory.evaluation.witnesses import labels_of, twins_of
from factory.media.clips import decode_clip
from factory.media.grids import picture_grid
from factory.media.pictures import MediaError, encode_png
from factory.prompt_parts import in_words
from factory.statistics.intervals import Interval, clustered_bootstrap
from factory.statistics.metrics import win_rate
from schemas.recipe import Recipe
from schemas.results import Estimate, Evaluation
from schemas.rows import UNDERSTANDING, Candidate, Group, Opinion

_CLIP_FRAMES = 4  # of a clip in the grid


@dataclass(frozen=True)
class Comparison:
    """Champion against challenger, in numbers.

    won: win rate by the judge that decides: the last of those that were asked.
    told: the results that it rests on.
    failures: of either model's outputs.
    drift: of each attribute since the generator that the recipe starts from.
    diversity: None where one output a prompt was drawn.
    claims: the gain by the round's own judge held against what the others see of it.
    evaluation: the same and more, for people.
    """

    won: Estimate
    told: tuple[Result, ...]
    failures: contest.Failures
    drift: Mapping[str, Interval]
    diversity: shift.Diversity | None
    claims: tuple[Claim, ...]
    evaluation: Evaluation


def compare(
    groups: Sequence[Group],
    judges: Sequence[str],
    names: tuple[str, str],
    recipe: Recipe,
    start: tuple[str, Outputs] | None = None,
    reference: tuple[str, float] | None = None,
    opinions: Mapping[str, Sequence[Opinion]] | None = None,
) -> Comparison:
    """Measure all contests.

    Args:
        groups: of champion and challenger, as `factory.evaluation.contest` describes them.
        judges: addresses: the round's own first, the one that decides last.
        names: addresses of champion and challenger.
        recipe: for settings and seed.
        start: address and outputs of the generator that the recipe starts from, where that is not
            the champion.
        reference: address and full marks of the judge that knows what is right, where one of
            `judges` does.
        opinions: of held-out labels, by judge: what is known of each as a witness of hacking.
    """
    settings = recipe.evaluate
    boot = {"num_resamples": settings.num_resamples, "seed": recipe.seed}
    found = {
        judge: [one for group in groups for one in contest.results(group, judge)]
        for judge in judges
    }
    gains = {judge: _gains(by, judge, boot) for judge, by in found.items()}
    old, new = outputs(groups)
    since = (names[0], old) if start is None else start
    drifts = {
        address: shift.drift(before, new, **boot)
        for address, before in {names[0]: old, since[0]: since[1]}.items()
    }
    varied = shift.diversity(old, new, **boot)
    failed = contest.failures(found[judges[-1]], **boot)
    slices = slices_of(found[judges[0]], settings.min_slice_prompts)
    claims = hacking_claims(
        judges,
        twins_of(found),
        labels_of(opinions or {}, judges, {one.prompt.task for one in groups}),
        recipe.gates.max_unseen_gain,
        slices,
    )
    shown = groups[: settings.grid_prompts]
    evaluation = Evaluation(
        challenger=names[1],
        champion=names[0],
        gains=tuple(gain for both in gains.values() for gain in both),
        scores=tuple(_scores(groups, judges, names, boot)),
        errors=tuple(_errors(groups, reference, names, boot)),
        leads=tuple(one for claim in claims if claim.slice == ALL for one in _hacking(claim)),
        slices=tuple(
            _won(f"win rate, {name}", [found[judge][row] for row in rows], judge, boot)
            for judge in dict.fromkeys((judges[-1], judges[0]))
            for name, rows in slices.items()
        ),
        drift=tuple(
            Estimate.of(name, moved, 0.0, f"sd of {address}")
            for address, of in drifts.items()
            for name, moved in of.items()
        ),
        diversity=tuple(_diversity(varied, names)),
        failures=tuple(_failures(failed, names)),
        grid_prompts=tuple(in_words(group.prompt) for group in shown),
        grid_columns=tuple(grid_columns(shown, names)),
    )
    return Comparison(
        gains[judges[-1]][0],
        tuple(found[judges[-1]]),
        failed,
        drifts[since[0]],
        varied,
        tuple(claims),
        evaluation,
    )


def outputs(groups: Sequence[Group]) -> tuple[Outputs, Outputs]:
    """The champion's and the challenger's outputs by prompt."""
    both = {group.prompt.prompt_id: contest.sides(group) for group in groups}
    return (
        {prompt: old for prompt, (old, _) in both.items()},
        {prompt: new for prompt, (_, new) in both.items()},
    )


def _gains(
    found: Sequence[Result], judge: str, boot: Mapping[str, int]
) -> tuple[Estimate, Estimate]:
    """Win rate and score gain of the challenger by one judge."""
    prompts = [one.prompt_id for one in found]
    gain = clustered_bootstrap([one.score_gain for one in found], prompts, **boot)
    num = sum(one.score_gain == one.score_gain for one in found)
    return (
        _won("win rate", found, judge, boot),
        Estimate.of("score gain", gain, 0.0, "points", num, len(found) - num, judge),
    )


def _won(name: str, found: Sequence[Result], judge: str, boot: Mapping[str, int]) -> Estimate:
    prompts = [one.prompt_id for one in found]
    won = win_rate([one.outcome for one in found], prompts, **boot)
    num = sum(one.outcome is not None for one in found)
    return Estimate.of(name, won, 0.5, "share", num, len(found) - num, judge)


def _scores(
    groups: Sequence[Group], judges: Sequence[str], names: tuple[str, str], boot: Mapping[str, int]
) -> list[Estimate]:
    """Mean score of each model. Rounds draw from equal noise, so a judge that stays the same can be
    followed over them.
    """
    made = []
    for judge in judges:
        for name, outputs_of in zip(names, outputs(groups), strict=True):
            values, prompts = [], []
            for group in groups:
                by = {one.candidate_id: one.value for one in group.scores if one.judge == judge}
                for candidate in outputs_of[group.prompt.prompt_id]:
                    values.append(by.get(candidate.candidate_id, float("nan")))
                    prompts.append(group.prompt.prompt_id)
            num = sum(one == one for one in values)
            mean = clustered_bootstrap(values, prompts, **boot)
            what = f"score of {name}"
            made.append(Estimate.of(what, mean, None, "points", num, len(values) - num, judge))
    return made


def _errors(
    groups: Sequence[Group],
    reference: tuple[str, float] | None,
    names: tuple[str, str],
    boot: Mapping[str, int],
) -> list[Estimate]:
    """Error rates of answers by the judge that knows what is right."""
    if reference is None or not all(one.prompt.task in UNDERSTANDING for one in groups):
        return []
    judge, full_marks = reference
    found = contest.errors(groups, judge, full_marks, **boot)
    num = found.num, found.num_invalid, judge
    return [
        *(
            Estimate.of(f"error rate of {name}", one, None, "share", *num)
            for name, one in zip(names, (found.champion, found.challenger), strict=True)
        ),
        Estimate.of("errors mended", found.reduction, 0.0, "share of the champion's", *num),
    ]


def _hacking(claim: Claim) -> list[Estimate]:
    """What the judge's gain looks like to the others, and what each of them is worth."""
    everybody = (claim.judge, *claim.witnesses)
    counted = [one for one in claim.witnesses if one.weight > 0] or claim.witnesses
    by = " and ".join(one.address for one in counted)
    return [
        Estimate.of(
            "gain that no witness sees",
            claim.unseen,
            0.0,
            "share of the judge's gain",
            claim.num,
            claim.num_invalid,
            f"{claim.judge.address} before {by}",
        ),
        *(
            Estimate.of(
                "accuracy on held-out labels",
                one.known.accuracy,
                0.5,
                "share of labels",
                one.known.num,
                by=one.address,
                note=_worth(one, is_judge=one is claim.judge),
            )
            for one in everybody
        ),
    ]


def _worth(one: Heard, *, is_judge: bool) -> str:
    if one.why_not:
        return f"no {'measure' if is_judge else 'witness'}: it {one.why_not}"
    if is_judge:
        return "the judge that made the pairs"
    return f"counts {one.weight:.2f} of the witnesses"


def _failures(found: contest.Failures, names: tuple[str, str]) -> list[Estimate]:
    return [
        *(
            Estimate.of(f"failures of {name}", one, None, "share of outputs", found.num)
            for name, one in zip(names, (found.champion, found.challenger), strict=True)
        ),
        Estimate.of(
            "failures beyond the champion's", found.excess, 0.0, "share of outputs", found.num
        ),
    ]


def _diversity(found: shift.Diversity | None, names: tuple[str, str]) -> list[Estimate]:
    if found is None:
        return []
    unit = "mean distance of two outputs"
    return [
        *(
            Estimate.of(f"diversity of {name}", one, None, unit, found.num)
            for name, one in zip(names, (found.champion, found.challenger), strict=True)
        ),
        Estimate.of("diversity kept", found.kept, 1.0, "share of the champion's", found.num),
    ]


def grid_columns(groups: Sequence[Group], names: tuple[str, str]) -> list[str]:
    """Titles of the grid: a column for each side, or one for each frame of each side's clip."""
    if not any(_is_clip(one) for group in groups for one in group.candidates):
        return list(names)
    return [f"{name} {part + 1}/{_CLIP_FRAMES}" for name in names for part in range(_CLIP_FRAMES)]


def grid(groups: Sequence[Group], names: tuple[str, str]) -> bytes | None:
    """Twins side by side, drawn from the same noise, as a PNG; a clip is shown as some of its
    frames. None where nothing can be drawn, as of answers.
    """
    columns = grid_columns(groups, names)
    width = len(columns) // 2
    rows = []
    for group in groups:
        twins = [side[0] if side else None for side in contest.sides(group)]
        rows.append([cell for one in twins for cell in _cells(one, width)])
    if not any(cell for row in rows for cell in row):
        return None
    titles = [
        name.replace(names[0], "champion").replace(names[1], "challenger") for name in columns
    ]
    return picture_grid(rows, titles, [in_words(group.prompt) for group in groups])


def _is_clip(candidate: Candidate) -> bool:
    return candidate.media is not None and candidate.media.num_frames > 1


def _cells(candidate: Candidate | None, width: int) -> list[bytes | None]:
    """What is shown of a candidate, in `width` cells."""
    if candidate is None or candidate.media is None:
        return [None] * width
    data = candidate.media.data
    try:
        if _is_clip(candidate):
            return [encode_png(frame) for frame in decode_clip(data, width)]
    except MediaError:
        return [None] * width
    return [data, *[None] * (width - 1)]
