"""Nets as strangers write them: each is one thing that the doctor once misread, called wrong or left unchecked."""

from __future__ import annotations

import math
import random
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy import dot, zeros

from autodiff import doctor
from autodiff.doctor import Report

RNG = np.random.default_rng(3)
X = RNG.normal(size=(6, 3))
Y = RNG.normal(size=(6, 2))
BITS = (RNG.random((6, 1)) > 0.5).astype(int)


def verdicts(report: Report) -> dict[str, str]:
    return {v.name: v.verdict for v in report.parameters}


def all_right(report: Report, count: int) -> bool:
    assert report.ok, str(report)
    return len(report.parameters) == count


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def dense(n_in: int, n_out: int, slip: float = 1.0) -> Any:
    W, b = RNG.normal(size=(n_in, n_out)), np.zeros((1, n_out))
    saved = {}

    def forward(x: Any) -> Any:
        saved["x"] = x
        return x @ W + b

    def backward(g: Any, lr: float) -> Any:
        nonlocal W, b
        below = slip * (g @ W.T)
        W = W - lr * saved["x"].T @ g
        b = b - lr * g.sum(0, keepdims=True)
        return below

    return forward, backward


@pytest.mark.parametrize("slip", [1.0, 3.0])
def test_layers_that_share_names_in_their_closures(slip: float) -> None:
    stack = [dense(3, 4), dense(4, 2, slip)]

    def train(x: Any, y: Any) -> None:
        out = x
        for forward, _ in stack:
            out = forward(out)
        g = 2 * (out - y) / y.size
        assert ((out - y) ** 2).mean() > 0
        for _, backward in reversed(stack):
            g = backward(g, 0.1)

    report = doctor.examine(train, X, Y)
    wrong = [name for name, verdict in verdicts(report).items() if verdict == "wrong"]
    assert len(report.parameters) == 4
    assert len(wrong) == (0 if slip == 1 else 2)


class Loops:
    """Every weight is updated by itself; numbers of arrays are not changed in place by ``+=``."""

    def __init__(self) -> None:
        self.W, self.b, self.v = RNG.normal(size=(2, 3)), RNG.normal(size=2), RNG.normal(size=2)

    def train(self, x: Any, y: Any, sign: float) -> None:
        cost = 0.0
        for row, target in zip(x, y, strict=True):
            h = np.zeros(2)
            for j in range(2):
                s = self.b[j]
                for i in range(3):
                    s += self.W[j, i] * row[i]
                h[j] = np.tanh(s)
            out = self.v[0] * h[0]
            out += self.v[1] * h[1]
            cost += 0.5 * (out - target) ** 2
            d = out - target
            for j in range(2):
                dh = d * self.v[j] * (1 - h[j] ** 2)
                self.v[j] -= 0.1 * d * h[j]
                self.b[j] -= sign * 0.1 * dh
                for i in range(3):
                    self.W[j, i] -= 0.1 * dh * row[i]


def test_updates_element_by_element() -> None:
    net = Loops()
    assert all_right(doctor.examine(net.train, X[:2], Y[:2, 0], 1.0), 3)
    found = verdicts(doctor.examine(net.train, X[:2], Y[:2, 0], -1.0))
    assert found["b"] == "wrong"
    assert found["W"] == found["v"] == "exact"


def regression(x: Any, y: Any, steps: int, sign: float = 1.0) -> Any:
    w = zeros((x.shape[1], 1))
    b = 0
    for _ in range(steps):
        p = sigmoid(dot(x, w) + b)
        cost = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
        w = w - 0.5 * dot(x.T, p - y) / len(x)
        b = b - sign * 0.5 * np.sum(p - y) / len(x)
    return {"w": w, "b": b, "cost": cost}


def test_a_plain_number_of_a_function_is_a_parameter() -> None:
    assert all_right(doctor.examine(regression, X, BITS, 2), 2)
    assert verdicts(doctor.examine(regression, X, BITS, 2, -1.0)) == {"w": "exact", "b": "wrong"}


class Fitted:
    """Weights come with the call, the bias as a plain 0; the slope is made of single numbers by math."""

    def fit(self, x: Any, y: Any) -> None:
        act = np.vectorize(lambda z: 1 / (1 + math.exp(-z)))
        slope = np.vectorize(lambda a: a * (1.0 - a))
        self.w, self.b = np.random.RandomState(1).normal(size=3), 0
        for _ in range(2):
            p = act(x @ self.w + self.b)
            loss = 0.5 * np.sum((p - y) ** 2)
            assert loss > 0
            d = (p - y) * slope(p)
            self.w -= 0.1 * x.T @ d
            self.b -= 0.1 * d.sum()


def test_np_vectorize_and_an_attribute_that_is_a_number() -> None:
    net = Fitted()
    assert all_right(doctor.examine(net.fit, X, BITS[:, 0]), 2)
    assert not vars(net)


def hinge(p: dict[str, Any], cache: dict[str, Any], x: Any, y: Any, decay: float) -> None:
    for _ in range(2):
        h = np.maximum(x @ p["W"] + p["b"], 0)
        margins = np.maximum(0, 1 - y * (h @ p["V"] + p["c"]))
        loss = margins.mean() + 0.005 * np.sum(p["V"] ** 2)
        assert loss > 0
        d = -y * (margins > 0) / len(y)
        dh = d @ p["V"].T * (h > 0)
        grads = {"W": x.T @ dh, "b": dh.sum(0), "V": h.T @ d + decay * p["V"], "c": d.sum(0)}
        for key, g in grads.items():
            cache[key] = 0.9 * cache[key] + 0.1 * g**2
            p[key] = p[key] - 0.01 * g / (np.sqrt(cache[key]) + 1e-6)


def test_a_hinge_rmsprop_with_one_bias_and_a_penalty_in_the_loss() -> None:
    p = {"W": RNG.normal(size=(3, 4)), "b": RNG.normal(size=4), "V": RNG.normal(size=(4, 1)), "c": RNG.normal(size=1)}
    cache = {key: np.zeros_like(value) for key, value in p.items()}
    assert all_right(doctor.examine(hinge, p, cache, X, 2 * BITS - 1, 0.01), 4)
    assert verdicts(doctor.examine(hinge, p, cache, X, 2 * BITS - 1, 5.0))["p['V']"] == "wrong"


class Normalised:
    def __init__(self) -> None:
        self.W, self.b, self.g = RNG.normal(size=(3, 2)), np.zeros(2), np.ones(2)

    def train(self, x: Any, y: Any) -> None:
        a = x @ self.W + self.b
        std = np.sqrt(a.var(axis=0) + 1e-5)
        n = (a - a.mean(axis=0)) / std
        loss = np.mean((self.g * n - y) ** 2)
        assert loss > 0
        d = 2 * (self.g * n - y) / y.size
        dn = d * self.g
        da = (dn - dn.mean(0) - n * (dn * n).mean(0)) / std
        self.g = self.g - 0.1 * (d * n).sum(0)
        self.W = self.W - 0.1 * x.T @ da
        self.b = self.b - 0.1 * da.sum(0)


def test_a_gradient_that_is_nothing_but_rounding() -> None:
    assert all_right(doctor.examine(Normalised().train, X, Y), 3)


def recurrent(W: Any, U: Any, b: Any, letters: list[int], targets: Any, steps: int) -> None:
    """Adagrad in the call, one-hot columns of a bias's shape, sums of gradients, a smoothed loss."""
    memory = [np.zeros_like(p) for p in (W, U, b)]
    smooth = np.log(4.0)
    for _ in range(steps):
        h, seen, loss = [np.zeros((3, 1))], [], 0
        for t, letter in enumerate(letters):
            x = np.zeros((3, 1))
            x[letter] = 1
            seen.append(x)
            h.append(np.tanh(W @ x + U @ h[-1] + b))
            loss += 0.5 * np.sum((h[-1] - targets[t]) ** 2)
        smooth = smooth * 0.99 + loss * 0.01
        dW, dU, db = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)
        below = np.zeros((3, 1))
        for t in reversed(range(len(letters))):
            d = (h[t + 1] - targets[t] + below) * (1 - h[t + 1] ** 2)
            dW += d @ seen[t].T
            dU += d @ h[t].T
            db += d
            below = U.T @ d
        for p, dp, m in zip((W, U, b), (dW, dU, db), memory, strict=True):
            np.clip(dp, -5, 5, out=dp)
            m += dp * dp
            p += -0.1 * dp / np.sqrt(m + 1e-8)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_state_is_told_from_codes_and_sums(steps: int) -> None:
    W, U, b = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3)), RNG.normal(size=(3, 1))
    assert all_right(doctor.examine(recurrent, W, U, b, [0, 2, 1], RNG.normal(size=(3, 3, 1)), steps), 3)


def ascent(theta: Any, x: Any, y: Any, sign: float) -> Any:
    p = sigmoid(x @ theta)
    likelihood = np.sum(y * np.log(p) + (1 - y) * np.log(1 - p))
    return theta + sign * 0.1 * x.T @ (y - p), likelihood


def test_a_log_likelihood_grows() -> None:
    assert all_right(doctor.examine(ascent, RNG.normal(size=(3, 1)), X, BITS, 1.0), 1)
    assert not doctor.examine(ascent, RNG.normal(size=(3, 1)), X, BITS, -1.0).ok


def by_hand(W: Any, v: Any, x: Any, y: Any, sign: float) -> None:
    h = np.array([[math.tanh(float(z)) for z in row] for row in x @ W])
    e = h @ v - y
    loss = 0.5 * np.sum(e**2)
    assert loss > 0
    dh = e @ v.T * (1 - h**2)
    v -= 0.1 * h.T @ e
    W -= sign * 0.1 * x.T @ dh


def test_numbers_that_leave_numpy_are_followed_by_running_again() -> None:
    W, v = RNG.normal(size=(3, 2)), RNG.normal(size=(2, 1))
    report = doctor.examine(by_hand, W, v, X, Y[:, :1], 1.0)
    assert all_right(report, 2)
    assert "leave numpy" in " ".join(report.notes)
    assert verdicts(doctor.examine(by_hand, W, v, X, Y[:, :1], -1.0)) == {"W": "wrong", "v": "exact"}


class Checked:
    """Compares its gradient with differences while it trains, and tries a test set."""

    def __init__(self) -> None:
        self.p = {"W": RNG.normal(size=(3, 2))}

    def cost(self, x: Any, y: Any) -> Any:
        return 0.5 * np.mean(np.sum((np.tanh(x @ self.p["W"]) - y) ** 2, axis=1))

    def train(self, x: Any, y: Any, x_test: Any, y_test: Any, slip: int) -> None:
        a = np.tanh(x @ self.p["W"])
        g = x.T @ ((a - y) * (1 - a**slip)) / len(y)
        numeric = np.zeros_like(g)
        for i in np.ndindex(g.shape):
            old = self.p["W"][i]
            self.p["W"][i] = old + 1e-5
            above = self.cost(x, y)
            self.p["W"][i] = old - 1e-5
            numeric[i] = (above - self.cost(x, y)) / 2e-5
            self.p["W"][i] = old
        print(np.linalg.norm(g - numeric))
        self.p["W"] = self.p["W"] - 0.1 * g
        print(self.cost(x_test, y_test))


def test_a_net_that_checks_itself() -> None:
    net = Checked()
    assert all_right(doctor.examine(net.train, X, Y, X[:4] * 2, Y[:4], 2), 1)
    assert not doctor.examine(net.train, X, Y, X[:4] * 2, Y[:4], 1).ok


def margin_rule(w: Any, x: Any, y: Any, rate: float = 0.001) -> None:
    b = 0
    for row, label in zip(x, y, strict=True):
        if label * (row @ w - b) < 1:
            w -= rate * (0.02 * w - row * label)
            b -= rate * label


def test_no_loss_is_made_up_for_a_rule() -> None:
    report = doctor.examine(margin_rule, RNG.normal(size=3), X, 2 * BITS[:, 0] - 1)
    assert "wrong" not in verdicts(report).values()
    assert "could not be checked" in report.summary or report.ok


def adversaries(d: Any, g: Any, real: Any, noise: Any, slip: float) -> Any:
    fake = np.tanh(noise @ g)
    pr, pf = sigmoid(real @ d), sigmoid(fake @ d)
    d_loss = -np.mean(np.log(pr)) - np.mean(np.log(1 - pf))
    d = d - 0.1 * (real.T @ (pr - 1) + fake.T @ pf) / len(real)
    fake = np.tanh(noise @ g)
    pf = sigmoid(fake @ d)
    g_loss = -np.mean(np.log(pf))
    g = g - 0.1 * noise.T @ ((pf - 1) / len(real) @ d.T * (1 - slip * fake**2))
    return d, g, d_loss, g_loss


def test_two_losses_in_one_step() -> None:
    d, g, noise = RNG.normal(size=(3, 1)), RNG.normal(size=(2, 3)), RNG.normal(size=(6, 2))
    assert all_right(doctor.examine(adversaries, d, g, X, noise, 1.0), 2)
    assert verdicts(doctor.examine(adversaries, d, g, X, noise, 0.5)) == {"d": "exact", "g": "wrong"}


class Held:
    """What is kept in slots, in arrays of objects and in queues is put back too, whatever happens."""

    __slots__ = ("W", "layers", "left", "queue", "rng")

    def __init__(self) -> None:
        self.layers = np.empty(1, dtype=object)
        self.layers[0] = RNG.normal(size=(3, 2))
        self.queue = deque([RNG.normal(size=2)])
        self.rng = np.random.default_rng(5)

    def train(self, data: Any, fails: bool) -> None:
        np.random.shuffle(data)
        self.rng.shuffle(data)
        x, y = data[:, :3], data[:, 3:] + 0 * self.rng.normal(size=(len(data), 2))
        self.left = x @ self.layers[0] + self.queue[0]
        loss = np.mean((self.left - y) ** 2)
        d = 2 * (self.left - y) / y.size
        self.layers[0] = self.layers[0] - 0.1 * x.T @ d
        self.queue[0] = self.queue[0] - 0.1 * d.sum(0)
        self.queue.append(loss)
        random.random()
        if fails:
            raise RuntimeError("half-way")


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_put_back(fails: bool) -> None:
    net, data = Held(), np.c_[X, Y]
    layer, first = net.layers[0], net.queue[0]
    kept = [a.copy() for a in (layer, first, data)]
    states = str(np.random.get_state()), random.getstate(), str(net.rng.bit_generator.state)
    report = doctor.examine(net.train, data, fails)
    assert ("half-way" in report.summary) if fails else all_right(report, 2)
    assert net.layers[0] is layer
    assert list(net.queue) == [first]
    assert not hasattr(net, "left")
    assert all(np.array_equal(a, b) for a, b in zip((layer, first, data), kept, strict=True))
    assert type(net.rng) is np.random.Generator
    assert states == (str(np.random.get_state()), random.getstate(), str(net.rng.bit_generator.state))


def plain(w: Any, x: Any, y: Any, rate: float = 0.1) -> Any:
    e = x @ w - y
    loss = np.mean(e**2)
    w -= 2 * rate * x.T @ e / e.size
    return loss


@pytest.mark.parametrize("step", ["0.1 * x.T @ e / n", "(rate / n) * x.T.dot(e)", "np.dot(rate * x.T, e / n)"])
def test_the_rate_wherever_it_stands(step: str, tmp_path: Path) -> None:
    path = tmp_path / "theirs.py"
    path.write_text(f"""import numpy as np
def train(w, x, y, n, rate=0.1):
    e = x @ w - y
    loss = np.sum(e**2) / (2 * n)
    return w - {step}, loss
""")
    space: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), space)
    assert all_right(doctor.examine(space["train"], RNG.normal(size=(3, 2)), X, Y, 6), 1)


def test_of_large_data_a_part_is_used() -> None:
    x = RNG.normal(size=(40_000, 40))
    report = doctor.examine(plain, RNG.normal(size=(40, 2)), x, x[:, :2] + 1)
    assert all_right(report, 1)
    assert "first 256 of 40000 samples" in " ".join(report.notes)
    assert x.flags.writeable


def pixels(W: Any, x: Any, y: Any) -> Any:
    z = x @ W
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    loss = -np.mean(np.log(p[np.arange(6), y] + 1e-8))
    d = p.copy()
    d[np.arange(6), y] -= 1
    return W - 0.01 * x.T @ d / 6, loss


def test_raw_pixels_do_not_blind_it() -> None:
    images = RNG.integers(0, 256, (6, 16)).astype("uint8")
    assert all_right(doctor.examine(pixels, RNG.normal(size=(16, 3)), images, RNG.integers(0, 3, 6)), 1)


def test_what_cannot_be_examined_is_said_in_a_sentence() -> None:
    w = RNG.normal(size=(3, 2))
    with pytest.raises(TypeError, match="is an iterator"):
        doctor.examine(lambda rows: [plain(w, x, y) for x, y in rows], iter([(X, Y)]))
    with pytest.raises(TypeError, match=r"np\.matrix"):
        doctor.examine(plain, w.view(np.matrix), X, Y)
    with pytest.raises(TypeError, match="the class Held"):
        doctor.examine(Held)
    with pytest.raises(ValueError, match="greater than 0"):
        doctor.examine(plain, w, X, Y, lr=0)

    def generator(x: Any) -> Any:
        yield x

    with pytest.raises(TypeError, match="runs nothing yet"):
        doctor.examine(generator, X)
    assert "not all numbers in x are finite" in doctor.examine(plain, w, X * np.nan, Y).summary


def test_gradients_in_nested_containers_and_lists() -> None:
    w = RNG.normal(size=(3, 2))
    g = 2 * X.T @ (X @ w - Y) / Y.size
    loss = lambda p: np.mean((X @ p["layer"][0] - Y) ** 2)
    assert doctor.check_gradients(loss, {"layer": [w]}, {"layer": [g]}).ok
    assert doctor.check_gradients(lambda p: loss({"layer": [p["w"]]}), {"w": w}, {"w": g.tolist()}).ok
    beyond = lambda p: math.exp(-float(loss(p)))
    report = doctor.check_gradients(beyond, {"layer": [w]}, {"layer": [g * -beyond({"layer": [w]})]})
    assert [v.verdict for v in report.parameters] == ["exact"]


def test_a_block_that_ends_early() -> None:
    w = RNG.normal(size=(3, 2))
    with pytest.raises(KeyError), doctor.watch(params={"w": w}) as seen:
        raise KeyError("gone")
    assert "The code itself raises KeyError: 'gone' on line" in seen.report.summary
    with pytest.raises(ValueError), doctor.watch(params={"w": w}) as seen:
        w -= 0.1 * X @ (X @ w - Y)
    assert [f.code for f in seen.report.findings] == ["shapes"]
    with doctor.watch(params={"w": w}) as seen:
        e = X @ w - Y
        loss = np.mean(e**2)
        w -= 0.1 * X.T @ (2 * e / e.size)
    assert loss > 0
    assert seen.report.ok
