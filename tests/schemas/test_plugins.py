"""Names of what is plugged in, and the words that stand for them."""

import pytest

from schemas.plugins import checked, is_plugin, spelled_out

ORACLE = "factory.sandbox.oracle_judge:OracleJudge"


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("package.module:name", True),
        ("module:Name_2", True),
        ("package.module", False),
        ("package/module:name", False),
        ("package.module:name.more", False),
        (":name", False),
        ("module:", False),
        ("module:name\n", False),
    ],
)
def test_a_plugin_has_a_module_and_a_name(name: str, is_one: bool) -> None:
    assert is_plugin(name) is is_one


def test_a_word_stands_for_a_name_at_its_own_key() -> None:
    assert spelled_out("sandbox", "evaluate.oracle") == ORACLE
    assert spelled_out("sandbox:oracle", "--judge") == ORACLE
    assert spelled_out("sandbox", "--judge") == "sandbox"
    assert spelled_out("my.judge:Judge", "evaluate.oracle") == "my.judge:Judge"


@pytest.mark.parametrize("name", ["none", "sandbox", "my.judge:Judge"])
def test_what_a_key_can_take_passes(name: str) -> None:
    assert checked(name, "evaluate.oracle", "none") == name


def test_what_it_cannot_take_is_answered_with_what_there_is() -> None:
    message = "is to be package.module:name or one of: none, sandbox"
    with pytest.raises(ValueError, match=message):
        checked("oracle", "evaluate.oracle", "none")
