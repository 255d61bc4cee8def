"""The house in figures: what its files and imports are like, and what a command costs to start.

    python -m tests.benchmarks.house
    python -m tests.benchmarks.house --tree ../another-checkout --only files starts

files: lines of each package's files, and of the commands on the landing of `jobs/`.
copies: runs of six lines or more that stand in two places of the packages, by their text alone:
    blank lines, comments and imports are passed over.
contracts: of import-linter, and which of them hold.
starts: CPU seconds of `--help` and `--dry-run` of each command, and of planning `label` where
    people gave the labels: the least of some processes, one after the other.
root: what becomes of the root in tests/fixtures that an earlier commit made; of this tree only.

Left out: the share of faults that tests notice (`tests.benchmarks.mutants`), and how long the tests
take, which `time make test` says.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

PACKAGES = ("schemas", "factory", "actors", "jobs")
RUN = 6  # lines of a copy
PARTS = ("files", "copies", "contracts", "starts", "root")
#: What a command needs beside a recipe to plan something on the embedded recipe.
_ARGUMENTS = {
    "evaluate_judge": ["--file", "PEOPLE", "--judge", "factory/sandbox/weights/base"],
    "judge": ["--image", "PICTURE", "--caption", "a red circle", "--judge", "sandbox:oracle"],
    "localise": ["localise={name: judge-north, labels: PEOPLE, num_steps: 1, batch_size: 4, "
                 "learning_rate: 0.001}"],
    "distil": ["distil={num_steps: 1, batch_size: 4, learning_rate: 0.001}"],
}  # fmt: skip
#: They need what others made.
_NO_PLAN = ("clean", "export", "human_audit", "import_labels", "panel", "rollback", "sandbox")


def main() -> None:
    """Measure, print a table, and end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("--tree", type=Path, default=Path(), help="the checkout (default: this)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--repeats", type=int, default=3, help="processes of each start")
    given = parser.parse_args()
    figures: dict[str, float | str] = {}
    if "files" in given.only:
        figures |= files(given.tree)
    if "copies" in given.only:
        figures["copies"] = len(list(copies(given.tree)))
    if "contracts" in given.only:
        figures |= contracts(given.tree)
    if "starts" in given.only:
        figures |= starts(given.tree, given.repeats)
    if "root" in given.only:
        figures |= old_root()
    for name, value in figures.items():
        print(f"{name:<40} {value}")
    print(json.dumps(figures))


class _Raw(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the docstring."""


def sources(tree: Path, package: str) -> list[Path]:
    """The Python files of a package."""
    return sorted((tree / package).rglob("*.py"))


def files(tree: Path) -> dict[str, float | str]:
    """Median and largest file of each package, and the size of the landing."""
    figures: dict[str, float | str] = {}
    for package in PACKAGES:
        lines = {path: len(path.read_text().splitlines()) for path in sources(tree, package)}
        lines = {path: num for path, num in lines.items() if path.name != "__init__.py"}
        largest = max(lines, key=lambda path: lines[path])
        figures[f"{package}.files"] = len(lines)
        figures[f"{package}.median_lines"] = statistics.median(lines.values())
        figures[f"{package}.largest_lines"] = lines[largest]
        figures[f"{package}.largest"] = str(largest.relative_to(tree))
    landing = [path for path in sorted((tree / "jobs").glob("[a-z]*.py")) if path.stem != "cli"]
    figures["landing.files"] = len(landing)
    figures["landing.commands"] = len(commands(tree))
    figures["landing.most_lines"] = max(len(path.read_text().splitlines()) for path in landing)
    names = {f"jobs.{path.stem}" for path in landing}
    figures["landing.imports_of_commands"] = sum(
        name in names
        for package in PACKAGES
        for path in sources(tree, package)
        for name in imported(path)
    )
    return figures


def commands(tree: Path) -> list[str]:
    """What can follow `python -m jobs.`: files of the landing that define `main`."""
    return [
        path.stem
        for path in sorted((tree / "jobs").glob("[a-z]*.py"))
        if any(
            isinstance(node, ast.FunctionDef) and node.name == "main"
            for node in ast.parse(path.read_text()).body
        )
    ]


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def copies(tree: Path) -> Iterator[tuple[str, str]]:
    """Runs of lines that stand in two places, each pair of places once, however long the run is."""
    places: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    for package in PACKAGES:
        for path in sources(tree, package):
            lines = list(_telling(path.read_text()))
            for start in range(len(lines) - RUN + 1):
                run = tuple(lines[start : start + RUN])
                places[run].append((str(path.relative_to(tree)), start))
    pairs: set[tuple[str, int, str, int]] = set()
    for found in places.values():
        for at, first in enumerate(found):
            pairs |= {(*first, *second) for second in found[at + 1 :]}
    for one, start, other, begin in sorted(pairs):
        if (one, start - 1, other, begin - 1) not in pairs:  # else it is the same run, gone on
            yield f"{one}, run {start}", f"{other}, run {begin}"


def _telling(text: str) -> Iterator[str]:
    """The lines that say something: no blanks, comments, imports and lone brackets."""
    skipped = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    for number, line in enumerate(text.splitlines(), start=1):
        told = " ".join(line.split())
        if number not in skipped and re.search(r"\w", told) and not told.startswith("#"):
            yield told


def contracts(tree: Path) -> dict[str, float | str]:
    """How many contracts import-linter checks, and how many hold."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    found = re.search(r"Contracts: (\d+) kept, (\d+) broken", done.stdout)
    if found is None:
        raise SystemExit(f"import-linter said nothing of contracts: {done.stdout}{done.stderr}")
    return {"contracts.kept": int(found[1]), "contracts.broken": int(found[2])}


def starts(tree: Path, repeats: int) -> dict[str, float | str]:
    """CPU seconds of `--help` and `--dry-run` of each command."""
    figures: dict[str, float | str] = {}
    with tempfile.TemporaryDirectory() as folder:
        given = {"PEOPLE": f"{folder}/people.parquet", "PICTURE": f"{folder}/picture.png"}
        _people(Path(given["PEOPLE"]), Path(given["PICTURE"]))
        root = f"root={folder}/run"
        for name in commands(tree):
            figures[f"help.{name}"] = _least(tree, repeats, name, "--help")
            if name not in _NO_PLAN:
                more = _ARGUMENTS.get(name, [])
                for word, path in given.items():
                    more = [one.replace(word, path) for one in more]
                figures[f"dry_run.{name}"] = _least(tree, repeats, name, "--dry-run", *more, root)
        labels = f"labels.path={given['PEOPLE']}"
        figures["dry_run.label_of_people"] = _least(
            tree, repeats, "label", "--dry-run", labels, root
        )
    for kind in ("help", "dry_run"):
        of_kind = [float(value) for key, value in figures.items() if key.startswith(f"{kind}.")]
        figures[f"{kind}.median_cpu_s"] = round(statistics.median(of_kind), 2)
        figures[f"{kind}.most_cpu_s"] = max(of_kind)
    return figures


def _people(labels: Path, picture: Path) -> None:
    """One label of a person, and the picture that it is about."""
    import numpy as np
    import pyarrow.parquet as pq
    from PIL import Image

    from schemas.arrow import labels_to_table
    from schemas.rows import Label, Media, Prompt

    Image.fromarray(np.full((32, 32, 3), 128, np.uint8)).save(picture)
    media = Media(picture.read_bytes(), 32, 32)
    label = Label("l", Prompt.of("a red circle"), "ann", media, None, None, 3, split="heldout")
    pq.write_table(labels_to_table([label]), labels)


def _least(tree: Path, repeats: int, name: str, *arguments: str) -> float:
    """The least CPU seconds of some processes of a command that ends well."""
    return min(_cpu_seconds(tree, name, *arguments) for _ in range(repeats))


def _cpu_seconds(tree: Path, name: str, *arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", f"jobs.{name}", *arguments],
        cwd=tree,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"jobs.{name} {' '.join(arguments)}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return round(spent, 2)


def old_root() -> dict[str, float | str]:
    """What becomes of the root that an earlier commit made: what of it is found complete, which
    rows of its half-made data set are made again, and what its second round comes to.
    """
    from jobs.pages.collect import write_report
    from jobs.rounds.workspace import Round
    from jobs.stages.base import Stage, blueprint_of, find_complete
    from schemas.artifacts import KINDS
    from schemas.recipe_file import load
    from tests.old_root import FIXTURE, copy_of, go_on

    expected = json.loads((FIXTURE / "expected.json").read_text())
    figures: dict[str, float | str] = {}
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of(Path(folder) / "root")
        said = go_on(copy)
        os.chdir(copy)  # the recipe's paths are relative
        try:
            at = Round(load("recipe.yaml"), 1)
            found = same = 0
            others = ("agreement", "stability", "export", "candidates")  # of tools, or drawn apart
            kinds = [kind for kind in KINDS if kind.name not in others]
            for kind in kinds:
                stage: Stage = import_module(f"jobs.stages.{kind.job}").STAGE
                old, new = at.need(kind.name).fingerprint, blueprint_of(stage, at).fingerprint
                found += find_complete(stage, at) is not None
                same += old == new
                print(f"{at.address(kind.name):<16} fingerprint {old} then, {new} now")
            figures["root.artifacts"] = len(kinds)
            figures["root.found_complete"] = found
            figures["root.fingerprints_as_they_were"] = same
            made = re.search(r"groups@2: (\d+) rows in", said)
            assert made is not None, said
            num_left = len(expected["groups"]) - len(expected["at_hand"])
            figures["root.rows_at_hand"] = len(expected["at_hand"])
            figures["root.rows_made"] = int(made[1])
            figures["root.rows_made_again"] = int(made[1]) - num_left
            second = Round(at.recipe, 2)
            wanted = expected["artifacts"]["groups"]["digest"]  # of a machine alike, see its README
            is_same = second.need("groups").digest == wanted
            figures["root.digest_as_undisturbed"] = int(is_same)
            figures["root.kept_pairs"] = second.need("pairs").counts["kept"]
            figures["root.report_sections"] = Path(str(write_report(at))).read_text().count("<h2>")
            command = [sys.executable, "-m", "jobs.align", "--recipe", "recipe.yaml", "--dry-run"]
            dry = subprocess.run(
                [*command, "--round", "2"], env={**os.environ, "PYTHONPATH": str(here)}, check=False
            )
            figures["root.align_dry_run_exit"] = dry.returncode
        finally:
            os.chdir(here)
    return figures


if __name__ == "__main__":
    main()
