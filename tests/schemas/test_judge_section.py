"""One section for every judge: whichever way it is written, what of it is identity, and what says
nothing to its backend.
"""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.identity import identity, read_out, spelled_out
from schemas.recipe import EndpointSpec, Evaluate, HeldOutJudge, JudgeSpec

URL = "http://localhost:8000/v1"
ASKED = {"endpoint": {"model": "big"}, "specification": "unifiedreward-qwen2.5-vl"}


def test_code_of_ones_own_is_one_section_at_either_key() -> None:
    by_path = HeldOutJudge(path="tests.stubs:StubJudge", name="other")
    by_backend = HeldOutJudge(backend="tests.stubs:StubJudge", name="other")
    assert by_path == by_backend
    assert by_backend.told == "module"
    assert identity(by_backend) == {"name": "other"}


def test_an_endpoint_is_told_by_its_address() -> None:
    plain = JudgeSpec(path=URL, **ASKED)
    assert plain.told == "endpoint"
    assert plain == JudgeSpec(path=URL, backend="endpoint", **ASKED)
    asked = {"endpoint": {"model": "big"}, "specification": "unifiedreward-qwen2.5-vl"}
    assert identity(plain) == asked  # its address is a place, and patience a resource


def test_what_lies_at_a_path_has_to_be_looked_at() -> None:
    assert JudgeSpec(path="org/judge").told is None
    assert JudgeSpec(path="org/judge", backend="scalar").told == "scalar"
    assert "backend" not in identity(JudgeSpec(path="org/judge"))
    assert identity(JudgeSpec(path="org/judge", backend="scalar")) == {"backend": "scalar"}


def test_settings_from_before_there_were_backends_are_the_same() -> None:
    older = {
        "name": "heldout-judge",
        "precision": "fp32",
        "trust_remote_code": False,
        "specification": None,
        "revision": None,
    }
    assert read_out(HeldOutJudge, older) == spelled_out(HeldOutJudge(path="org/judge"))
    noted = {"endpoint": {"url": URL, "model": "m", "specification": "s", "name": "endpoint"}}
    spec = Evaluate(endpoint=EndpointSpec(url=URL, model="m", specification="s"))
    assert read_out(Evaluate, noted) == spelled_out(spec)


def test_the_former_way_to_name_an_endpoint_is_the_same_judge() -> None:
    former = EndpointSpec(
        url=URL, model="m", specification="s", name="outside", concurrency=3, revision="1"
    )
    judge = former.judge
    assert (judge.path, judge.name, judge.revision) == (URL, "outside", "1")
    assert judge.endpoint is not None
    assert (judge.endpoint.model, judge.endpoint.concurrency) == ("m", 3)
    assert EndpointSpec.of(judge) == former


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ({}, "path: missing; it says where the judge is"),
        ({"path": "x", "backend": "vllm"}, "package.module:name or one of: auto, transformers"),
        ({"path": "x", "backend": "endpoint"}, "path: 'x' is no address of an endpoint"),
        ({"path": URL, "backend": "scalar", **ASKED}, "backend: scalar cannot run 'http://local"),
        ({"path": "a/b", "backend": "c.d:E"}, "backend: 'c.d:E' is code of your own"),
        ({"path": URL}, "endpoint: missing: which model is asked there"),
        ({"path": URL, "endpoint": {"model": "m"}}, "specification: missing: of an endpoint"),
        ({"path": URL, "precision": "bf16", **ASKED}, "precision: is of backend transformers or"),
        ({"path": URL, "max_batch": 2, **ASKED}, "max_batch: is of backend transformers or scal"),
        ({"path": URL, "trust_remote_code": True, **ASKED}, "trust_remote_code: is of backend tr"),
        ({"path": "a.b:C", "specification": "s"}, "specification: is of backend transformers or"),
        ({"backend": "a.b:C", "endpoint": {"model": "m"}}, "endpoint: is of backend endpoint, and"),
        ({"path": "x", "backend": "scalar", "trust_remote_code": True}, "trust_remote_code: is of"),
        ({"path": "http://u:secret@h/v1", **ASKED}, "path: has a name or a key in it"),
    ],
)
def test_what_does_not_fit_together_is_refused_by_name(section: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError) as caught:
        JudgeSpec(**section)
    assert fault in str(caught.value)
