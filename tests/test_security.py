"""What no input may make the factory do, as far as it can be read from the code itself.

Hostile bytes are in tests/test_fuzz.py, hostile text in a page in tests/jobs/pages/test_report.py
and tests/jobs/stages/test_curate.py, wrong keys in tests/s3.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("schemas", "factory", "actors", "jobs")
TREES = {
    path: ast.parse(path.read_text(encoding="utf-8"))
    for package in PACKAGES
    for path in sorted(Path(package).rglob("*.py"))
}
#: Classes whose files are text: configurations, tokenizers and processors.
_NO_WEIGHTS = {
    *("AutoConfig", "AutoProcessor", "AutoTokenizer", "AutoImageProcessor", "AutoFeatureExtractor"),
    *("stock", "WithoutVideo"),  # processors, in actors/processors.py
}
#: Classes that would run the code of a checkpoint.
_RUN_CODE = {
    *(one for one in _NO_WEIGHTS if one.startswith("Auto")),
    "AutoModelForImageTextToText",
    "DiffusionPipeline",
}
_UNSAFE = {"pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
_CODE = {"eval", "exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
#: What a call must be given, or, where it is given nothing, has by itself.
_NEEDED = {
    "torch.load": ("weights_only", "True", None),
    "np.load": ("allow_pickle", "False", "False"),
}


def calls() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Every call: where it is, what is called, and its named arguments."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                given = {one.arg: ast.unparse(one.value) for one in node.keywords if one.arg}
                yield f"{path}:{node.lineno}", ast.unparse(node.func), given


def test_weights_come_from_safetensors_and_no_code_comes_with_them() -> None:
    num, faults = 0, []
    for where, called, given in calls():
        owner, _, method = called.rpartition(".")
        if given.get("trust_remote_code") == "True":
            faults.append(f"{where}: trust_remote_code that no recipe has asked for")
        if method == "from_pretrained" and owner in _RUN_CODE and "trust_remote_code" not in given:
            faults.append(f"{where}: {called} decides by itself, or asks the terminal")
        if method == "from_pretrained" and owner not in _NO_WEIGHTS:
            num += 1
            if given.get("use_safetensors") != "True":
                faults.append(f"{where}: {called} may read pickles")
        key, wanted, default = _NEEDED.get(called, ("", "", ""))
        if given.get(key, default) != wanted:
            faults.append(f"{where}: {called} without {key}={wanted}")
    assert not faults
    assert num > 6  # it did look


def test_nothing_is_unpickled_or_evaluated() -> None:
    imported = {
        (path, name.name.split(".")[0])
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
    } | {
        (path, (node.module or "").split(".")[0])
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 0
    }
    assert [one for one in imported if one[1] in _UNSAFE] == []
    assert [one for one in calls() if one[1] in _CODE] == []
