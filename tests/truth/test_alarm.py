"""The alarm, in few simulations: the rates that the alarm of before missed by far."""

from factory.evaluation.witnesses import power
from tests.truth.alarm import MARGIN, accuracy_of, figures, noise_of


def test_an_honest_challenger_is_left_alone_and_half_a_hack_is_found():
    found = figures(60, 3)
    for name, share in found.items():
        if name.startswith("false_alarms"):
            assert share <= 0.1, name  # 22 to 50 % by witnesses of 0.65 and 0.60 before
    assert found["outright_found"] == 1.0
    assert found["half_found"] >= 0.8  # 14 % before
    assert abs(found["half_found"] - found["half_power_told"]) < 0.12


def test_accuracy_and_noise_are_each_others_inverse():
    assert accuracy_of(noise_of(0.65)) == 0.65 or abs(accuracy_of(noise_of(0.65)) - 0.65) < 1e-12
    assert power(240, 500, 0.86, 0.75, MARGIN) > 0.9
