"""All parameters in one flat vector: unpacked by slices, the gradient packed by np.concatenate, the result returned."""

import numpy as np

SIZES = (3, 4, 1)


def unpack(theta):
    n0, n1, n2 = SIZES
    k = n0 * n1
    W1 = theta[:k].reshape(n0, n1)
    b1 = theta[k : k + n1]
    W2 = theta[k + n1 : k + n1 + n1 * n2].reshape(n1, n2)
    b2 = theta[k + n1 + n1 * n2 :]
    return W1, b1, W2, b2


def predict(theta, X):
    W1, b1, W2, b2 = unpack(theta)
    A = 1 / (1 + np.exp(-(X @ W1 + b1)))
    return A, 1 / (1 + np.exp(-(A @ W2 + b2)))


def cost_of(theta, X, y):
    P = predict(theta, X)[1]
    return -np.sum(y * np.log(P) + (1 - y) * np.log(1 - P)) / len(X)


def cost_and_gradient(theta, X, y):
    W2 = unpack(theta)[2]
    A, P = predict(theta, X)
    m = len(X)
    J = -np.sum(y * np.log(P) + (1 - y) * np.log(1 - P)) / m
    # backward
    D2 = (P - y) / m
    D1 = (D2 @ W2.T) * A * (1 - A)
    gW2 = A.T @ D2
    gW1 = X.T @ D1
    gradient = np.concatenate([gW1.ravel(), D1.sum(0), gW2.ravel(), D2.sum(0)])
    return J, gradient


def descend(theta, X, y, alpha, iterations):
    for _ in range(iterations):
        J, gradient = cost_and_gradient(theta, X, y)
        # backward
        theta = theta - alpha * gradient
    return theta, J


BACKWARD = ("cost_and_gradient", "descend")


def patient(seed):
    """Call `descend(theta, X, y, 0.3, 2)`."""
    rng = np.random.default_rng(seed)
    held = {"theta": rng.normal(size=21)}
    X, y = rng.normal(size=(6, 3)), (rng.random((6, 1)) > 0.5) * 1.0
    return {
        "call": descend,
        "args": (held["theta"], X, y, 0.3, 2),
        "single": (held["theta"], X, y, 0.3, 1),
        "slots": [(held, "theta")],
        "returned": 1,
        "cost": lambda X, y: cost_of(held["theta"], X, y),
        "steps": [(X, y)] * 2,
        "rate": 0.3,
    }
