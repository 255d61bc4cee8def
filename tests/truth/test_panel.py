from tests.truth.panel import figures


def test_two_judges_gain_by_as_much_as_they_err_apart() -> None:
    found = figures(replications=80, seed=0)
    assert found["panel_gain_0"] > max(found["panel_gain_0_5"], 0.03)
    assert found["panel_gain_0_5"] > 0
