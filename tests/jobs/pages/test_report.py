"""The page of a finished round: safe, self-contained, well formed, complete, and never silent about
a file that it could not read."""

import dataclasses
import math
import re
from html.parser import HTMLParser

import pytest

from jobs.pages import plots
from jobs.pages.collect import collect, write_report
from jobs.pages.pictures import ReportError
from jobs.pages.report import duration, interval, moment, number, plain, render
from jobs.rounds.workspace import Round
from schemas import manifest, results
from schemas.manifest import ManifestError
from schemas.results import Estimate, ResultError

VOID = {"meta", "img", "link", "br", "hr", "input", "col"}
SECTIONS = ["stages", "judge", "pairs", "bias", "gains", "grid", "curves", "lineage", "recipe"]


class Page(HTMLParser):
    """Checks that each element is closed where it should be, and keeps what the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in <{tag}>"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def said(self) -> str:
        return " ".join(" ".join(self.text).split())


def with_results(data, **found):
    return dataclasses.replace(data, results={**data.results, **found})


@pytest.fixture
def data(finished):
    return collect(finished)


@pytest.fixture
def page(data):
    return Page(render(data))


# ------------------------------------------------------------------------------------ the page


def test_hostile_text_is_text(data):
    text = render(data)
    assert data.examples[0].examples[0].prompt.startswith("<script>")
    assert "&lt;script&gt;alert(" in text
    assert "<script" not in text
    assert "<dd>&lt;b&gt;</dd>" in text
    assert "inconsistent: <i>" not in text
    assert "inconsistent: &lt;i&gt;" in text
    assert "a &lt;red&gt; circle" in text
    assert not Page(text).all("script")


def test_every_text_of_the_data_is_escaped(data):
    """Whatever field a hostile string comes in, it stays text."""
    hostile = '"><img src=x onerror=alert(1)>'

    def spoil(value):
        if isinstance(value, str) and not value.startswith("data:"):
            return hostile
        if isinstance(value, tuple):
            return tuple(spoil(one) for one in value)
        if isinstance(value, dict):
            return {key: spoil(one) for key, one in value.items()}
        if dataclasses.is_dataclass(value):
            fields = dataclasses.fields(value)
            return dataclasses.replace(
                value, **{field.name: spoil(getattr(value, field.name)) for field in fields}
            )
        return value

    plain_page, spoiled = Page(render(data)), Page(render(spoil(data)))
    assert len(spoiled.all("img")) == len(plain_page.all("img"))
    assert not any("onerror" in attributes for _, attributes in spoiled.tags)


def test_nothing_is_loaded_from_elsewhere(data):
    text = render(data)
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base"}
        for name in ("src", "href", "srcset", "action", "poster", "data"):
            target = attributes.get(name) or ""
            assert not target or target.startswith(("data:", "#")), (tag, name)
        assert not any(name.startswith("on") for name in attributes)
    assert "http:" not in text
    assert "https:" not in text
    assert not re.search(r"url\(|@import", text)
    (policy,) = [one for one in page.all("meta") if "http-equiv" in one]
    assert policy["content"].startswith("default-src 'none'")


def test_every_section_is_there(page):
    ids = [attributes["id"] for attributes in page.all("section") if "id" in attributes]
    assert ids == SECTIONS
    assert [one["href"] for one in page.all("a")] == [f"#{name}" for name in SECTIONS]
    said = page.said()
    for words in (
        "Round 1 of 2",
        "Promoted generator@1 becomes champion in the place of generator@0",
        "min_win_rate passed 0.72 [0.66, 0.78]",
        "max_flip_rate passed 0.11",
        "1 of 1 labels are simulated (simulated:ann)",
        "6 of 12 pairs are kept, 4 are rejected and 2 could not be judged",
        "thin margin 4 33.3 %",
        "thin margin: 0.10 < 0.30",
        "broken media",
        "generator failed",
        "margin 1.00 [0.61, 1.39]",
        "chosen first 0.80 · 0.05 · 0.15",
        "rejected first 0.60 · 0.10 · 0.30",
        "score 3.50 ± 0.40",
        "leaves out 0.5",
        "→ 0.00 [−0.10, 0.10]",
        "not measured",
        "by heldout-judge@1",
        "judge@1 · loss",
        "judge@1 on held-out labels <b>.",
        "0.81 [0.72, 0.90]",
        "as claimed",
        "├─ generator: generator@1",
        "prompts: prompts/train.txt 3333 (given)",
        "1 min 15 s",
        "learning_rate: 0.0001",
    ):
        assert words in said, words


def test_no_secret_gets_into_the_page(data):
    text = render(data)
    assert "someone" not in text
    assert "postgresql://***@host/db" in text


def test_pictures_have_alternative_texts_and_are_small(page):
    pictures = page.all("img")
    assert len(pictures) > 10
    assert all(one["src"].startswith("data:image/") and one["alt"] for one in pictures)
    tiny = [one for one in pictures if one.get("class") == "tiny"]
    assert len(tiny) < len(pictures)  # the 600-pixel picture is shown smaller, and smooth
    assert all(len(one["src"]) < 20_000 for one in pictures)
    for one in page.all("svg"):
        assert one.get("aria-label") or one.get("aria-hidden") == "true"


def test_the_same_artifacts_give_the_same_page(finished):
    first = write_report(finished)
    text = first.read_text()
    assert first == finished.root / "reports" / "round-1.html"
    assert write_report(finished).read_text() == text


def test_a_duel_of_another_judge_is_not_shown(data):
    for group in data.examples:
        for example in group.examples:
            assert [match.is_chosen_first for match in example.matches] == [True, False]


def test_examples_of_each_kind(data):
    kinds = [(group.verdict, group.title, group.num) for group in data.examples]
    assert kinds == [
        ("kept", "kept", 6),
        ("rejected", "inconsistent", 4),
        ("rejected", "thin margin", 4),
        ("invalid", "broken media", 2),
    ]
    shown = [[one.pair_id for one in group.examples] for group in data.examples]
    assert shown[0] == ["pair-00", "pair-02", "pair-03", "pair-06", "pair-08", "pair-09"]
    assert shown[1] == ["pair-01", "pair-04", "pair-07"]
    assert shown[2] == ["pair-10", "pair-01", "pair-04"]  # those not shown yet come first


# ------------------------------------------------------------------------- what is not there


def test_only_flagged_biases_stand_out(data):
    told = Estimate("contrast: slope of scores", 0.02, 0.01, 0.03, 0.0, num=96, kind="edit")
    after = Estimate("brightness", 0.01, -0.02, 0.04)
    flagged = Estimate(
        *("brightness: slope of scores", 0.4, 0.3, 0.5, 0.0),
        num=96,
        kind="edit",
        is_flagged=True,
        corrected=after,
    )
    page = render(with_results(data, profile=results.Profile("judge@1", (told, flagged))))
    section = page[page.index('<section id="bias">') : page.index('<section id="gains">')]
    assert section.count('class="dot clear below"') == 1
    assert "<b>leaves out" not in section  # as it does for a gain
    said = Page(f"<div>{section}</div>").said()
    assert "1 flagged brightness: slope of scores" in said
    assert "0.40 [0.30, 0.50] → 0.010 [−0.020, 0.040]" in said
    assert said.count("leaves out 0") == 1


def test_reliability_lies_on_the_diagonal_of_a_calibrated_judge():
    side, pad = plots.RELIABILITY_SIDE, 10
    bins = [
        results.ReliabilityBin(c, c, c - 0.1, None, n) for c, n in ((0.5, 9), (0.75, 36), (1, 1))
    ]
    half, middle, sure = plots.reliability(bins)
    assert (half.x, half.y) == (pad, side / 2)
    assert (sure.x, sure.y) == (side - pad, pad)
    assert (middle.x, middle.y) == (side / 2, (half.y + sure.y) / 2)
    assert half.y_low > half.y == half.y_high  # y grows downwards; an unknown end is the dot
    assert middle.radius > half.radius > sure.radius
    assert plots.reliability([]) == []


def test_an_empty_round_has_a_page(recipe):
    page = Page(render(collect(Round(recipe, 2))))
    assert "No decision yet" in page.said()
    assert page.said().count("not complete") == 8


@pytest.mark.parametrize("kind", ["labels", "judge", "profile", "pairs", "evaluation"])
def test_a_missing_artifact_is_named(finished, kind):
    directory = finished.directory(kind)
    directory.rename(directory.with_name("elsewhere"))
    page = Page(render(collect(finished)))
    assert "Not complete: " in page.said()


def test_a_judge_that_fails_its_gate_ends_the_round(finished):
    judge = finished.directory("judge")
    failed = results.Finding(
        "min_judge_accuracy", "judge@1", False, 0.7, 0.55, 0.5, 0.6, "is below"
    )
    results.write(judge / results.FINDINGS, (failed,))
    (judge / manifest.FILE).unlink()
    evaluation = finished.directory("evaluation")
    evaluation.rename(evaluation.with_name("elsewhere"))
    said = Page(render(collect(finished))).said()
    assert "Stopped at the judge judge@1 did not pass every gate" in said
    assert "min_judge_accuracy not passed 0.55 [0.50, 0.60] 0.7 judge@1 is below" in said


def test_a_kept_champion_is_said(data):
    kept = dataclasses.replace(data.results["decision"], decision="keep")
    said = Page(render(with_results(data, decision=kept))).said()
    assert "Not promoted generator@0 stays champion" in said


@pytest.mark.parametrize(
    ("kind", "file", "error"),
    [
        ("profile", results.PROFILE, ResultError),
        ("evaluation", results.EVALUATION, ResultError),
        ("evaluation", results.FINDINGS, ResultError),
        ("evaluation", results.GRID, ReportError),
        ("judge", results.CURVES, ResultError),
        ("pairs", "1.parquet", ReportError),
        ("groups", "0.parquet", ReportError),
        ("labels", manifest.FILE, ManifestError),
    ],
)
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\x89PNG\r\n\x1a\n"])
def test_a_corrupt_file_is_an_error(finished, kind, file, error, content):
    path = finished.directory(kind) / file
    path.write_bytes(content)
    with pytest.raises(error, match=re.escape(str(path.parent))):
        collect(finished)


def test_a_wrong_field_is_named(finished):
    path = finished.directory("profile") / results.PROFILE
    path.write_text('{"judge": "judge@1", "estimates": [{"name": "x", "value": "high"}]}')
    with pytest.raises(ResultError, match=r"estimates\.0\.value"):
        collect(finished)


def test_a_broken_picture_is_shown_as_none(finished, data):
    """Broken media is a reason to reject a pair, so the page of such pairs must survive it."""
    from jobs.pages.pictures import show
    from schemas.rows import Media

    for broken in (b"", b"nonsense", b"\x89PNG\r\n\x1a\n", b"RIFF0000WEBP"):
        assert show(Media(broken, 32, 32)) is None


# ----------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((0.7181, 0.655, 0.781), "0.72 [0.66, 0.78]"),
        ((0.031, 0.0288, 0.0332), "0.0310 [0.0288, 0.0332]"),
        ((1234.5, 1000.0, 1500.0), "1,234 [1,000, 1,500]"),
        ((-0.12, -0.21, 0.03), "−0.12 [−0.21, 0.03]"),
        ((0.5, 0.5, 0.5), "0.5 [0.5, 0.5]"),
        ((0.5, None, None), "0.5"),
        ((None, None, None), "not measured"),
    ],
)
def test_intervals(given, text):
    assert interval(*given) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (0, "0"),
        (0.0, "0"),
        (-0.0, "0"),
        (12345, "12,345"),
        (0.04, "0.04"),
        (0.12345, "0.123"),
        (12.345, "12.3"),
        (1234.5, "1,234"),
        (0.00012345, "0.000123"),
        (1e-4, "0.0001"),
        (-0.5, "−0.5"),
        (1e7, "1.00e+07"),
        (99.96, "100"),
        (1e-9, "1.00e−09"),
        (math.nan, "–"),
        (None, "–"),
        (-math.inf, "−∞"),
    ],
)
def test_numbers(given, text):
    assert number(given) == text


@pytest.mark.parametrize(
    ("width", "text"),
    [(0.1, "0.12"), (0.05, "0.123"), (1.0, "0.1"), (10.0, "0"), (0.0, "0.123"), (1e-9, "0.123457")],
)
def test_a_number_has_two_digits_of_its_interval(width, text):
    assert number(0.123456789, width) == text


def test_other_values():
    assert [plain(0.7), plain(-3.0)] == ["0.7", "−3"]
    assert [duration(one) for one in (None, 3.44, 59.99, 60, 3725)] == [
        "–",
        "3.4 s",
        "60.0 s",
        "1 min 00 s",
        "1 h 02 min",
    ]
    assert moment("2026-11-23T21:05:44+00:00") == "2026-11-23 21:05 UTC"


def test_a_forest_has_one_axis_for_each_unit():
    one, two, three = plots.forests(
        [
            Estimate("a", 0.2, -0.2, 0.4, unit="points"),
            Estimate("b", 0.6, 0.5, 0.7, unit="share", neutral=0.5),
            Estimate("c", -0.4, -0.6, -0.2, unit="points"),
            Estimate("d", None, unit="rate", neutral=None),
        ]
    )
    assert [row.estimate.name for row in one.rows] == ["a", "c"]
    a, c = (row.span for row in one.rows)
    assert 0 < c.low < c.value < c.high == a.low < one.neutral < a.value < a.high
    assert a.high < plots.FOREST_WIDTH
    assert {tick.value: tick.x for tick in one.ticks}[0.0] == one.neutral
    assert two.rows[0].span.low == two.neutral
    assert not two.rows[0].estimate.is_clear
    assert c is not None
    assert one.rows[1].estimate.is_clear
    assert three.neutral is None
    assert three.rows[0].span is None


def test_ticks_are_round():
    assert plots.nice_ticks(-0.21, 0.4) == [-0.2, 0.0, 0.2, 0.4]
    assert plots.nice_ticks(0, 1000) == [0, 200, 400, 600, 800, 1000]


def test_curves_fit_their_frame():
    drawn = plots.line([(0, 3.0), (50, 1.0), (100, 2.0)])
    assert drawn.points == "10.0,10.0 150.0,100.0 290.0,55.0"
    assert (drawn.top, drawn.bottom, drawn.last, drawn.last_step) == (3.0, 1.0, 2.0, 100)
    assert not drawn.is_averaged
    long = plots.line([(step, math.sin(step)) for step in range(10_000)])
    assert long.is_averaged
    assert len(long.points.split()) <= 300
    assert plots.line([(7, 1.0)]).points == "10.0,100.0"


def test_a_local_judge_is_shown_beside_its_parent(data):
    assert "Local judge" not in Page(render(data)).said()
    common = {"unit": "share", "num": 120, "num_invalid": 2}
    found = results.Localisation(
        *("judge-north@1", "judge@1", "north<b>.parquet"),
        (
            Estimate("accuracy on the slice", 0.71, 0.6, 0.8, None, by="judge@1", **common),
            Estimate("accuracy on the slice", 0.81, 0.7, 0.9, None, by="judge-north@1", **common),
            Estimate("change of accuracy on the slice", 0.1, 0.02, 0.18, 0.0, **common),
        ),
    )
    lost = results.Finding(
        "max_overall_loss", "judge-north@1", False, 0.05, 0.1, message="lost too much"
    )
    decision = results.Decision("keep", "judge-north@1", "judge@1", (lost,))
    text = render(with_results(data, localisation=found, local_decision=decision))
    said = Page(text).said()
    assert "north<b>.parquet" in said
    assert interval(0.1, 0.02, 0.18) in said
    assert "parent kept lost too much" in said
    # The change is what stands first; what each judge has follows on demand.
    assert text.index("change of accuracy on the slice") < text.index("Parent and child")
    assert text.index("Parent and child") < text.index("by judge-north@1")
