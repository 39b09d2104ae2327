"""A cell with four gates unrolled in time: columns stacked, a list of tuples as cache, gradients gathered in a dict."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class LSTM:
    def __init__(self, d, h, rng):
        self.h = h
        self.params = {"W" + gate: rng.normal(size=(h, h + d)) for gate in "fico"}
        self.params |= {"b" + gate: rng.normal(size=(h, 1)) for gate in "fico"}
        self.params |= {"Wy": rng.normal(size=(1, h)), "by": rng.normal(size=(1, 1))}

    def forward(self, xs, ts):
        p = self.params
        h, c = np.zeros((self.h, 1)), np.zeros((self.h, 1))
        cache, loss = [], 0.0
        for x, t in zip(xs, ts, strict=True):
            z = np.vstack((h, x))
            f, i = sigmoid(p["Wf"] @ z + p["bf"]), sigmoid(p["Wi"] @ z + p["bi"])
            g, o = np.tanh(p["Wc"] @ z + p["bc"]), sigmoid(p["Wo"] @ z + p["bo"])
            c_old = c
            c = f * c_old + i * g
            h = o * np.tanh(c)
            y = p["Wy"] @ h + p["by"]
            loss += 0.5 * np.sum((y - t) ** 2)
            cache.append((z, f, i, g, o, c_old, c, h, y, t))
        return loss, cache

    def train(self, xs, ts, lr=0.05):
        loss, cache = self.forward(xs, ts)
        # backward
        p = self.params
        d = {key: np.zeros_like(value) for key, value in p.items()}
        dh_next, dc_next = np.zeros((self.h, 1)), np.zeros((self.h, 1))
        for z, f, i, g, o, c_old, c, h, y, t in reversed(cache):
            dy = y - t
            d["Wy"] += dy @ h.T
            d["by"] += dy
            dh = p["Wy"].T @ dy + dh_next
            tc = np.tanh(c)
            do = dh * tc * o * (1 - o)
            dc = dh * o * (1 - tc**2) + dc_next
            df = dc * c_old * f * (1 - f)
            di = dc * g * i * (1 - i)
            dg = dc * i * (1 - g**2)
            for gate, dgate in (("f", df), ("i", di), ("c", dg), ("o", do)):
                d["W" + gate] += dgate @ z.T
                d["b" + gate] += dgate
            dz = p["Wf"].T @ df + p["Wi"].T @ di + p["Wc"].T @ dg + p["Wo"].T @ do
            dh_next = dz[: self.h]
            dc_next = dc * f
        for key in p:
            p[key] -= lr * d[key]
        return loss


BACKWARD = ("LSTM.train",)


def patient(seed):
    """Call `net.train(xs, ts)`."""
    rng = np.random.default_rng(seed)
    net = LSTM(2, 3, rng)
    xs, ts = [rng.normal(size=(2, 1)) for _ in range(3)], [float(rng.normal()) for _ in range(3)]
    return {
        "call": net.train,
        "args": (xs, ts),
        "slots": [(net.params, key) for key in net.params],
        "cost": lambda xs, ts: net.forward(xs, ts)[0],
        "steps": [(xs, ts)],
        "rate": 0.05,
    }
