"""Logistic regression with a vector of weights, labels of shape (n,), and a bias that starts as the number 0."""

import numpy as np


class LogisticRegression:
    def __init__(self, learning_rate=0.1, n_iters=1):
        self.lr = learning_rate
        self.n_iters = n_iters
        self.weights = None
        self.bias = None

    def start(self, X, rng):
        self.weights = rng.normal(size=X.shape[1])
        self.bias = 0.0

    def predict_proba(self, X):
        return 1 / (1 + np.exp(-(np.dot(X, self.weights) + self.bias)))

    def loss(self, p, y):
        return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))

    def fit(self, X, y):
        n_samples, _ = X.shape
        for _ in range(self.n_iters):
            y_predicted = self.predict_proba(X)
            self.cost = self.loss(y_predicted, y)
            # backward
            dw = (1 / n_samples) * np.dot(X.T, (y_predicted - y))
            db = (1 / n_samples) * np.sum(y_predicted - y)
            self.weights -= self.lr * dw
            self.bias -= self.lr * db


BACKWARD = ("LogisticRegression.fit",)


def patient(seed):
    """Call `model.fit(X, y)`."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(9, 3))
    y = (X.sum(axis=1) > 0).astype(int)
    model = LogisticRegression()
    model.start(X, rng)
    return {
        "call": model.fit,
        "args": (X, y),
        "slots": [(model, "weights"), (model, "bias")],
        "cost": lambda X, y: model.loss(model.predict_proba(X), y),
        "rate": 0.1,
    }
