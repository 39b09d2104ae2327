"""The doctor on one network: nothing on the healthy one, each fault by its name and line, everything put back."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

from autodiff import doctor
from tests.autodiff.doctor_nets import line_of, made

FAULTS = [
    ("mean_missing", "dW1 = np.dot", ("dW1 = np.dot(delta1, x.T)", "dW1 = m * np.dot(delta1, x.T)")),
    ("mean_missing", "delta2 = (a2", ("delta2 = (a2 - y) / m", "delta2 = a2 - y")),
    ("mean_twice", "db1 = ", ("db1 = np.sum(delta1", "db1 = 1 / m * np.sum(delta1")),
    ("bias_unsummed", "db1 = ", ("db1 = np.sum(delta1, axis=1, keepdims=True)", "db1 = delta1")),
    ("bias_wrong_axis", "db1 = ", ("np.sum(delta1, axis=1", "np.sum(delta1, axis=0")),
    ("bias_over_units", "db1 = ", ("np.sum(delta1, axis=1, keepdims=True)", "np.sum(delta1)")),
    ("sign_layer", "self.W1 -=", ("self.W1 -=", "self.W1 +=")),
    ("sign_all", "delta2 = (a2", ("(a2 - y)", "(y - a2)")),
    ("derivative_missing", "delta1 = da1", ("delta1 = da1 * (1 - a1 ** 2)", "delta1 = da1")),
    ("derivative_squared", "delta1 = da1", ("(1 - a1 ** 2)", "(1 - a1 ** 2) ** 2")),
    ("derivative_at_preactivation", "delta1 = da1", ("(1 - a1 ** 2)", "(1 - z1 ** 2)")),
    ("derivative_other", "delta1 = da1", ("(1 - a1 ** 2)", "a1 * (1 - a1)")),
    ("tanh_unsquared", "delta1 = da1", ("(1 - a1 ** 2)", "(1 - a1)")),
    ("mse_delta_with_bce", "delta2 = (a2", ("(a2 - y) / m", "(a2 - y) * a2 * (1 - a2) / m")),
    ("error_abs", "delta2 = (a2", ("(a2 - y) / m", "np.abs(a2 - y) / m")),
    ("dw_transposed", "dW1 = np.dot", ("np.dot(delta1, x.T)", "np.dot(x, delta1.T)")),
    ("wrong_cached_input", "dW2 = ", ("np.dot(delta2, a1.T)", "np.dot(delta2, z1.T)")),
    ("never_updated", "self.W1 -=", ("            self.b1 -= lr * db1\n", "")),  # beside which it belongs
]


def test_a_healthy_net_is_called_healthy() -> None:
    net, x, y = made()
    report = doctor.examine(net.train, x, y, 1)
    assert report.ok
    assert [v.verdict for v in report.parameters] == ["exact"] * 4
    assert report.to_dict()["suspects"] == []
    assert any("da1" in text for text in report.right)


@pytest.mark.parametrize(("code", "where", "edits"), FAULTS, ids=[f"{code}-{where}" for code, where, _ in FAULTS])
def test_a_fault_is_named_and_located(code: str, where: str, edits: tuple[str, ...]) -> None:
    net, x, y = made(*edits)
    report = doctor.examine(net.train, x, y, 1)
    assert not report.ok
    assert [f.code for f in report.findings] == [code]
    assert line_of(where) in report.lines


def test_the_line_that_would_be_right_keeps_its_other_factors() -> None:
    net, x, y = made("delta1 = da1 * (1 - a1 ** 2)", "delta1 = np.dot(self.W2.T, delta2) * (1 - a1)")
    (finding,) = doctor.examine(net.train, x, y, 1).findings
    assert finding.code == "tanh_unsquared"
    assert finding.fix == "delta1 = np.dot(self.W2.T, delta2) * (1 - a1 ** 2)"


def test_two_faults_are_both_found() -> None:
    net, x, y = made("(1 - a1 ** 2)", "(1 - a1)", "db2 = np.sum(delta2, axis=1, keepdims=True)", "db2 = delta2")
    report = doctor.examine(net.train, x, y, 1)
    assert {f.code for f in report.findings} == {"tanh_unsquared", "bias_unsummed"}
    assert {line_of("delta1 = da1"), line_of("db2 = ")} <= set(report.lines)


def test_the_right_line_is_written_in_their_names() -> None:
    net, x, y = made("db1 = np.sum(delta1, axis=1, keepdims=True)", "db1 = delta1")
    text = str(doctor.examine(net.train, x, y, 1))
    assert "db1 = np.sum(delta1, axis=1, keepdims=True)" in text
    assert f"line {line_of('db1 = ')}: db1 = delta1" in text
    assert "shape (5, 7)" in text


def test_several_epochs_in_one_call() -> None:
    net, x, y = made()
    assert doctor.examine(net.train, x, y, 50).ok


def test_everything_is_as_before() -> None:
    net, x, y = made("(1 - a1 ** 2)", "(1 - a1)")
    before = {name: value.copy() for name, value in vars(net).items() if isinstance(value, np.ndarray)}
    arrays = {name: vars(net)[name] for name in before}
    state, plain = np.random.get_state()[1].tobytes(), random.getstate()  # type: ignore[union-attr]
    doctor.examine(net.train, x, y, 3)
    assert set(vars(net)) == {"W1", "b1", "W2", "b2", "history"}
    assert net.history == []
    for name, value in before.items():
        assert vars(net)[name] is arrays[name]
        assert type(arrays[name]) is np.ndarray
        np.testing.assert_array_equal(arrays[name], value)
    assert np.random.get_state()[1].tobytes() == state  # type: ignore[union-attr]
    assert random.getstate() == plain
    assert np.zeros(2).__class__ is np.ndarray


def test_everything_is_as_before_when_their_code_raises() -> None:
    net, x, y = made("m = y.shape[1]", "m = y.shape")
    kept = net.W1
    report = doctor.examine(net.train, x, y, 1)
    assert [f.code for f in report.findings] == ["m_is_shape"]
    assert report.findings[0].fix == "m = y.shape[1]"
    assert net.W1 is kept
    assert net.history == []


def test_their_prints_are_held_back(capsys: pytest.CaptureFixture[str]) -> None:
    net, x, y = made("self.history.append(cost)", 'print(f"cost {cost:.3f}", a2)')
    assert doctor.examine(net.train, x, y, 1).ok
    assert capsys.readouterr().out == ""


def test_float32_is_no_fault() -> None:
    net, x, y = made()
    for name in ("W1", "b1", "W2", "b2"):
        setattr(net, name, getattr(net, name).astype(np.float32))
    assert doctor.examine(net.train, x.astype(np.float32), y, 1).ok


def test_a_small_epsilon_in_the_logarithm_is_noise() -> None:
    net, x, y = made("np.log(a2)", "np.log(a2 + 1e-6)")
    report = doctor.examine(net.train, x, y, 1)
    assert report.ok
    assert "noise" in {v.verdict for v in report.parameters}


def test_a_loss_by_name() -> None:
    net, x, y = made(
        "            cost = -np.sum(y * np.log(a2) + (1 - y) * np.log(1 - a2)) / m\n", "",
        "            self.history.append(cost)\n", "",
    )  # fmt: skip
    assert doctor.examine(net.train, x, y, 1, loss="bce").ok
    wrong, x, y = made(
        "            cost = -np.sum(y * np.log(a2) + (1 - y) * np.log(1 - a2)) / m\n", "",
        "            self.history.append(cost)\n", "",
        "(1 - a1 ** 2)", "(1 - a1)",
    )  # fmt: skip
    assert not doctor.examine(wrong.train, x, y, 1, loss="bce").ok


def test_the_report_in_every_form() -> None:
    net, x, y = made("(1 - a1 ** 2)", "(1 - a1)")
    report = doctor.examine(net.train, x, y, 1)
    assert json.loads(json.dumps(report.to_dict()))["causes"] == ["tanh_unsquared"]
    assert "<table>" in report.html() == report._repr_html_()
    assert "wrong" in str(report)
    assert report.summary in repr(report)


class Nothing:
    def train(self) -> None:
        pass

    def look(self, x: Any) -> Any:
        return x * 2


def test_bad_input_gets_one_sentence() -> None:
    with pytest.raises(TypeError, match="takes the training function"):
        doctor.examine(None)  # type: ignore[arg-type]
    assert "No numpy arrays" in doctor.examine(Nothing().train).summary
    assert "updated no array" in doctor.examine(Nothing().look, np.ones(3)).summary
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="PyTorch"):
        doctor.examine(Nothing().look, torch.ones(3))
