"""The shape of the code: which way imports point, what an import loads, and whose names these are.

Modules are discovered, so a new one is covered without an edit here; a discovery that finds nothing
fails. What a module *names* is read from its syntax tree (imports inside functions count); what it
*loads* is seen in a fresh interpreter.
"""

import ast
import importlib
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from factory.plugins import load
from schemas.arrow import labels_to_table
from schemas.plugins import WORDS
from schemas.rows import Label, Media, Prompt

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ["schemas", "factory", "actors", "jobs"]  # bottom first
DISTRIBUTION = "preference-factory"

HEAVY = {"ray", "mlflow", "deepspeed", "torch", "transformers", "diffusers"}
SCHEMAS_MAY_IMPORT = {"pyarrow", "pydantic", "yaml"}
FACTORY_NEVER_IMPORTS = {"ray", "mlflow", "deepspeed"}
# This module of factory works on tensors; the rest of it imports without torch.
MAY_LOAD_TORCH = ("factory.alignment.losses",)
# The sandbox, and the command that makes its parts. Everything else reaches it by name alone, and
# the names are in one file.
SANDBOX = ("factory.sandbox", "actors.sandbox", "jobs.sandbox", "jobs.tools.sandbox")
NAMES_THE_SANDBOX = "schemas.plugins"


# ------------------------------------------------------------------------------------ discovery


def source_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def importable_modules(package: str) -> list[str]:
    """All modules of a package but `__main__`, which runs when it is imported."""
    return [module_name(p) for p in source_files(package) if p.name != "__main__.py"]


def job_modules() -> list[str]:
    """What can follow `python -m`: jobs/X.py, or jobs/X/__main__.py, that defines `main`."""
    folder = ROOT / "jobs"
    files = [*folder.glob("[a-z]*.py"), *folder.glob("[a-z]*/__main__.py")]
    return sorted(
        module_name(path).removesuffix(".__main__") for path in files if defines_main(path)
    )


def defines_main(path: Path) -> bool:
    """Whether `main` is bound at the top level: defined there, or imported by a `__main__.py`."""
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.FunctionDef):
            names = [node.name]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.asname or alias.name for alias in node.names]
        else:
            continue
        if "main" in names:
            return True
    return False


def imported_names(path: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of each import statement in a file, wherever it stands."""
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes(), filename=str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            module = importlib.util.resolve_name(relative, package)
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def top(dotted: str) -> str:
    return dotted.partition(".")[0]


ALL_FILES = [path for package in LAYERS for path in source_files(package)]


def file_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("package", LAYERS)
def test_each_package_has_modules_to_check(package):
    assert (ROOT / package / "__init__.py").is_file()
    assert len(importable_modules(package)) > 1


def test_there_are_jobs_to_check():
    assert "jobs.demo" in job_modules()


# ------------------------------------------------------------------------------ what is imported


@pytest.mark.parametrize("path", ALL_FILES, ids=file_id)
def test_imports_point_down_only(path):
    layer = LAYERS.index(path.relative_to(ROOT).parts[0])
    forbidden = {*LAYERS[layer + 1 :], "tests"}
    found = [(line, name) for line, name in imported_names(path) if top(name) in forbidden]
    assert not found


@pytest.mark.parametrize("path", source_files("schemas"), ids=file_id)
def test_schemas_imports_little(path):
    allowed = {*sys.stdlib_module_names, *SCHEMAS_MAY_IMPORT, "schemas"}
    found = [(line, name) for line, name in imported_names(path) if top(name) not in allowed]
    assert not found


@pytest.mark.parametrize("path", source_files("factory"), ids=file_id)
def test_factory_imports_no_cluster_tracker_or_engine(path):
    found = [
        (line, name) for line, name in imported_names(path) if top(name) in FACTORY_NEVER_IMPORTS
    ]
    assert not found


# Prompts files are not data sets, and factory cannot reach up to those who read them.
OPEN_PARQUET = {"jobs/datasets/files.py", "factory/prompts.py"}


def test_parquet_is_opened_in_one_file():
    opening = {"pyarrow.parquet", "pyarrow.dataset"}
    found = {
        file_id(path) for path in ALL_FILES for _, name in imported_names(path) if name in opening
    }
    assert found == OPEN_PARQUET


# The bytes of a medium are opened in one place for pictures and in one for clips: whoever looks at
# one sees it upright, opaque and in 8 bits because of that.
OPENS_MEDIA = {"factory/media/pictures.py": "Image.open", "factory/media/clips.py": "av.open"}
#: What opens or decodes media, as libraries call it, and libraries that do nothing else.
_OPENERS = {"Image.open", "av.open", "PIL.open", "imread", "imdecode", "decode_image", "load_image"}
_OPENING = {"imageio", "cv2", "decord", "skimage", "torchcodec", "torchvision.io", "moviepy"}


def test_media_are_opened_in_one_place_each():
    opened = {}
    for path in ALL_FILES:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Attribute):
                name = ast.unparse(node)
                if name in _OPENERS or node.attr in _OPENERS:
                    opened[file_id(path)] = name
    assert opened == OPENS_MEDIA


def test_no_other_library_opens_media():
    taken = ("PIL.Image.open", "av.open", *_OPENING)  # the first two by a name that hides them
    found = [
        (file_id(path), line, name)
        for path in ALL_FILES
        for line, name in imported_names(path)
        if is_in(name, taken)
    ]
    assert not found


def is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in packages)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of each string in a file that is not a docstring."""
    tree = ast.parse(path.read_bytes())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and node not in docstrings:
            yield node.lineno, node.value


OUTSIDE = [path for path in ALL_FILES if not is_in(module_name(path), SANDBOX)]


@pytest.mark.parametrize("path", OUTSIDE, ids=file_id)
def test_nothing_outside_the_sandbox_knows_it(path):
    imported = [(line, name) for line, name in imported_names(path) if is_in(name, SANDBOX)]
    assert not imported
    if module_name(path) == NAMES_THE_SANDBOX:
        return
    named = [(line, text) for line, text in texts(path) if is_in(text.split(":")[0], SANDBOX)]
    assert not named


def test_the_names_of_the_sandbox_lead_somewhere():
    words = [(key, word) for key, known in WORDS.items() for word in known]
    assert words
    for key, word in words:
        assert is_in(load(word, key).__module__, SANDBOX)


# -------------------------------------------------------------------------------- what is loaded


def run_python(code: str, *args: str, cwd: Path = ROOT) -> dict[str, object]:
    """Run code in a fresh interpreter; it reports one JSON object as its last line of output."""
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return report


# Names, for each heavy library, the first module whose import loads it.
IMPORT_ALL = """
import importlib, json, sys
heavy, modules = json.loads(sys.argv[1])
blame = {}
for module in modules:
    importlib.import_module(module)
    for name in heavy:
        if name in sys.modules:
            blame.setdefault(name, module)
print()
print(json.dumps(blame))
"""


def loaded_by(modules: list[str], heavy: set[str]) -> dict[str, object]:
    assert modules
    return run_python(IMPORT_ALL, json.dumps([sorted(heavy), modules]))


def test_schemas_loads_nothing_heavy():
    assert loaded_by(importable_modules("schemas"), HEAVY) == {}


def test_factory_loads_nothing_heavy_but_where_it_may():
    modules = [name for name in importable_modules("factory") if not is_in(name, MAY_LOAD_TORCH)]
    assert loaded_by(modules, HEAVY) == {}


def test_the_whole_of_factory_loads_no_cluster_tracker_or_engine():
    assert loaded_by(importable_modules("factory"), FACTORY_NEVER_IMPORTS) == {}


# Each takes a tenth of a second of a processor or more to load, in every process of a run.
# `import scipy` loads them where they are first asked for.
SCIPY = {f"scipy.{name}" for name in ("ndimage", "optimize", "special", "stats")}


def test_workers_load_of_scipy_only_what_they_use():
    assert loaded_by(["actors.group_workers", "jobs.datasets.writing"], SCIPY) == {}


def test_a_driver_loads_of_scipy_only_what_it_uses():
    assert loaded_by(["jobs.pipelines.groups", "jobs.pipelines.curation"], SCIPY) == {}


# A round's labels from people's label rows, without Ray and MLflow around the stage.
LABEL = """
import json, sys
from jobs.rounds.workspace import Round
from jobs.stages.label import STAGE
from schemas.recipe_file import load
recipe, heavy, overrides = json.loads(sys.argv[1])
at = Round(load(recipe, overrides), 1)
STAGE.plan(at), STAGE.parents(at), STAGE.settings(at)
directory = at.directory("labels")
directory.mkdir(parents=True)
made = STAGE.make(at, directory, None)
loaded = [name for name in (*heavy, "factory.sandbox", "actors.sandbox") if name in sys.modules]
print(json.dumps({"labels": made.counts["labels"], "loaded": loaded}))
"""


def test_peoples_labels_load_neither_a_model_library_nor_the_sandbox(tmp_path):
    label = Label("a", Prompt.of("a cup"), "ann", Media(b"x", 1, 1), points=3)
    pq.write_table(labels_to_table([label]), tmp_path / "labels.parquet")
    overrides = [f"root={tmp_path / 'run'}", f"labels.path={tmp_path / 'labels.parquet'}"]
    given = ["jobs/recipes/laptop.yaml", sorted(HEAVY), overrides]
    assert run_python(LABEL, json.dumps(given)) == {"labels": 1, "loaded": []}


# `--help` answers at once because it loads nothing heavy. That is what is checked here: a clock
# would measure how busy the machine is. Each job runs in a fork of an interpreter that has loaded
# no more than the command line that all jobs share, so that this is not loaded for each anew.
RUN_HELP = """
import contextlib, io, json, os, runpy, sys, traceback
import jobs.cli

modules, heavy, folder = json.loads(sys.argv[1])

def report(module):
    sys.argv = [module, "--help"]
    out, code = io.StringIO(), None
    with contextlib.redirect_stdout(out):
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as stop:
            code = stop.code
        except Exception:
            code = traceback.format_exc()
    loaded = [name for name in heavy if name in sys.modules]
    return {"code": code or 0, "help": out.getvalue(), "loaded": loaded}

for module in modules:
    child = os.fork()
    if not child:
        with open(f"{folder}/{module}", "w") as file:
            json.dump(report(module), file)
        os._exit(0)
    os.waitpid(child, 0)
print("{}")
"""


@pytest.fixture(scope="module")
def helps(tmp_path_factory):
    """A folder with what each job said and loaded, in a file of its name."""
    folder = tmp_path_factory.mktemp("helps")
    run_python(RUN_HELP, json.dumps([job_modules(), sorted(HEAVY), str(folder)]))
    return folder


@pytest.mark.parametrize("module", job_modules())
def test_help_answers_without_loading_anything_heavy(module, helps):
    report = json.loads((helps / module).read_text())
    assert report["code"] == 0
    assert "usage" in str(report["help"]).lower()
    assert report["loaded"] == []


# ---------------------------------------------------------------------------------- whose names


@pytest.mark.parametrize("package", LAYERS)
def test_the_name_is_ours_in_this_process(package):
    module = importlib.import_module(package)
    assert module.__file__ is not None, f"{package} is a namespace package"
    assert Path(module.__file__).resolve() == ROOT / package / "__init__.py"


def test_the_names_are_ours_outside_the_repository(tmp_path):
    """The installed package is found too, not only the current directory."""
    code = """
import importlib, json, sys
print(json.dumps({name: importlib.import_module(name).__file__ for name in sys.argv[1:]}))
"""
    files = run_python(code, *LAYERS, cwd=tmp_path)
    assert files == {name: str(ROOT / name / "__init__.py") for name in LAYERS}


@pytest.mark.parametrize("package", LAYERS)
def test_no_other_distribution_provides_the_name(package):
    """factory_boy installs `factory` as well, and whichever comes first on the path wins."""
    owners = importlib.metadata.packages_distributions().get(package, [])
    assert set(owners) == {DISTRIBUTION}
