"""A checkpoint is what it says, or is refused before anything is loaded: judges and policies alike.

The kinds of damage, and the forms of quantised weights, are those of `tests.judges.damaged`.
"""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from actors.checkpoints import check_stored, load_whole
from factory.tensors import CheckpointError
from jobs.pipelines.judge_backends import check_checkpoint
from jobs.rounds.checks import told_missing
from jobs.rounds.workspace import InputError
from schemas.recipe import JudgeSpec, Recipe
from tests.judges.damaged import DAMAGES, DOORS, QUANTISED, WEIGHTS, counted, quantise, refusal
from tests.tiny.spelt import save_llava_onevision

NEEDS = {"bitsandbytes": "bitsandbytes", "AWQ": "gptqmodel", "GPTQ": "optimum and gptqmodel"}


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("intact")
    save_llava_onevision(directory)
    return directory


@pytest.fixture
def copied(intact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(intact, tmp_path / "model"))


def test_an_intact_checkpoint_passes_every_door(intact: Path) -> None:
    assert {door: refusal(door, intact) for door in DOORS} == dict.fromkeys(DOORS)


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_refused_at_every_door_by_the_headers_alone(kind: str, copied: Path) -> None:
    damage = DAMAGES[kind]
    damage.does(copied, copied.parent)
    with counted() as read:
        for door in DOORS:
            said = refusal(door, copied)
            assert said is not None, door
            assert re.search(damage.says, said), f"{door}: {said}"
    assert (read["weights"], read["loaded"]) == (0, 0)


def test_who_loads_all_the_same_is_refused_too(copied: Path) -> None:
    DAMAGES["13 tensors missing"].does(copied, copied.parent)
    with pytest.raises(CheckpointError, match=r"13 tensor\(s\) are missing"):
        load_whole(str(copied), torch.float32)


# --------------------------------------------------------------------------- what may be missing


def test_what_may_be_missing_is_told_and_filled_alike_each_time(copied: Path) -> None:
    tensors = load_file(copied / WEIGHTS)
    lost = sorted(name for name in tensors if "post_layernorm" in name)
    kept = {name: one for name, one in tensors.items() if name not in lost}
    save_file(kept, copied / WEIGHTS, {"format": "pt"})
    path = str(copied)
    with pytest.raises(InputError, match=r"judge\.path: .*2 tensor\(s\) are missing .*post_layern"):
        check_checkpoint(JudgeSpec(path=path))
    allowed = ["*vision_tower*post_layernorm*"]
    names = check_stored(path, allow_missing=allowed)
    assert len(names) == 2
    section = {"path": path, "allow_missing": allowed}
    recipe = Recipe.model_validate({"name": "r", "root": "nowhere", "judge": section})
    (told,) = told_missing(recipe)
    assert all(name in told for name in names)
    first, second = (
        load_whole(path, torch.float32, allow_missing=allowed).state_dict() for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in names)
    with pytest.raises(CheckpointError, match="missing"):
        check_stored(path, allow_missing=["*another*"])


def test_a_copy_with_the_names_of_other_versions_is_intact(copied: Path) -> None:
    """`save_pretrained` writes the names of llava-hf's repositories; versions of transformers
    between then and now wrote those of the class itself, and the first ones buffers too.
    """
    published = load_file(copied / WEIGHTS)
    own = load_whole(str(copied), torch.float32).state_dict()
    assert published.keys() != own.keys()
    buffer = "language_model.model.layers.0.self_attn.rotary_emb.inv_freq"
    for tensors in (own, published | {buffer: torch.zeros(8)}):
        save_file(tensors, copied / WEIGHTS, {"format": "pt"})
        assert check_stored(str(copied)) == ()


# ---------------------------------------------------------------------------------------- quantised


@pytest.mark.parametrize("form", [one for one in QUANTISED if one != "FP8"])
def test_an_intact_quantised_checkpoint_is_refused_by_its_library_alone(
    form: str, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantise(copied, form)
    package = NEEDS.get(form.partition(",")[0], "compressed-tensors")
    said = refusal("judge", copied)
    assert said is not None
    assert f"and that takes {package}, which is not installed: pip install" in said
    monkeypatch.setattr("actors.checkpoints.check_quantisation", lambda *_: None)
    assert refusal("judge", copied) is None
    assert "are not trained here" in str(refusal("judge that is trained", copied))


@pytest.mark.parametrize("form", QUANTISED)
def test_what_a_quantised_checkpoint_lacks_is_named(
    form: str, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.checkpoints.check_quantisation", lambda *_: None)
    quantise(copied, form)
    whole = load_file(copied / WEIGHTS)
    scales = ("weight.absmax", "SCB", "scales", "weight_scale", "weight_scale_inv")
    torn = [next(name for name in sorted(whole) if name.endswith(scales))]
    torn += [name for name in sorted(whole) if name.endswith("nested_absmax")][:1]
    norm = next(name for name in sorted(whole) if name.endswith("input_layernorm.weight"))
    for lost in (*torn, norm):
        kept = {name: one for name, one in whole.items() if name != lost}
        save_file(kept, copied / WEIGHTS, {"format": "pt"})
        named = re.escape(lost.partition(".layers.")[2])  # its prefix is the class's own
        with pytest.raises(CheckpointError, match=named):
            check_stored(str(copied))
    save_file(whole | {"rm_head.weight": torch.zeros(1, 8)}, copied / WEIGHTS, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"no use .*rm_head"):
        check_stored(str(copied))


def test_fp8_is_loaded_as_the_numbers_that_it_stands_for(intact: Path, copied: Path) -> None:
    quantise(copied, "FP8")
    check_stored(str(copied))
    plain = load_whole(str(intact), torch.float32).state_dict()
    stored = load_whole(str(copied), torch.float32).state_dict()
    assert stored.keys() == plain.keys()
    for name, one in stored.items():
        assert one.dtype == torch.float32
        # Three bits of mantissa: a number is off by a sixteenth of itself at most.
        assert torch.allclose(one, plain[name], rtol=1 / 16, atol=1e-3), name


def test_a_form_that_is_not_known_is_refused_by_its_name(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "hqq"}
    (copied / "config.json").write_text(json.dumps(config))
    assert "quantised by 'hqq', whose tensors cannot be held" in str(refusal("policy", copied))
