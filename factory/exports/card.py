"""What is told of an export: the README.md beside its tables, with Hugging Face's metadata on top.

It is written for every format, since what it says (where the rows come from, how many were left out
and why, which biases their judge has, how many of them people found right) is what a trainer's own
form has no room for. What nobody here can know is left to be filled in, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import yaml

from schemas.results import Estimate

#: Hugging Face's classes of size, by the number of rows below which a set is of the class.
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)


@dataclass(frozen=True)
class Source:
    """One data set that was exported.

    address: name@version.
    digest: of its rows.
    verdicts: its pairs by verdict, in all; empty for groups.
    objections: its pairs by objection.
    lineage: what it was made from, one line each.
    judges: who judged it.
    bias: what was measured of the judge's biases.
    audits: what people said of a sample of its kept pairs.
    """

    address: str
    digest: str
    verdicts: Mapping[str, int] = field(default_factory=dict)
    objections: Mapping[str, int] = field(default_factory=dict)
    lineage: Sequence[str] = ()
    judges: Sequence[str] = ()
    bias: Sequence[Estimate] = ()
    audits: Sequence[Estimate] = ()


@dataclass(frozen=True)
class Facts:
    """What a card tells.

    name: of the export.
    format: of the export, and `about` what that is.
    loads: how the target loads it; empty where nobody said.
    ending: of the files.
    splits: rows written, by split.
    left_out: rows that the form cannot hold, by reason.
    verdicts: that were asked for; empty for groups.
    sources: what was exported.
    licences: rows by "licence, source" as their owners told them.
    """

    name: str
    format: str
    about: str
    loads: str
    ending: str
    splits: Mapping[str, int]
    left_out: Mapping[str, int]
    verdicts: Sequence[str]
    sources: Sequence[Source]
    licences: Mapping[str, int] = field(default_factory=dict)


def card(facts: Facts) -> str:
    """The text of README.md."""
    parts = [
        f"---\n{_metadata(facts)}---\n",
        f"# {_plain(facts.name)}\n",
        f"Preference data made by the preference factory, in the form `{facts.format}`: "
        f"{_plain(facts.about)}\n",
        _loading(facts),
        _counts(facts),
        *(_source(one) for one in facts.sources),
        _licence(facts),
    ]
    return "\n".join(part for part in parts if part)


def _metadata(facts: Facts) -> str:
    num = sum(facts.splits.values())
    files = [
        {"split": split, "path": f"{split}/*.{facts.ending}"} for split in sorted(facts.splits)
    ]
    said: dict[str, object] = {
        "pretty_name": facts.name,
        "license": "unknown",
        "tags": ["preference-data", "synthetic", facts.format],
        "size_categories": [next((name for most, name in _SIZES if num < most), "n>1T")],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    text: str = yaml.safe_dump(said, sort_keys=False, allow_unicode=True)
    return text


def _loading(facts: Facts) -> str:
    if not facts.loads:
        return ""
    split = min(facts.splits, default="train")
    return f"## Loading\n\n```\n{facts.loads.format(out='.', split=split)}\n```\n"


def _counts(facts: Facts) -> str:
    rows = [*((f"split {name}", num) for name, num in facts.splits.items())]
    rows += [(f"left out: {_plain(reason)}", num) for reason, num in facts.left_out.items()]
    what = f"Verdicts exported: {', '.join(facts.verdicts)}.\n\n" if facts.verdicts else ""
    return f"## Rows\n\n{what}{_table(('', 'rows'), rows)}"


def _source(source: Source) -> str:
    parts = [f"## From `{source.address}`\n\nDigest of its rows: `{source.digest}`.\n"]
    if source.judges:
        parts.append(f"Judged by {', '.join(f'`{_plain(one)}`' for one in source.judges)}.\n")
    if source.verdicts:
        rows = [*source.verdicts.items()]
        rows += [(f"objection: {_plain(name)}", num) for name, num in source.objections.items()]
        parts.append(f"{_table(('verdict or objection', 'pairs'), rows)}")
    if source.lineage:
        lines = "\n".join(f"- {_plain(line)}" for line in source.lineage)
        parts.append(f"### Provenance\n\n{lines}\n")
    if source.verdicts:
        parts += [_bias(source), _audit(source)]
    return "\n".join(parts)


def _bias(source: Source) -> str:
    if not source.bias:
        return "### Biases of the judge\n\nNot measured: no bias profile lies beside the pairs.\n"
    flagged = [one for one in source.bias if one.is_flagged]
    said = (
        f"{len(source.bias)} figures were measured; {len(flagged)} show a bias, with the rate of "
        "false discoveries kept over all of them.\n"
    )
    return (
        f"### Biases of the judge\n\n{said}\n{_estimates(flagged)}"
        if flagged
        else (f"### Biases of the judge\n\n{said}")
    )


def _audit(source: Source) -> str:
    if not source.audits:
        return (
            "### Audited precision\n\nUnknown: no person has looked at a sample of these pairs. "
            "What is said of them is what their judge says.\n"
        )
    return f"### Audited precision\n\n{_estimates(source.audits)}"


def _licence(facts: Facts) -> str:
    told = "No row says anything of its licence.\n"
    if facts.licences:
        told = _table(("licence and source, as rows tell them", "rows"), [*facts.licences.items()])
    return (
        f"## Licence\n\n{told}\n"
        "To be filled in by whoever publishes this, and in the metadata on top:\n\n"
        "- Licence of the data set: *to be filled in*\n"
        "- Terms of the generators whose outputs it holds: *to be filled in*\n"
        "- Terms of the judge: *to be filled in*\n"
        "- Consent of people who labelled or are shown: *to be filled in*\n"
        "- Contact: *to be filled in*\n"
    )


def _estimates(estimates: Sequence[Estimate]) -> str:
    rows = [
        (
            f"{_plain(one.kind)}: {_plain(one.name)}" if one.kind else _plain(one.name),
            _told(one),
            "" if one.corrected is None else _told(one.corrected),
            one.num if one.num is not None else "",
        )
        for one in estimates
    ]
    return _table(("figure", "value, 95 % interval", "corrected", "rests on"), rows)


def _told(one: Estimate) -> str:
    if one.value is None:
        return "could not be measured"
    unit = f" {_plain(one.unit)}" if one.unit else ""
    if one.low is None or one.high is None:
        return f"{one.value:.3g}{unit}"
    return f"{one.value:.3g} ({one.low:.3g} to {one.high:.3g}){unit}"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(str(one) for one in line)} |\n" for line in lines)


def _plain(text: str) -> str:
    """Text of somebody else's as one line that is neither markup nor the end of a table's cell."""
    shown = "".join(one if one.isprintable() else " " for one in text)
    return shown.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
