"""Word vectors with negative samples: rows picked by index, gradients added at repeated indices, einsum."""

import numpy as np


class SkipGram:
    def __init__(self, words, size, rng):
        self.E = rng.normal(size=(words, size)) * 0.4
        self.C = rng.normal(size=(words, size)) * 0.4
        self.lr = 0.05

    def score(self, centers, contexts, negatives):
        v, u, n = self.E[centers], self.C[contexts], self.C[negatives]
        positive = 1 / (1 + np.exp(-np.sum(v * u, axis=1)))
        negative = 1 / (1 + np.exp(-np.einsum("bd,bkd->bk", v, n)))
        return v, u, n, positive, negative

    def loss(self, centers, contexts, negatives):
        *_, positive, negative = self.score(centers, contexts, negatives)
        return -np.sum(np.log(positive)) - np.sum(np.log(1 - negative))

    def train(self, batches):
        total = 0.0
        for centers, contexts, negatives in batches:
            v, u, n, positive, negative = self.score(centers, contexts, negatives)
            loss = -np.sum(np.log(positive)) - np.sum(np.log(1 - negative))
            total += loss
            # backward
            g_pos = (positive - 1)[:, None]
            g_neg = negative[:, :, None]
            gv = g_pos * u + np.sum(g_neg * n, axis=1)
            gu = g_pos * v
            gn = g_neg * v[:, None, :]
            dE, dC = np.zeros_like(self.E), np.zeros_like(self.C)
            np.add.at(dE, centers, gv)
            np.add.at(dC, contexts, gu)
            np.add.at(dC, negatives.ravel(), gn.reshape(-1, gn.shape[-1]))
            self.E -= self.lr * dE
            self.C -= self.lr * dC
        return total


BACKWARD = ("SkipGram.train",)


def patient(seed):
    """Call `net.train(batches)`."""
    rng = np.random.default_rng(seed)
    net = SkipGram(6, 4, rng)
    batches = [(np.array([0, 1, 1, 3]), rng.integers(0, 6, 4), rng.integers(0, 6, (4, 3))) for _ in range(2)]
    return {
        "call": net.train,
        "args": (batches,),
        "single": (batches[:1],),
        "batch": batches[0],
        "slots": [(net, "E"), (net, "C")],
        "cost": net.loss,
        "steps": batches,
        "rate": 0.05,
    }
