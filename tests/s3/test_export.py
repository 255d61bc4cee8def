"""An export from a local root to a bucket, and from there what is left of a killed one."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from actors.storage import ObjectPath
from factory.exports import verl_omni
from factory.exports.registry import EXPORTERS
from jobs import export as command
from jobs.datasets import shards
from schemas import manifest
from tests.factory.exports.rows import pair_of
from tests.journeys.a_root import write_root


@pytest.mark.parametrize("name", ["pick-a-pic", "verl-omni"])
def test_an_export_lies_in_a_bucket_and_a_killed_one_goes_on(
    s3: ObjectPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    root = write_root(tmp_path / "run", [pair_of(number) for number in range(6)])
    out = s3 / name
    given = [name, "--shard-rows", "2", "--out", str(out), f"root={root}"]
    deliver = shards._Shard.deliver

    def dies(shard: shards._Shard, number: int) -> str:
        if number == 1 or name == verl_omni.NAME:
            raise KeyboardInterrupt
        return deliver(shard, number)

    monkeypatch.setattr(shards._Shard, "deliver", dies)
    assert command.main(given) == 130
    monkeypatch.setattr(shards._Shard, "deliver", deliver)
    assert manifest.read(out) is None
    assert command.main(given) == 0
    files = sorted((out / "train").glob("*.parquet"))
    assert len(files) == (1 if EXPORTERS[name].is_one_file else 3)
    rows = []
    for path in files:
        with path.open("rb") as source:
            rows += pq.read_table(source).to_pylist()
    assert {row["pair_id"] for row in rows} == {pair_of(number).pair_id for number in range(6)}
    if EXPORTERS[name].is_one_file:
        for row in rows:
            assert (out / row["img_win"].removeprefix("../")).read_bytes().startswith(b"\x89PNG")
    assert not list((out / shards.NOTES).glob("*"))
    assert (out / "README.md").read_text().startswith("---\n")
