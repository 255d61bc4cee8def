"""What is quoted of benchmarks: how each counts its figures, and figures that others have reached.

Only what was read at its source stands here, and each line says where that is; a number that is
often repeated and could not be found there is left out. So no figure of UnifiedReward on clips is
given (the part of its model card that could be read ends before), and of VideoRewardBench only what
the paper's abstract says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from factory.evaluation.headlines import Definition
from schemas.results import PublishedFigure


@dataclass(frozen=True)
class Quoted:
    """A benchmark as it is quoted.

    definitions: of its figures, the headline first.
    figures: that others have reached.
    remark: what a reader of them should know; empty where there is nothing.
    """

    definitions: tuple[Definition, ...]
    figures: tuple[PublishedFigure, ...] = ()
    remark: str = ""


def _figures(source: str, figure: str, percent: Mapping[str, float]) -> tuple[PublishedFigure, ...]:
    """Figures by judge."""
    return tuple(
        PublishedFigure(judge, figure, round(value / 100, 4), source)
        for judge, value in percent.items()
    )


_UNIFIED_CARD = "model card of CodeGoat24/UnifiedReward-7b-v1.5"
_UNIFIED_SCRIPTS = "github.com/CodeGoat24/UnifiedReward, commit ff6f520, benchmark_evaluation/"
_MMRB2 = "github.com/facebookresearch/MMRB2, commit 7ff0552"


_MMRB2_TABLE = f"{_MMRB2}, README.md"

#: By the name of the format (`factory.labels.registry`).
QUOTED: dict[str, Quoted] = {
    "vl-rewardbench": Quoted(
        (
            Definition(
                "overall accuracy",
                "share of all pairs, shown once in an order by coin; a verdict that cannot be read "
                f"is wrong ({_UNIFIED_SCRIPTS}Qwen_evaluation/test_qwen_vlrewardbench.py)",
            ),
            Definition(
                "macro accuracy",
                "plain mean of the three categories, counted so",
                subsets="category",
            ),
        ),
        (
            *_figures(
                _UNIFIED_CARD,
                "overall accuracy",
                {
                    "GPT-4o": 65.8,
                    "LLaVA-Critic": 46.9,
                    "UnifiedReward-7b": 66.1,
                    "UnifiedReward-7b-v1.5": 70.1,
                },
            ),
            *_figures(
                _UNIFIED_CARD,
                "macro accuracy",
                {
                    "GPT-4o": 62.4,
                    "LLaVA-Critic": 46.6,
                    "UnifiedReward-7b": 66.5,
                    "UnifiedReward-7b-v1.5": 70.7,
                },
            ),
        ),
        "The card's overall figures are no mean of its categories by one set of counts: GPT-4o's "
        "65.8 is near that by 183, 749 and 318 pairs (65.6), LLaVA-Critic's 46.9 is that by 631, "
        "301 and 318 (which the scripts make of the ids), and UnifiedReward-7b's 66.1 is neither "
        "(71.2, 64.9).",
    ),
    "genai-bench": Quoted(
        (
            Definition(
                "accuracy without ties (diff)",
                "share of pairs for which people prefer a side; a tie said, and a verdict that "
                f"cannot be read, is wrong ({_UNIFIED_SCRIPTS}Qwen_evaluation/"
                "test_qwen_genAI_bench_image.py)",
            ),
            Definition(
                "accuracy with ties (tau)",
                "share of all pairs by a judge that says ties, votes that both are bad being ties; "
                "of a judge that gives numbers it is the accuracy with ties by threshold below",
                ties=True,
            ),
        ),
        (
            *_figures(
                _UNIFIED_CARD,
                "pictures, without ties (diff)",
                {
                    "PickScore": 67.2,
                    "HPSv2": 68.4,
                    "ImageReward": 65.0,
                    "VisionReward": 66.4,
                    "UnifiedReward-7b": 70.9,
                    "UnifiedReward-7b-v1.5": 72.4,
                },
            ),
            *_figures(
                _UNIFIED_CARD,
                "pictures, with ties (tau)",
                {"PickScore": 53.2, "VisionReward": 46.8, "UnifiedReward-7b": 54.8},
            ),
            *_figures(
                _UNIFIED_CARD,
                "clips, without ties (diff)",
                {"VideoScore": 70.6, "VisionReward": 73.1, "VideoReward": 73.3},
            ),
        ),
    ),
    "videogen-rewardbench": Quoted(
        (
            Definition(
                "accuracy without ties, by scores",
                "share of pairs for which people prefer a side whose score is the higher one; "
                "equal scores are wrong (github.com/KwaiVGI/VideoAlign, commit 219ab9d, "
                "calc_accuracy.py)",
                by="scores",
            ),
            Definition(
                "accuracy without ties, by verdicts",
                "the same of a judge that compares; a tie said, and a verdict that cannot be read, "
                f"is wrong ({_UNIFIED_SCRIPTS}Qwen_evaluation/test_qwen_videogen_reward_bench.py)",
            ),
        ),
        (
            *_figures(
                _UNIFIED_CARD,
                "overall, without ties (diff)",
                {"VideoScore": 49.9, "LiFT": 58.3, "VisionReward": 68.2},
            ),
            *_figures(
                _UNIFIED_CARD,
                "overall, with ties (tau)",
                {"VideoScore": 42.1, "LiFT": 40.6, "VisionReward": 57.4},
            ),
        ),
        "With ties, the authors' script takes scores of one size for ties one by one, in the order "
        "of the file; the accuracy with ties by threshold below takes them together.",
    ),
    "mmrb2": Quoted(
        (
            Definition(
                "accuracy",
                "share of judgements, two a pair, one in each order; those that cannot be read are "
                f"left out ({_MMRB2}, evaluate/compute_scores/compute_accuracy.py). Overall is by "
                "counts there, and here of the parts that are imported",
                unread="left out",
            ),
            Definition(
                "mean of the parts",
                "plain mean over the imported parts, each counted so",
                unread="left out",
                subsets="part",
            ),
        ),
        (
            *_figures(
                _MMRB2_TABLE,
                "t2i",
                {
                    "PickScore": 58.6,
                    "HPSv3": 60.2,
                    "UnifiedReward (Qwen2.5-VL-7B)": 59.8,
                    "Qwen3-VL-8B": 59.4,
                    "Qwen3-VL-32B": 64.1,
                    "Gemini 3 Pro": 74.4,
                },
            ),
            *_figures(
                _MMRB2_TABLE,
                "edit",
                {"Qwen3-VL-8B": 61.7, "Qwen3-VL-32B": 67.3, "Gemini 3 Pro": 74.9},
            ),
            *_figures(_MMRB2_TABLE, "edit, one source alone", {"EditReward (Qwen2.5-VL-7B)": 67.2}),
            *_figures(
                _MMRB2_TABLE,
                "reasoning",
                {"Qwen3-VL-8B": 54.6, "Qwen3-VL-32B": 56.6, "Gemini 3 Pro": 79.5},
            ),
            *_figures(
                _MMRB2_TABLE, "mean of four parts", {"Qwen3-VL-32B": 64.6, "Gemini 3 Pro": 76.3}
            ),
        ),
        "Of edit and reasoning a part of the pairs is imported (822 and 350 of 1,000): their "
        "figures are of other pairs than the published ones. People reach more than 90 % "
        "(README.md there).",
    ),
    "videorewardbench": Quoted(
        (
            Definition(
                "overall accuracy",
                "share of all pairs, a verdict that cannot be read being wrong. Of the paper only "
                "the abstract could be read; that overall is by counts follows from the subsets' "
                "figures that are quoted from its table 4 (GPT-4o 57.0, Qwen2.5-VL-72B 53.3)",
            ),
            Definition(
                "mean of the subsets",
                "plain mean of the five subsets, counted so",
                subsets="subset",
            ),
        ),
        _figures(
            "abstract of arXiv 2509.00484",
            "overall accuracy",
            {"GPT-4o": 57.0, "Qwen2.5-VL-72B": 53.3},
        ),
    ),
    "hpd": Quoted(
        (
            Definition(
                "accuracy, by scores",
                "share of pairs whose preferred picture has the higher score; equal scores are "
                "wrong (github.com/PlantPotatoOnMoon/HPSv3-PlusPlus, commit 7bdbebc, "
                "evaluate/evaluate.py)",
                by="scores",
            ),
            Definition("accuracy, by verdicts", "the same of a judge that compares"),
        ),
        _figures(
            "github.com/opendilab/LightRFT, commit 49e62cb, "
            "docs/source/best_practice/reward_model.md, which quotes the HPSv3 paper",
            "HPDv3's test set",
            {"HPSv3": 76.9},
        ),
        "HPDv3's published figure is of its test.json; other files of this format have none here.",
    ),
}
