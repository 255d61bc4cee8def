"""How many small faults in the pure modules their own tests notice.

    python -m tests.benchmarks.mutants [--num 200] [--seed 1] [--only factory/curation] [--whole]

Random expressions of all pure modules get one fault each (tests/faults/mutations.py names the
kinds), one at a time, in a copy of the tree in a temporary folder. A module of schemas, factory or
jobs is pure if it is no command line and neither it nor what it imports reaches torch, Ray, MLflow
or another library that holds weights; a function of its own that does, or that opens a network, is
left out. Tests are run without those marked slow or gpu, each file in a fork of a process that has
loaded the libraries already: for all faults the nearest file first, then for those that it misses
the rest of the room.
Which tests are a module's own:

named: test_<module>.py in the folder that mirrors the module's, and what of that folder imports it.
folder: what of that folder imports the module, where no file has its name; the whole folder where
    nothing at all imports it by name.
imported: the files elsewhere that import the module, where none of that folder does.

A fault is noticed when a test fails, the process dies, or a test burns a minute of CPU time. A test
that fails is run again without the fault: if it fails there too, it is left out, and named.

Faults that change nothing that a caller could see are kept in equivalent_mutants.toml, each with
its reason: they are judged by hand, not run, and not counted in the share. Entries that name no
fault of the tree any more, or faults of two modules, are printed.

--only and --lines: draw from those faults alone whose file's path or line's text has this in it.
--whole: what the room misses is tried on all other quick tests.
--jobs: so many faults at once, each in a copy of its own.

The last line is JSON. share_noticed: of all that are not equivalent, by the room's own tests.
share_by_nearest: by the nearest file alone. share_by_all: by any quick test, with --whole.
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib.util
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.faults.mutations import Fault, faults_in

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ["schemas", "factory", "actors", "jobs"]
MUTATED = ("schemas", "factory", "jobs")  # what touches weights, workers or storage is no decision
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
HEAVY = {"ray", "mlflow", "deepspeed", "torch", "transformers", "tokenizers", "diffusers", "peft"}
NETWORK = {"botocore", "s3fs", "http", "socket", "subprocess"}
PRELOADED = ["numpy", "scipy.stats", "scipy.optimize", "scipy.special", "pyarrow.parquet", "torch"]
PRELOADED += ["pydantic", "yaml", "PIL.Image", "av", "jinja2", "hypothesis", "pytest"]
_NOT_RUN = 70  # exit status of a child that did not come to run the tests
_MARKS = "not slow and not gpu"
_LONGEST_TEST_S = 60.0  # of CPU time
_LONGEST_RUN_S = 900.0  # by the clock, for what hangs without working
_MEMORY = 16 * 1024**3  # bytes of address space: a fault that asks for more is noticed


@dataclass(frozen=True)
class Place:
    """A fault and the file that it is put into, relative to the root."""

    file: Path
    fault: Fault

    def __str__(self) -> str:
        fault = self.fault
        return f"{self.file}:{fault.line_number} {fault.function}: {fault.change}"


# ------------------------------------------------------------------------------- what is pure


@cache
def source(file: Path) -> bytes:
    return (ROOT / file).read_bytes()


def module_files() -> dict[str, Path]:
    """{dotted name: file, relative to the root} of the packages' modules."""
    files = [path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    return {module_of(file): file for file in files}


def imported(node: ast.AST) -> Iterator[str]:
    """Dotted names of what the import statements below a node load, at once or when called."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            names = [alias.name for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            names = [f"{child.module}.{alias.name}" for alias in child.names]
        else:
            names = []
            yield from imported(child)
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


class Imports:
    """Who imports what in the packages and the tests, at once or later."""

    def __init__(self) -> None:
        self.files = module_files()
        self._names = {name: set(imported(ast.parse(source(f)))) for name, f in self.files.items()}

    def reached(self, names: Set[str]) -> set[str]:
        """All that loads, now or later, when these are imported."""
        reached: set[str] = set()
        new = set(names)
        while new:
            name = new.pop()
            reached.add(name)
            new |= self._names.get(name, set()) - reached
        return reached

    def importers(self, module: str) -> set[str]:
        """The modules of the packages that reach a module, and itself."""
        return {name for name in self.files if module in self.reached({name})}

    def is_left_out(self, function: ast.AST) -> bool:
        """Whether a function, by its own imports, reaches what is heavy or a network."""
        names = set(imported(function))
        return bool(NETWORK & names or HEAVY & self.reached(names))

    def is_pure(self, name: str) -> bool:
        tree = ast.parse(source(self.files[name]))
        if "argparse" in self._names[name]:
            return False
        at_top = ast.Module([node for node in tree.body if not _is_definition(node)], [])
        names = set(imported(at_top))
        return not (HEAVY & self.reached(names)) and not ({"http", "socket", "botocore"} & names)


def _is_definition(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def all_places(imports: Imports) -> list[Place]:
    """Every fault of every pure module."""
    return [
        Place(file, fault)
        for name, file in sorted(imports.files.items())
        if file.parts[0] in MUTATED and imports.is_pure(name)
        for fault in faults_in(source(file), imports.is_left_out)
    ]


def drawn(places: Sequence[Place], num: int, seed: int) -> list[Place]:
    """One fault each of `num` random expressions: numbers can change in more ways than `and`."""
    by_expression = defaultdict(list)
    for place in places:
        by_expression[place.file, place.fault.start, place.fault.end].append(place)
    rng = random.Random(seed)
    expressions = rng.sample(sorted(by_expression), min(num, len(by_expression)))
    return [rng.choice(by_expression[expression]) for expression in expressions]


# ------------------------------------------------------------------------ what is equivalent


def read_equivalent(places: Sequence[Place]) -> dict[Place, str]:
    """{fault that changes nothing: why}; an entry that fits none, or two modules, is printed."""
    by_key = defaultdict(list)
    for place in places:
        by_key[_key(place.fault.function, place.fault.line, place.fault.change)].append(place)
    equivalent = {}
    for entry in tomllib.loads(EQUIVALENT.read_text())["mutant"]:
        fitting = by_key[_key(entry["function"], entry["line"], entry["change"])]
        if len({place.file for place in fitting}) != 1:
            print(f"equivalent_mutants.toml: {len(fitting)} faults fit {entry}", flush=True)
        else:
            equivalent.update(dict.fromkeys(fitting, entry["why"]))
    return equivalent


def _key(function: str, line: str, change: str) -> tuple[str, str, str]:
    return function, line.strip(), " ".join(change.split())


# -------------------------------------------------------------------------------- whose tests


@cache
def test_files() -> dict[Path, frozenset[str]]:
    """{test file: dotted names that it imports}, files relative to the root."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return {f.relative_to(ROOT): frozenset(imported(ast.parse(f.read_bytes()))) for f in files}


def module_of(file: Path) -> str:
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def room_of(file: Path) -> tuple[str, list[Path]]:
    """(the rule that applies, the test files of a module's own room, nearest first)."""
    folder = Path("tests") / file.parent
    stem = file.parent.name if file.name == "__init__.py" else file.stem
    module = module_of(file)
    in_folder = [test for test in test_files() if test.parent == folder]
    importers = [test for test, names in test_files().items() if module in names]
    importers.sort(key=lambda test: len(test_files()[test]))  # the fewer, the more its own
    near = [test for test in importers if test.parent == folder]
    named = folder / f"test_{stem}.py"
    if named in in_folder:
        return "named", list(dict.fromkeys([named, *near]))
    if near:
        return "folder", near
    if not importers:
        return "folder", sorted(in_folder, key=lambda test: test.stem != f"test_{folder.name}")
    return "imported", importers


# --------------------------------------------------------------------------------- running


class Watch:
    """A pytest plug-in: writes the name of the first test that fails to a file, and limits each."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pytest_runtest_setup(self, item) -> None:
        signal.setitimer(signal.ITIMER_PROF, _LONGEST_TEST_S)  # its signal ends the process

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed and not self.path.exists():
            self.path.write_text(report.nodeid)

    pytest_collectreport = pytest_runtest_logreport


class Copy:
    """A copy of the tree, in which one fault stands at a time.

    The process that makes one moves into it, and loads the pure modules, so that a fork of it has
    to load only what the fault can change.
    """

    def __init__(self, directory: Path, imports: Imports) -> None:
        self.root = directory / "tree"
        self.imports = imports
        self._scratch = directory
        self._is_sound: dict[str, bool] = {}
        ignore = shutil.ignore_patterns("__pycache__", ".*", "runs")
        for path in ROOT.iterdir():
            if path.name in [*PACKAGES, "tests", "docs", "cluster"]:
                shutil.copytree(path, self.root / path.name, ignore=ignore)
            elif path.is_file() and not path.name.startswith("."):
                shutil.copy(path, self.root)
        os.chdir(self.root)
        sys.path[:] = [str(self.root), *(path for path in sys.path if path not in ("", str(ROOT)))]
        pure = [name for name in imports.files if imports.is_pure(name)]
        for name in pure:
            importlib.import_module(name)
        gc.freeze()  # pytest collects garbage at its end, and a fork would copy all of this

    def notice(self, place: Place, tests: Sequence[Path]) -> str | None:
        """The test that fails first of these files with a fault; None if all pass."""
        module = module_of(place.file)
        for test in tests:
            if module not in self.imports.reached(test_files()[test]):
                continue  # it could notice nothing
            while failure := self._run([str(test)], place):
                if not failure.startswith("tests/") or self._passes_without(failure):
                    return failure
        return None

    def _passes_without(self, test: str) -> bool:
        if test not in self._is_sound:
            self._is_sound[test] = not self._run([test])
            if not self._is_sound[test]:
                print(f"left out, since it fails without a fault: {test}", flush=True)
        return self._is_sound[test]

    def _run(self, tests: Sequence[str], place: Place | None = None) -> str | None:
        """What failed first of these files or tests, run in a fork; None if all passed."""
        failed = self._scratch / "failed"
        failed.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            status = _NOT_RUN
            try:
                os.setsid()
                resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
                status = self._in_child(tests, failed, place)
            finally:
                os._exit(status)
        deadline = time.monotonic() + _LONGEST_RUN_S
        try:
            while not (ended := os.waitpid(child, os.WNOHANG))[0]:
                if time.monotonic() > deadline:
                    os.killpg(child, signal.SIGKILL)
                time.sleep(0.02)
        finally:
            if place:
                self._write(place.file, source(place.file))
        status = os.waitstatus_to_exitcode(ended[1])
        if status in (0, 5):  # 5: all tests of these files are slow ones
            return None
        if status == _NOT_RUN:
            raise RuntimeError(f"the tests could not be run: see {self._scratch / 'log'}")
        if status < 0:
            return f"no end: {signal.Signals(-status).name}"
        return failed.read_text() if failed.exists() else f"exit status {status}"

    def _in_child(self, tests: Sequence[str], failed: Path, place: Place | None) -> int:
        import hypothesis
        import pytest

        output = os.open(self._scratch / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
            del sys.modules[name]  # those of the tree that was copied
        if place:
            self._put(place)
        hypothesis.settings.register_profile(
            "mutants",
            database=None,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
        )
        hypothesis.settings.load_profile("mutants")
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        options = ["-x", "-q", "-p", "no:cacheprovider", "-m", _MARKS]
        options += [f"--basetemp={self._scratch / 'pytest'}", *tests]
        options += [
            f"--deselect={test}" for test, is_sound in self._is_sound.items() if not is_sound
        ]
        return int(pytest.main(options, plugins=[Watch(failed)]))

    def _put(self, place: Place) -> None:
        """Write a fault into the copy, and forget the modules that have seen the file without."""
        self._write(place.file, place.fault.apply(source(place.file)))
        for name in self.imports.importers(module_of(place.file)):
            package, _, last = name.rpartition(".")
            if sys.modules.pop(name, None) and hasattr(sys.modules.get(package), last):
                delattr(sys.modules[package], last)

    def _write(self, file: Path, data: bytes) -> None:
        path = self.root / file
        path.write_bytes(data)
        # A file of the same size that is written within a second is taken for the old one.
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def tests_in(circle: str, file: Path) -> list[Path]:
    """The test files for a fault in a file that the circles before have missed it with."""
    _, own = room_of(file)
    if circle == "nearest":
        return own[:1]
    return own[1:] if circle == "room" else [test for test in test_files() if test not in own]


def try_all(
    places: Sequence[Place],
    circles: Sequence[str],
    imports: Imports,
    answers: multiprocessing.Queue,
) -> None:
    """Put (place, circle, what noticed it) for each place and circle, then None."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        tree = Copy(Path(directory), imports)
        left = list(places)
        for circle in circles:
            tried, left = left, []
            for place in tried:
                noticed = tree.notice(place, tests_in(circle, place.file))
                answers.put((place, circle, noticed))
                left += [] if noticed else [place]
    answers.put(None)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--num", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--lines", default="")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    imports = Imports()
    places = all_places(imports)
    equivalent = read_equivalent(places)
    asked = [p for p in places if given.only in str(p.file) and given.lines in p.fault.line]
    sample = drawn(asked, given.num, given.seed)
    print(f"{len(places)} faults in {len({p.file for p in places})} pure modules", flush=True)
    for place in sample:
        if place in equivalent:
            print(f"equivalent  {place}\n    {equivalent[place]}", flush=True)
    rest = [place for place in sample if place not in equivalent]
    circles = ["nearest", "room", "all"] if given.whole else ["nearest", "room"]
    for name in PRELOADED:
        importlib.import_module(name)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    workers = [
        context.Process(target=try_all, args=(rest[first :: given.jobs], circles, imports, answers))
        for first in range(given.jobs)
    ]
    for worker in workers:
        worker.start()
    counts: Counter[str] = Counter()
    num_ended = 0
    while num_ended < len(workers):
        answer = answers.get()
        if answer is None:
            num_ended += 1
            continue
        place, circle, noticed = answer
        counts[circle] += bool(noticed)
        told = f"{'noticed' if noticed else 'MISSED':8} {circle:8} {place}"
        print(f"{told} [{room_of(place.file)[0]}] {noticed or ''}", flush=True)
    shares = {
        circle: round(sum(counts[one] for one in circles[: at + 1]) / max(1, len(rest)), 4)
        for at, circle in enumerate(circles)
    }
    figures = {
        "seed": given.seed,
        "faults": len(sample),
        "noticed": counts["nearest"] + counts["room"],
        "equivalent": len(sample) - len(rest),
        "share_noticed": shares["room"],
        "share_by_nearest": shares["nearest"],
    }
    if given.whole:
        figures["share_by_all"] = shares["all"]
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
