"""Answers of judges, generated with what they say, in the ten forms in which they come; and texts
that nobody would write. Asked of each: the right verdict or number, or `invalid`.

`figures` counts both. The words are ours; the forms are those of the shipped specifications.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from factory.judging.reading import UNREADABLE, read
from factory.judging.specification import TaskSpecification, find
from factory.judging.verdicts import PREFERENCES
from schemas.rows import Preference, Reply, Task

Truth = Preference | float | None  # None: invalid


@dataclass(frozen=True)
class Case:
    """One answer, how it was asked for, and what it says."""

    form: str
    specification: str
    task: Task
    is_duel: bool
    text: str
    truth: Truth
    is_cut: bool = False

    @property
    def told(self) -> TaskSpecification:
        return find("", self.specification).task(self.task)


_ASPECTS = ("the colour", "the number of cars", "the light", "the lettering", "the lake")
_JUDGED = ("is as asked for", "is off", "is a little blurred", "is missing", "looks natural")


def _remark(rng: random.Random) -> str:
    return f"{rng.choice(_ASPECTS).capitalize()} {rng.choice(_JUDGED)}."


def _points(rng: random.Random, low: float, high: float) -> tuple[str, float]:
    """A number as judges write it, and what it is."""
    value = rng.choice([round(rng.uniform(low, high), rng.choice((0, 1, 2, 4, 15))), float(low)])
    value = min(max(value, low), high)
    written = f"{value:g}" if value == round(value, 4) else repr(value)
    return written, float(written)


def _sides(rng: random.Random) -> tuple[Preference, str, str]:
    """Who is better, and the numbers of winner and loser."""
    return rng.choice([("first", "1", "2"), ("second", "2", "1")])


def sentence(rng: random.Random) -> tuple[str, Truth]:
    """Prose that names both sides, and the verdict in a sentence at its end."""
    truth, winner, loser = _sides(rng)
    said = f"Image {winner} is better."
    before = rng.choice(
        [
            "",
            f"{_remark(rng)} Image {loser} has the better colours. Overall, ",
            f"Image {loser} is sharper. {_remark(rng)} ",
            f"**Conclusion**\n\n{_remark(rng)}\n",
        ]
    )
    after = rng.choice(["", f" {_remark(rng)}", "\n"])
    if rng.random() < 0.15:
        return f"{before}Both images are equally good.{after}", "tie"
    if rng.random() < 0.25:
        wrong = rng.choice(
            [
                f"{_remark(rng)} Both follow the caption in part.",
                f"Image {winner} is better, or perhaps Image {loser} is better.",
                f"I am not sure which image is better. {_remark(rng)}",
                f"Image {winner} is better. Image {loser} is better.",
                f"Image {winner} is not better.",
            ]
        )
        return wrong, None
    return before + said + after, truth


def tags(rng: random.Random) -> tuple[str, Truth]:
    """Reasoning in tags with points for both sides, and the verdict in tags of its own."""
    truth, winner, loser = _sides(rng)
    lines = []
    for at, name in enumerate(("Semantic consistency", "Aesthetics", "Authenticity"), 1):
        one, two = rng.randint(1, 10), rng.randint(1, 10)
        lines.append(
            f"{at}. {name}: \n    Image 1 ({one}/10) - {_remark(rng)}; \n    Image 2 ({two}/10) - "
            f"{_remark(rng)}"
        )
    reasoning = "\n".join([*lines, "Total score:", "Image 1: 9+8+8=25", "Image 2: 7+8+9=24"])
    aside = rng.choice(["", f"\nOn colour alone, Image {loser} is better."])
    answer = rng.choice([f"Image {winner} is better", f" Image {winner} is better.\n"])
    if rng.random() < 0.3:
        wrong = rng.choice(
            [
                f"<think>\n{reasoning}{aside}\n</think>\nImage {winner} is better",
                f"<think>\n{reasoning}{aside}\n<answer>Image {winner} is better</answer>",
                f"<think>\n{reasoning}\n</think>\n<answer>Image 1 or Image 2</answer>",
                f"<think>\n{reasoning}\n</think>\n<answer></answer>",
                f"<think>{reasoning}</think><answer>Image {winner} is better</answer>"
                f"<answer>Image {loser} is better</answer>",
            ]
        )
        return wrong, None
    return f"<think>\n{reasoning}{aside}\n</think>\n<answer>{answer}</answer>", truth


def json_winner(rng: random.Random) -> tuple[str, Truth]:
    """An object with categories, each with a winner of its own, and the winner of the whole."""
    truth, winner, loser = _sides(rng)
    categories = [
        {
            "name": name,
            "dims": [{"name": "colour", "reason_1": _remark(rng), "score_1": 6, "score_2": 4}],
            "cat_reason": _remark(rng),
            "cat_winner": f"Image {loser}",
        }
        for name in ("Semantic Alignment & Accuracy", "Aesthetics & Artistry")
    ]
    whole = {"prompt": "a red car", "categories": categories, "reason": _remark(rng)}
    if rng.random() < 0.3:
        wrong = rng.choice(
            [
                json.dumps(whole),
                json.dumps({**whole, "winner": "Image 1/2"}),
                json.dumps({**whole, "winner": "neither"}),
                json.dumps({**whole, "winner": f"Image {winner}"})[:-30],
                f"Image {winner} is better.",
            ]
        )
        return wrong, None
    text = json.dumps({**whole, "winner": f"Image {winner}"}, indent=rng.choice((None, 2)))
    return rng.choice([text, f"```json\n{text}\n```", f"Here it is:\n{text}"]), truth


def boxed(rng: random.Random) -> tuple[str, Truth]:
    """Reasoning in tags, and the verdict in a box."""
    truth, winner, loser = _sides(rng)
    thought = f"<think>Answer {loser} is better on detail. {_remark(rng)}</think>"
    if rng.random() < 0.25:
        wrong = rng.choice(
            [
                f"{thought} \\boxed{{}}",
                f"{thought} Both are plausible.",
                f"<think>Answer {winner} is better, so \\boxed{{Answer {winner}}}",
            ]
        )
        return wrong, None
    said = rng.choice([f"\\boxed{{Answer {winner}}}", f"\\boxed{{{winner}}}"])
    lead = rng.choice(["", "Overall Judgment: ", "The final answer is "])
    return f"{thought}\n{lead}{said}", truth


def clause(rng: random.Random) -> tuple[str, Truth]:
    """Free reasons, and a last clause with the side in brackets."""
    truth, winner, loser = _sides(rng)
    names = {"1": rng.choice(("first", "1", "A")), "2": rng.choice(("second", "2", "B"))}
    if names["1"] in "1A" and names["2"] not in "2B":
        names["2"] = {"1": "2", "A": "B"}[names["1"]]
    if names["2"] in "2B" and names["1"] not in "1A":
        names["1"] = {"2": "1", "B": "A"}[names["2"]]
    reason = f"The {'first' if loser == '1' else 'second'} response says more. {_remark(rng)} "
    if rng.random() < 0.25:
        wrong = rng.choice([reason, f"{reason}The better response: ", f"{reason}Neither is right."])
        return wrong, None
    return f"{reason}The better response: [{names[winner]}]", truth


_PAIR = ("Alignment", "Coherence", "Style")


def shares(rng: random.Random) -> tuple[str, Truth]:
    """For each dimension the shares of both sides, which make one."""
    first = [rng.choice([0.5, round(rng.uniform(0, 1), 4), rng.uniform(0, 1)]) for _ in _PAIR]
    lead = sum(first) - sum(1 - one for one in first)
    truth: Truth = "tie" if abs(lead) < 1e-9 else "first" if lead > 0 else "second"
    blocks = [
        f"{name} Score:\n Image 1: {one}\n Image 2: {1 - one}"
        for name, one in zip(_PAIR, first, strict=True)
    ]
    if rng.random() < 0.25:
        wrong = rng.choice(
            [
                "\n\n".join(blocks[:2]),
                "\n\n".join([*blocks[:2], "Style Score:\n Image 1: 0.4"]),
                "Image 1: 0.4\nImage 2: 0.6",
                "",
            ]
        )
        return wrong, None
    return "\n\n".join(blocks), truth


_SECTIONS = ("Text Faithfulness", "Physical and Visual Quality", "Text Rendering")


def sections(rng: random.Random) -> tuple[str, Truth]:
    """A section for each dimension, with a justification, points of A and B, and a winner."""
    made, lead = [], 0.0
    has_text = rng.random() < 0.5
    for at, name in enumerate(_SECTIONS, 1):
        one, two = (round(rng.uniform(1, 4), 1) for _ in "ab")
        scores = f"## Score A: {one}\n## Score B: {two}"
        if name == "Text Rendering" and not has_text:
            scores = "## Score A: N/A\n## Score B: N/A"
        else:
            lead += one - two
        winner = rng.choice(("Image A", "Image B", "It's a tie"))
        made.append(
            f"{at}. {name}:\n## Justification: Image A: {_remark(rng)}\n{scores}\n"
            f"## Winner: {winner}"
        )
    truth: Truth = "tie" if abs(lead) < 1e-9 else "first" if lead > 0 else "second"
    text = (
        f"# User Request Analysis\n{_remark(rng)}\n# Detailed Judgement\n"
        + "\n".join(made)
        + f"\n# Summary: {_remark(rng)}"
    )
    if rng.random() < 0.2:
        wrong = rng.choice(
            [
                text.replace("2. Physical and Visual Quality:\n", ""),
                text.replace("## Score A", "## Points A"),
                text[: text.index("2. Physical")],
            ]
        )
        return wrong, None
    return text, truth


def final_score(rng: random.Random) -> tuple[str, Truth]:
    """Lines of elements with zeros and ones, and the score behind its label."""
    written, value = _points(rng, 1, 5)
    elements = "\n".join(f"{one} (object): {rng.randint(0, 1)}" for one in ("car", "lake", "sky"))
    if rng.random() < 0.3:
        wrong = rng.choice(
            [
                f"{elements}\nFinal Score: 7",
                f"{elements}\nFinal Score: {value:g} out of 10",
                f"{elements}\nFinal Score: 2 or 3",
                f"{elements}\nFinal Score: 3-4",
                f"{elements}\nFinal Score:",
                f"{elements}\nFinal Score: -1",
                f"{elements}\nFinal Score: 2\nFinal Score: 4",
                elements,
            ]
        )
        return wrong, None
    said = rng.choice(
        [
            f"Final Score: {written}",
            f"Final Score: {written}/5",
            f"**Final Score:** {written}",
            f"Final Score: {written} out of 5",
            f"Final Score (1-5): {written}",
            f"<think>{_remark(rng)} Score: 2?</think>Final Score: {written}.",
        ]
    )
    return f"{elements}\n{said}", value


def dimension_lines(rng: random.Random) -> tuple[str, Truth]:
    """A line for each dimension, with the scale beside its name."""
    points = {name: _points(rng, 1, 5) for name in _PAIR}
    lines = [f"{name} Score (1-5): {written}" for name, (written, _) in points.items()]
    truth = math.fsum(value for _, value in points.values()) / 3
    if rng.random() < 0.25:
        wrong = rng.choice(
            [
                "\n".join(lines[:2]),
                "\n".join([*lines[:2], "Style Score (1-5): 5.5"]),
                "\n".join([*lines, "Style Score (1-5): 1.25"])
                if points["Style"][1] != 1.25
                else "",
                "\n".join([*lines[:2], "Style Score (1-5): three"]),
                "\n".join([*lines[:2], "Style Score (1-5): 3 to 4"]),
            ]
        )
        return wrong, None
    return rng.choice(["", "\n"]) + "\n".join(lines), truth


def json_scores(rng: random.Random) -> tuple[str, Truth]:
    """An object with reasons and a list of points, as it is asked for: with a comma too many."""
    pair = [rng.randint(0, 25) for _ in range(2)]
    comma = rng.choice(("", ","))
    text = f'{{\n"reasoning" : {json.dumps(_remark(rng))},\n"score" : {pair}{comma}\n}}'
    if rng.random() < 0.25:
        wrong = rng.choice(
            [
                text.replace(str(pair), str(pair[:1])),
                text.replace(str(pair), "[26, 3]"),
                text.replace(str(pair), '["ten", 3]'),
                text[:-6],
                "12",
            ]
        )
        return wrong, None
    return rng.choice([text, f"```json\n{text}\n```"]), sum(pair) / 2


#: Form, specification, task, whether it is of a pair, and what makes an answer and its truth.
FORMS: tuple[tuple[str, Task, bool, Callable[[random.Random], tuple[str, Truth]]], ...] = (
    ("unifiedreward-qwen", "image_generation", True, sentence),
    ("unifiedreward-think", "image_generation", True, tags),
    ("unifiedreward-flex", "image_generation", True, json_winner),
    ("llava-critic-r1", "image_understanding", True, boxed),
    ("llava-critic", "image_understanding", True, clause),
    ("unifiedreward-2.0", "image_generation", True, shares),
    ("rationalrewards-t2i", "image_generation", True, sections),
    ("unifiedreward-llava", "image_generation", False, final_score),
    ("unifiedreward-2.0", "image_generation", False, dimension_lines),
    ("unifiedreward-edit", "image_generation", False, json_scores),
)


def cases(num_each: int, seed: int = 0) -> list[Case]:
    """So many answers of each form."""
    made = []
    for name, task, is_duel, make in FORMS:
        rng = random.Random(f"{seed} {make.__name__}")
        for _ in range(num_each):
            text, truth = make(rng)
            made.append(Case(make.__name__, name, task, is_duel, text, truth))
    return made


def said(case: Case, told: TaskSpecification) -> Truth:
    """What is read: a verdict, a number, or None. Numbers that no verdict has, and points off the
    scale, are AssertionErrors.
    """
    reply = read(
        Reply(None, "j@1", "a", "b" if case.is_duel else None, text=case.text, is_cut=case.is_cut),
        told,
    )
    if reply.error is not None:
        assert reply.error.startswith(UNREADABLE), reply.error
        assert not reply.numbers
        return None
    if case.is_duel:
        assert sorted(reply.numbers) == [0.0, 0.0, 1.0], reply.numbers
        return PREFERENCES[reply.numbers.index(1.0)]
    value, spread = reply.numbers
    assert told.scale[0] <= value <= told.scale[-1], reply.numbers
    assert spread == 0.0
    for one in told.dimensions:
        if one.key in reply.breakdown:
            assert one.low <= reply.breakdown[one.key] <= one.high, reply.breakdown
    return value


def is_right(found: Truth, truth: Truth) -> bool:
    if isinstance(found, float) and isinstance(truth, int | float):
        return math.isclose(found, truth, abs_tol=1e-9)
    return found == truth


_SCRAPS = (
    *("Image 1", "Image 2", "Answer A", "the first response", "is better", "better than", "tie"),
    *("<think>", "</think>", "<answer>", "</answer>", "\\boxed{", "}", "{", '"winner"', ":", '"'),
    *("Final Score:", "Alignment Score (1-5):", "## Score A:", "Score:", "1", "2.5", "10", "-3"),
    *(
        "1e400",
        "NaN",
        "½",
        "٣",
        "\x00",
        "\u200b",
        "🙂",
        "\n",
        "\n\n",
        "[[A]]",
        "N/A",
        "null",
        "[",
        "]",
    ),
    *(
        "not",
        "or",
        "perhaps",
        "Both images are equally good.",
        "/5",
        "out of 10",
        "%",
        "+",
        "=",
        "**",
    ),
)


def fuzzed(rng: random.Random, pool: list[Case]) -> Case:
    """A text of scraps, or an answer that was cut, doubled, shuffled or joined with another."""
    case = rng.choice(pool)
    kind = rng.randrange(6)
    if kind == 0:
        joint = rng.choice(("", " ", "\n"))
        text = joint.join(rng.choice(_SCRAPS) for _ in range(rng.randint(0, 30)))
    elif kind == 1:
        text = case.text[: rng.randint(0, len(case.text))]
    elif kind == 2:
        text = case.text + rng.choice(("", "\n", " ")) + rng.choice(pool).text
    elif kind == 3:
        words = case.text.split(" ")
        rng.shuffle(words)
        text = " ".join(words)
    elif kind == 4:
        letters = list(case.text)
        for _ in range(rng.randint(1, 8)):
            letters.insert(rng.randint(0, len(letters)), rng.choice(_SCRAPS))
        text = "".join(letters)
    else:
        text = "".join(
            chr(rng.choice((rng.randint(1, 127), rng.randint(1, 0xD7FF)))) for _ in range(40)
        )
    is_cut = rng.random() < 0.3
    return Case("fuzzed", case.specification, case.task, case.is_duel, text, None, is_cut)


def figures(num_each: int = 20, num_fuzzed: int = 100_000, seed: int = 0) -> dict[str, object]:
    """What is read of generated answers, and of texts that nobody would write.

    Args:
        num_each: answers of each of the ten forms.
        num_fuzzed: other texts.
        seed: of both.
    """
    pool = cases(num_each, seed)
    told = {(one.specification, one.task): one.told for one in pool}
    wrong = [
        {"form": one.form, "text": one.text, "want": one.truth, "read": found}
        for one in pool
        if not is_right(found := said(one, told[one.specification, one.task]), one.truth)
    ]
    rng = random.Random(f"fuzz {seed}")
    num_read = num_invalid = 0
    faults: list[str] = []
    for _ in range(num_fuzzed):
        one = fuzzed(rng, pool)
        try:
            found = said(one, told[one.specification, one.task])
        except Exception as error:  # what is counted here: there shall be none
            faults.append(f"{type(error).__name__}: {error}: {one.text!r}"[:300])
            continue
        num_read += found is not None
        num_invalid += found is None
    by_form = {
        form: {
            "answers": sum(one.form == form for one in pool),
            "invalid": sum(one.form == form and one.truth is None for one in pool),
            "wrong": sum(one["form"] == form for one in wrong),
        }
        for form in dict.fromkeys(one.form for one in pool)
    }
    return {
        "answers": len(pool),
        "right": len(pool) - len(wrong),
        "wrong": wrong,
        "by_form": by_form,
        "fuzzed": num_fuzzed,
        "fuzzed_read": num_read,
        "fuzzed_invalid": num_invalid,
        "exceptions": len(faults),
        "faults": faults[:5],
    }
