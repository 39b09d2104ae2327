"""A character model unrolled in time: global arrays, one-hot columns, softmax, gradients gathered step by step."""

# ruff: noqa: B905, N802

import numpy as np

hidden_size = 4
vocab_size = 3
learning_rate = 0.1
Wxh = np.zeros((hidden_size, vocab_size))
Whh = np.zeros((hidden_size, hidden_size))
Why = np.zeros((vocab_size, hidden_size))
bh = np.zeros((hidden_size, 1))
by = np.zeros((vocab_size, 1))


def lossFun(inputs, targets, hprev):
    xs, hs, ys, ps = {}, {}, {}, {}
    hs[-1] = np.copy(hprev)
    loss = 0
    for t in range(len(inputs)):
        xs[t] = np.zeros((vocab_size, 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        ys[t] = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(ys[t]) / np.sum(np.exp(ys[t]))
        loss += -np.log(ps[t][targets[t], 0])
    # backward
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWhy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.dot(dhraw, xs[t].T)
        dWhh += np.dot(dhraw, hs[t - 1].T)
        dhnext = np.dot(Whh.T, dhraw)
    return loss, dWxh, dWhh, dWhy, dbh, dby


def train(inputs, targets, hprev):
    loss, dWxh, dWhh, dWhy, dbh, dby = lossFun(inputs, targets, hprev)
    # backward
    for param, dparam in zip([Wxh, Whh, Why, bh, by], [dWxh, dWhh, dWhy, dbh, dby]):
        param += -learning_rate * dparam
    return loss


BACKWARD = ("lossFun", "train")


def patient(seed):
    """Call `train(inputs, targets, hprev)`."""
    rng = np.random.default_rng(seed)
    names = ("Wxh", "Whh", "Why", "bh", "by")
    for name in names:
        globals()[name] = rng.normal(size=globals()[name].shape)
    inputs, targets = [0, 2, 1, 1], [2, 1, 1, 0]
    hprev = rng.normal(size=(hidden_size, 1))
    return {
        "call": train,
        "args": (inputs, targets, hprev),
        "slots": [(globals(), name) for name in names],
        "cost": lambda *args: lossFun(*args)[0],
        "steps": [(inputs, targets, hprev)],
        "rate": 0.1,
    }
