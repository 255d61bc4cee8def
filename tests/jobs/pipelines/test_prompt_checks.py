"""Prompts of several parts against the models of a recipe: refused by name, with their row."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from factory.media.pictures import encode_png
from factory.prompts import PromptsFile
from jobs.pipelines.prompt_checks import check_drawn, check_judged, check_trained, check_witnesses
from jobs.rounds.workspace import InputError
from schemas.recipe import Answering, Evaluate, GeneratorSpec, HeldOutJudge, JudgeSpec

WEIGHTS = Path(__file__).parents[3] / "factory/sandbox/weights"
PLAIN = {"prompt": "a red circle"}
EDIT = {"parts": [{"role": "source", "media": "a.png"}, {"role": "user", "text": "redder"}]}
DIALOGUE = {
    "task": "image_understanding",
    "parts": [
        {"role": "question", "media": "a.png"},
        {"role": "user", "text": "what ?"},
        {"role": "assistant", "text": "a cube"},
        {"role": "user", "text": "and its colour ?"},
    ],
}


def write(folder: Path, *rows: dict[str, Any]) -> PromptsFile:
    (folder / "a.png").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    path = folder / "p.jsonl"
    path.write_text("\n".join(map(json.dumps, (PLAIN, *rows))))
    return PromptsFile(path)


def pipeline(folder: Path, name: str) -> GeneratorSpec:
    directory = folder / name
    directory.mkdir()
    (directory / "model_index.json").write_text(json.dumps({"_class_name": name}))
    return GeneratorSpec(path=str(directory))


class Careless:
    """A judge of somebody's own that says nothing of what it takes."""


class Careful:
    takes = ("turns", "source")


def test_a_pipeline_takes_a_source_where_its_call_has_an_image(tmp_path: Path) -> None:
    prompts = write(tmp_path, EDIT)
    check_drawn(prompts, {"generator.path": pipeline(tmp_path, "StableDiffusionImg2ImgPipeline")})
    for name in ("StableDiffusionPipeline", "StableDiffusionInpaintPipeline"):
        with pytest.raises(
            InputError, match=r"row 2: generator.path: StableDiffusion.* source pict"
        ):
            check_drawn(prompts, {"generator.path": pipeline(tmp_path, name)})
    with pytest.raises(InputError, match=r"row 2: align: training a pipeline does not take a sour"):
        check_trained(prompts)


def test_a_dialogue_takes_a_chat_template(tmp_path: Path) -> None:
    prompts, path = write(tmp_path, DIALOGUE), str(WEIGHTS / "base")
    chat = GeneratorSpec(path=path, answering=Answering())
    check_drawn(prompts, {"generator.path": chat})
    words = Answering(question="image : {media} {prompt}")
    with pytest.raises(InputError, match=r"row 2: produce.also.0.path: answering.question does no"):
        check_drawn(
            prompts,
            {
                "generator.path": chat,
                "produce.also.0.path": GeneratorSpec(path=path, answering=words),
            },
        )
    drawing = {"generator.path": pipeline(tmp_path, "StableDiffusionImg2ImgPipeline")}
    with pytest.raises(InputError, match="does not take a dialogue of several turns"):
        check_drawn(prompts, drawing)


def test_a_judge_without_words_for_a_source_is_refused(tmp_path: Path) -> None:
    prompts = write(tmp_path, EDIT)
    check_judged(prompts, JudgeSpec(path="hub/name"))  # asked by the default words
    check_judged(write(tmp_path, DIALOGUE), JudgeSpec(path=str(WEIGHTS / "base4")))
    with pytest.raises(InputError, match=r"row 2: judge: a specification without words for it"):
        check_judged(prompts, JudgeSpec(path=str(WEIGHTS / "base4")))


def test_code_of_somebodys_own_says_what_it_takes(tmp_path: Path) -> None:
    prompts = write(tmp_path, DIALOGUE)
    careful, careless = (f"{__name__}:{name}" for name in ("Careful", "Careless"))
    check_drawn(prompts, {"generator.path": GeneratorSpec(path=careful)})
    with pytest.raises(InputError, match=r"row 2: generator.path: '.*Careless' does not take"):
        check_drawn(prompts, {"generator.path": GeneratorSpec(path=careless)})
    with pytest.raises(InputError, match=r"row 2: evaluate.heldout_judge.path: '.*Careless'"):
        check_witnesses(prompts, Evaluate(heldout_judge=HeldOutJudge(path=careless)))
    with pytest.raises(InputError, match=r"row 2: evaluate.oracle: 'sandbox' does not take"):
        check_witnesses(prompts, Evaluate(oracle="sandbox"))
