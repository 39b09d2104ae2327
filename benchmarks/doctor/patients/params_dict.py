"""Parameters, cache and gradients in dictionaries, a function for each phase: column-major, tanh then sigmoid."""

import numpy as np


def initialize_parameters(n_x, n_h, n_y, rng):
    return {
        "W1": rng.normal(size=(n_h, n_x)),
        "b1": np.zeros((n_h, 1)),
        "W2": rng.normal(size=(n_y, n_h)),
        "b2": np.zeros((n_y, 1)),
    }


def forward_propagation(X, parameters):
    Z1 = parameters["W1"] @ X + parameters["b1"]
    A1 = np.tanh(Z1)
    Z2 = parameters["W2"] @ A1 + parameters["b2"]
    A2 = 1 / (1 + np.exp(-Z2))
    cache = {"Z1": Z1, "A1": A1, "Z2": Z2, "A2": A2}
    return A2, cache


def compute_cost(A2, Y):
    m = Y.shape[1]
    logprobs = np.multiply(np.log(A2), Y) + np.multiply(np.log(1 - A2), 1 - Y)
    return -np.sum(logprobs) / m


def backward_propagation(parameters, cache, X, Y):
    m = X.shape[1]
    W2 = parameters["W2"]
    A1 = cache["A1"]
    A2 = cache["A2"]
    dZ2 = A2 - Y
    dW2 = (1 / m) * np.dot(dZ2, A1.T)
    db2 = (1 / m) * np.sum(dZ2, axis=1, keepdims=True)
    dZ1 = np.multiply(np.dot(W2.T, dZ2), 1 - np.power(A1, 2))
    dW1 = (1 / m) * np.dot(dZ1, X.T)
    db1 = (1 / m) * np.sum(dZ1, axis=1, keepdims=True)
    return {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2}


def update_parameters(parameters, grads, learning_rate=0.5):
    for key in ("W1", "b1", "W2", "b2"):
        parameters[key] = parameters[key] - learning_rate * grads["d" + key]
    return parameters


def nn_model(parameters, X, Y, num_iterations=3, print_cost=False):
    for i in range(num_iterations):
        A2, cache = forward_propagation(X, parameters)
        cost = compute_cost(A2, Y)
        grads = backward_propagation(parameters, cache, X, Y)
        parameters = update_parameters(parameters, grads)
        if print_cost and i % 1000 == 0:
            print("Cost after iteration %i: %f" % (i, cost))  # noqa: UP031
    return parameters


BACKWARD = ("backward_propagation", "update_parameters")


def patient(seed):
    """Call `nn_model(parameters, X, Y, 3, True)`."""
    rng = np.random.default_rng(seed)
    parameters = initialize_parameters(2, 4, 1, rng)
    X = rng.normal(size=(2, 9))
    Y = (X[:1] * X[1:] > 0).astype(int)
    return {
        "call": nn_model,
        "args": (parameters, X, Y, 3, True),
        "single": (parameters, X, Y, 1, True),
        "slots": [(parameters, key) for key in ("W1", "b1", "W2", "b2")],
        "cost": lambda X, Y: compute_cost(forward_propagation(X, parameters)[0], Y),
        "steps": [(X, Y)] * 3,
        "rate": 0.5,
    }
