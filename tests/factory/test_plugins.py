"""What a user names in a recipe: a package of the user's own, and what is told of its faults."""

import pytest

from factory.evaluation.reference import reference_of
from factory.plugins import PluginError, load, make
from factory.protocols import Judge, ReferenceJudge, Simulator
from factory.sandbox.labels import SimulatedAnnotators
from factory.sandbox.oracle_judge import OracleJudge
from schemas.identity import identity
from schemas.recipe import Evaluate, Labels

KEY = "evaluate.oracle"
JUDGE = """
class Judge:
    name = "truth@3"

    def sit(self, prompt, candidates):
        raise RuntimeError("not asked")


def a_judge():
    return Judge()


def a_failure():
    raise KeyError("weights")


def wants(something):
    return Judge()


a_number = 3
"""
BROKEN = "import json\n\njson.loads('{')\n"


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    """A package of the user's own; one module of it needs what is not installed."""
    (tmp_path / "someones").mkdir()
    (tmp_path / "someones" / "__init__.py").write_text("")
    (tmp_path / "someones" / "judges.py").write_text(JUDGE)
    (tmp_path / "someones" / "lacking.py").write_text("import not_installed_here")
    (tmp_path / "someones" / "broken.py").write_text(BROKEN)
    (tmp_path / "someones" / "unfinished.py").write_text("def judge(:\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("name", ["someones.judges:Judge", "someones.judges:a_judge"])
def test_a_class_or_a_function_makes_it(name):
    assert make(name, KEY, Judge).name == "truth@3"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("nowhere", "'nowhere' is not of the form package.module:name"),
        ("os.system('x')", "is not of the form package.module:name"),
        ("no.such:Judge", "'no.such:Judge': cannot be loaded: No module named 'no'"),
        ("someones.absent:Judge", "cannot be loaded: No module named 'someones.absent'"),
        ("someones.lacking:Judge", "cannot be loaded: No module named 'not_installed_here'"),
        ("someones.judges:judge", "cannot be loaded: someones.judges has no 'judge'"),
        ("someones.judges:a_number", "cannot be called: 'a_number' is of type int"),
        ("someones.broken:Judge", "cannot be loaded: JSONDecodeError: Expecting property name"),
        ("someones.unfinished:Judge", "unfinished.py, line 1)"),
    ],
)
def test_a_name_that_leads_nowhere_is_told_with_its_key(name, fault):
    with pytest.raises(PluginError) as told:
        load(name, KEY)
    assert str(told.value).startswith(f"{KEY}: ")
    assert fault in str(told.value)


def test_a_maker_that_fails_is_told_with_its_line():
    with pytest.raises(PluginError) as told:
        make("someones.judges:a_failure", "--judge", Judge)
    message = str(told.value)
    assert message.startswith("--judge: 'someones.judges:a_failure': cannot be made of 0 argument")
    assert "KeyError: 'weights'" in message
    assert message.endswith("judges.py, line 14)")
    with pytest.raises(PluginError, match=r"TypeError: wants\(\) missing 1 required") as told:
        make("someones.judges:wants", "--judge", Judge)
    assert "plugins.py" not in str(told.value)


def test_what_lacks_something_of_its_protocol_is_told():
    with pytest.raises(PluginError) as told:
        reference_of(Evaluate(prompts="p", oracle="someones.judges:Judge"))
    assert str(told.value) == (
        "evaluate.oracle: 'someones.judges:Judge': makes a thing of type Judge, no ReferenceJudge: "
        "it has no check, full_marks, how_to_make"
    )
    with pytest.raises(PluginError, match="no Simulator: it has no __call__, check"):
        make("someones.judges:Judge", "labels.simulator", Simulator)


def test_a_word_is_known_at_its_own_key_alone():
    assert isinstance(make("sandbox", KEY, ReferenceJudge), OracleJudge)
    assert load("sandbox", "labels.simulator") is SimulatedAnnotators
    with pytest.raises(PluginError, match=r"safety_classifier: 'sandbox' is not of the form"):
        load("sandbox", "curate.objections.safety_classifier")
    assert reference_of(Evaluate(prompts="p")) is None


@pytest.mark.parametrize("name", ["sandbx", "os.system('x')", "a:b:c", "", "a.b:c\n"])
def test_a_recipe_names_a_plugin_or_a_word(name):
    with pytest.raises(ValueError, match=r"package\.module:name or one of: none, sandbox"):
        Evaluate(prompts="p", oracle=name)
    with pytest.raises(ValueError, match=r"package\.module:name or one of: sandbox"):
        Labels(prompts="p", simulator=name)


def test_a_simulator_is_written_where_it_is_not_the_usual_one():
    assert "simulator" not in identity(Labels(prompts="p"))
    assert identity(Labels(prompts="p", simulator="a.b:c"))["simulator"] == "a.b:c"
