"""What the page of a round shows, read from its artifacts.

A round that is not complete gets a page of what there is. A file that is there and cannot be read
is an error: a page that silently lacks the rejected pairs would be worse than none.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from actors.storage import write_whole
from factory.curation.survey import reasons_of
from jobs.datasets.failures import failures_in
from jobs.datasets.reading import find_rows, stream
from jobs.pages.pictures import ReportError, _size, _uri, show, show_parts
from jobs.pages.report import (
    Curve,
    Example,
    ExampleGroup,
    Grid,
    Match,
    Picture,
    ReportData,
    ShownSide,
    StageRow,
    render,
)
from jobs.rounds import lineage
from jobs.rounds.course import course, left_out
from jobs.rounds.history import rounds_so_far
from jobs.rounds.tracking import public_settings
from jobs.rounds.workspace import Round
from schemas import arrow, manifest, plain_yaml, results
from schemas.artifacts import ArtifactKind, loop_kinds
from schemas.columns import GROUPS, PAIRS
from schemas.manifest import Manifest
from schemas.places import Place
from schemas.rows import SIMULATED, Candidate, Group, Pair

_NUM_KEPT, _NUM_PER_REASON, _MAX_REASONS = 6, 3, 8
#: Of so many ids the examples are taken, even if all other examples are among them.
_FIRST_IDS = (_MAX_REASONS + 2) * max(_NUM_KEPT, _NUM_PER_REASON)


def write_report(at: Round) -> Place:
    """Write the page of a round and return its path.

    Raises:
        ReportError, ResultError, ManifestError: an artifact that cannot be read.
    """
    page = render(collect(at))
    path = at.report()
    write_whole(path, page.encode())
    return path


def collect(at: Round) -> ReportData:
    """Read what a round has made so far.

    Raises:
        ReportError, ResultError, ManifestError: an artifact that cannot be read.
    """
    made = {kind.name: manifest.read(at.directory(kind.name)) for kind in loop_kinds()}
    done = [one for one in made.values() if one is not None]
    verdicts, reasons, groups = _pairs(at, made)
    found = results.read_round(at.directory)
    found["agreement"] = found["agreement"] or found["agreement_as_given"]
    return ReportData(
        recipe=at.recipe.name,
        round=at.number,
        num_rounds=at.recipe.num_rounds,
        made_at=max((one.created_at for one in done), default=""),
        results=found,
        notes=tuple(_notes(at, made)),
        stages=tuple(_stage(kind, made[kind.name]) for kind in loop_kinds()),
        num_kept=verdicts["kept"],
        num_rejected=verdicts["rejected"],
        num_invalid=verdicts["invalid"],
        reasons=tuple(reasons.most_common()),
        examples=groups,
        rounds=tuple(one for one in rounds_so_far(at.recipe) if one.number <= at.number),
        grid=_grid(at, found["evaluation"]),
        curves=tuple(_curves(at)),
        left_out=left_out(at.recipe),
        lineage=lineage.as_text(lineage.trace(at.root, done[-1].address)) if done else "",
        recipe_yaml=plain_yaml.dump(public_settings(at.recipe)),
    )


def _stage(kind: ArtifactKind, made: Manifest | None) -> StageRow:
    if made is None:
        return StageRow(kind.job)
    return StageRow(
        stage=kind.job,
        address=made.address,
        digest=made.digest,
        parents=tuple((parent.role, parent.address) for parent in made.parents),
        counts=tuple(sorted(made.counts.items(), key=_verdicts_last)),
        figures=tuple((key, one) for key, one in made.figures.items() if key != "seconds"),
        seconds=made.figures.get("seconds"),
    )


def _verdicts_last(count: tuple[str, int]) -> tuple[int, str]:
    verdicts = ("kept", "rejected", "invalid")
    return (verdicts.index(count[0]) + 1 if count[0] in verdicts else 0, count[0])


def _notes(at: Round, made: Mapping[str, Manifest | None]) -> list[str]:
    notes = []
    if made["labels"] is not None:
        annotators = Counter(
            row["annotator"] for row in _rows(at.directory("labels"), ["annotator"])
        )
        simulated = {name: num for name, num in annotators.items() if name.startswith(SIMULATED)}
        if simulated:
            notes.append(
                f"{sum(simulated.values()):,} of {sum(annotators.values()):,} labels are "
                f"simulated ({', '.join(sorted(simulated))}): they are not human judgements."
            )
    groups = made["groups"]
    if groups is not None and groups.counts.get("invalid_candidates"):
        notes += [f"Groups: {one}." for one in failures_in(at.directory("groups")).sentences()]
    settings = at.recipe.evaluate
    if settings.oracle != "none":
        notes.append(
            f"The {settings.oracle} oracle took part in the evaluation: it knows what is right, "
            "which no judge of real pictures does."
        )
    witnesses = (settings.oracle != "none", settings.endpoint, settings.heldout_judge)
    if made["evaluation"] is not None and not any(witnesses):
        notes.append(
            "Nobody but the judge of the pairs compared the models: reward hacking cannot be seen."
        )
    for one in made["groups"].parents if made["groups"] is not None else ():
        if one.role == "judge" and one.address.endswith("@0"):
            is_held = (at.directory("profile") / results.AGREEMENT).is_file()
            against = "the audit held it against labels" if is_held else "nobody measured it"
            notes.append(
                f"{one.address} ({one.digest}) judged as it was published: it was not trained "
                f"here, and {against}."
            )
    if made["generator"] is not None and not at.recipe.is_evaluated:
        notes.append(f"Nothing was promoted: {left_out(at.recipe)['evaluate']}.")
    missing = [kind.job for kind in course(at.recipe) if made[kind.name] is None]
    if missing:
        notes.append(f"Not complete: {', '.join(missing)}.")
    return notes


def _curves(at: Round) -> list[Curve]:
    return [
        Curve(at.address(kind.name), metric, tuple(points))
        for kind in loop_kinds()
        if kind.is_model
        for metric, points in results.read_curves(at.directory(kind.name) / results.CURVES).items()
    ]


def _grid(at: Round, evaluation: results.Evaluation | None) -> Grid | None:
    path = at.directory("evaluation") / results.GRID
    if not path.is_file():
        return None
    data = path.read_bytes()
    width, height = _size(data, path)
    picture = Picture(_uri("image/png", data), False, width, height)
    if evaluation is None:
        return Grid(picture, (), ())
    return Grid(picture, evaluation.grid_prompts, evaluation.grid_columns)


# ------------------------------------------------------------------------------------- Parquet


def _rows(directory: Place, columns: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of a data set of any size, a few at a time."""
    try:
        for table in stream(directory, columns):
            missing = sorted({*columns} - {*table.column_names})
            if missing:
                raise ReportError(f"{directory}: has no column {missing[0]!r}")
            yield from table.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ReportError(f"{directory}: cannot be read as Parquet: {error}") from None


def _pairs(
    at: Round, made: Mapping[str, Manifest | None]
) -> tuple[Counter[str], Counter[str], tuple[ExampleGroup, ...]]:
    """Pairs by verdict, objections by reason, and examples of each."""
    directory = at.directory("pairs")
    columns = ["pair_id", "prompt_id", "verdict", "objections"]
    verdicts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    nums: Counter[tuple[str, str]] = Counter()  # (verdict, reason) -> pairs
    ids: dict[tuple[str, str], list[str]] = {}  # the first of those, and some that are not
    for row in _rows(directory, columns) if made["pairs"] is not None else ():
        verdicts[row["verdict"]] += 1
        found = reasons_of(row["objections"] or ())
        reasons.update(found)
        for title in found or [row["verdict"]]:
            nums[row["verdict"], title] += 1
            some = ids.setdefault((row["verdict"], title), [])
            some.append(row["pair_id"])
            if len(some) > 2 * _FIRST_IDS:
                some[:] = sorted(some)[:_FIRST_IDS]
    order = sorted(ids, key=lambda key: (key[0] != "kept", -nums[key], key))
    wanted: dict[tuple[str, str], list[str]] = {}
    for key in order[: _MAX_REASONS + 1]:
        # The ids are hashes of content, so the first few of them are a sample that nobody chose.
        # A pair with two objections is shown once where there are others to show.
        taken = set().union(*wanted.values())
        fresh_first = sorted(ids[key], key=lambda one: (one in taken, one))
        wanted[key] = fresh_first[: _NUM_KEPT if key[0] == "kept" else _NUM_PER_REASON]
    shown = {
        pair.pair_id: pair
        for pair in _read_pairs(directory, [one for few in wanted.values() for one in few])
    }
    groups = _read_groups(at, {pair.prompt.prompt_id for pair in shown.values()})
    examples = tuple(
        ExampleGroup(
            title=title,
            verdict=verdict,
            num=nums[verdict, title],
            examples=tuple(
                _example(shown[one], groups.get(shown[one].prompt.prompt_id)) for one in chosen
            ),
        )
        for (verdict, title), chosen in wanted.items()
    )
    return verdicts, reasons, examples


def _read_pairs(directory: Place, pair_ids: Sequence[str]) -> list[Pair]:
    if not pair_ids:
        return []
    try:
        return arrow.pairs_from_table(find_rows(directory, "pair_id", pair_ids, PAIRS))
    except (KeyError, TypeError, ValueError, OSError, pa.ArrowException) as error:
        raise ReportError(f"{directory}: not a table of pairs: {error!r}") from None


def _read_groups(at: Round, prompt_ids: set[str]) -> dict[str, Group]:
    """What was said of some groups; their media are those of their pairs."""
    directory = at.directory("groups")
    if not prompt_ids:
        return {}
    try:
        rows = find_rows(directory, "prompt_id", prompt_ids, GROUPS, media="none")
        groups = arrow.groups_from_table(rows)
    except (KeyError, TypeError, ValueError, OSError, pa.ArrowException) as error:
        raise ReportError(f"{directory}: not a table of groups: {error!r}") from None
    return {group.prompt.prompt_id: group for group in groups}


# ------------------------------------------------------------------------------------- examples


def _example(pair: Pair, group: Group | None) -> Example:
    margin, sd = _known(pair.margin), _known(pair.margin_sd)
    has_interval = margin is not None and sd is not None
    return Example(
        pair_id=pair.pair_id,
        prompt=pair.prompt.text,
        parts=show_parts(pair.prompt),
        tags=tuple(sorted(pair.prompt.tags.items())),
        chosen=_side(pair.chosen, pair.judge, group),
        rejected=_side(pair.rejected, pair.judge, group),
        verdict=pair.verdict,
        objections=pair.objections,
        margin=margin,
        margin_low=pair.margin - 1.96 * pair.margin_sd if has_interval else None,
        margin_high=pair.margin + 1.96 * pair.margin_sd if has_interval else None,
        p_chosen=_known(pair.p_chosen),
        is_flipped=pair.is_flipped,
        matches=tuple(_matches(pair, group)),
    )


def _side(candidate: Candidate, judge: str, group: Group | None) -> ShownSide:
    scores = group.scores if group is not None else ()
    score = next(
        (
            one
            for one in scores
            if one.candidate_id == candidate.candidate_id and one.judge == judge
        ),
        None,
    )
    return ShownSide(
        candidate_id=candidate.candidate_id,
        picture=show(candidate.media),
        answer=candidate.answer,
        score=_known(score.value) if score else None,
        spread=_known(score.spread) if score else None,
        error=candidate.error or (score.error if score else None),
    )


def _matches(pair: Pair, group: Group | None) -> list[Match]:
    ids = (pair.chosen.candidate_id, pair.rejected.candidate_id)
    matches = []
    for duel in group.duels if group is not None else ():
        if duel.error or duel.judge != pair.judge or {duel.first_id, duel.second_id} != set(ids):
            continue
        is_first = duel.first_id == ids[0]
        told = duel if is_first else duel.swap()
        matches.append(Match(is_first, told.p_first, told.p_tie, told.p_second))
    return sorted(matches, key=lambda match: not match.is_chosen_first)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


# ------------------------------------------------------------------------------------- pictures
