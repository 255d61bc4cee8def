"""Exports, loaded by the code of the trainers that they are for; and judges, beside their stock
code where that needs more than we install.

    make compat
    make compat ARGS="--install --verl-omni ../verl-omni"

`datasets`, TRL and Diffusion-DPO's way of reading share our environment. ms-swift and
LLaMA-Factory pin other versions, so each is looked for in an environment of its own,
`.compat/NAME`, which `--install` makes: with their dependencies, several gigabytes each. So is
what judges need whose stock processors ask for torchvision or num2words: a CUDA build of torch,
which runs on a CPU as well. verl-omni is read from a checkout whose path is given. What is not
there is said to be not there, and is no success.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.compat.samples import sample

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENTS = ROOT / ".compat"
WEIGHTS = ROOT / "factory" / "sandbox" / "weights" / "base4"


@dataclass(frozen=True)
class Target:
    """One trainer, or the judges.

    name: of the script `with_NAME.py`.
    form: the exporter; None where nothing is exported and the script is a module of ours.
    wants: what pip installs into an environment of its own; empty where ours will do.
    arguments: of the script, after the export.
    """

    name: str
    form: str | None
    wants: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


TARGETS = (
    Target("datasets", "datasets"),
    Target("trl", "trl", arguments=(str(WEIGHTS),)),
    Target("diffusion_dpo", "pick-a-pic"),
    Target("ms_swift", "ms-swift", ("ms-swift==4.6.0",)),
    Target("llama_factory", "llama-factory", ("llamafactory==0.9.5",)),
    Target(
        "judges",
        None,
        ("torch==2.14.1", "torchvision==0.29.1", "transformers==5.23.0", "num2words", str(ROOT)),
    ),
)


def main() -> int:
    """Load each, print a line each, and fail where one that is there does not load."""
    parser = argparse.ArgumentParser(prog="python -m tests.compat", description=__doc__)
    parser.add_argument("--install", action="store_true", help="make the environments")
    parser.add_argument("--only", action="append", metavar="NAME", help="of a target")
    parser.add_argument("--verl-omni", metavar="CHECKOUT", help="of verl-omni's repository")
    given = parser.parse_args()
    targets = list(TARGETS)
    if given.verl_omni:
        wants = ("omegaconf", "pandas", "pyarrow", "torch")
        targets.append(Target("verl_omni", "verl-omni", wants, (given.verl_omni,)))
    elif not given.only:
        print("verl_omni: not looked at: give --verl-omni CHECKOUT")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for target in targets:
            if not given.only or target.name in given.only:
                failed += not _is_loaded(target, Path(folder), install=given.install)
    return min(failed, 1)


def _is_loaded(target: Target, folder: Path, *, install: bool) -> bool:
    python = _python(target, install=install)
    if python is None:
        print(f"{target.name}: not looked at: no environment {ENVIRONMENTS / target.name}")
        return True
    script = HERE / f"with_{target.name}.py"
    if target.form is None:
        command = ["-m", f"tests.compat.{script.stem}", *target.arguments]
    else:
        command = [str(script), str(sample(folder, target.form)), *target.arguments]
    done = subprocess.run(
        [str(python), *command],
        cwd=ROOT if target.form is None else None,
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "cache")},
    )
    said = done.stdout.splitlines()[-1:] if done.returncode == 0 else done.stderr.splitlines()[-1:]
    print(
        f"{target.name}: {'loads' if done.returncode == 0 else 'FAILS'}: {' '.join(said)}",
        flush=True,
    )
    if done.returncode:
        print(done.stderr, file=sys.stderr)
    return done.returncode == 0


def _python(target: Target, *, install: bool) -> Path | None:
    if not target.wants:
        return Path(sys.executable)
    environment = ENVIRONMENTS / target.name
    python = environment / "bin" / "python"
    if not python.exists() and install:
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", *target.wants]
        if subprocess.run(pip).returncode:
            print(f"{target.name}: pip cannot install {' '.join(target.wants)} here")
    return python if python.exists() else None


if __name__ == "__main__":
    sys.exit(main())
