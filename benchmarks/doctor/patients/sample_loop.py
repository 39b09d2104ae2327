"""One sample at a time with summed gradients in lists, quadratic cost never computed, weights rebuilt as lists."""

# ruff: noqa: B905, RUF007

import numpy as np


class Network:
    def __init__(self, sizes):
        self.num_layers = len(sizes)
        self.sizes = sizes
        self.biases = [np.random.randn(y, 1) for y in sizes[1:]]
        self.weights = [np.random.randn(y, x) for x, y in zip(sizes[:-1], sizes[1:])]

    def feedforward(self, a):
        for b, w in zip(self.biases, self.weights):
            a = sigmoid(np.dot(w, a) + b)
        return a

    def update_mini_batch(self, mini_batch, eta):
        nabla_b = [np.zeros(b.shape) for b in self.biases]
        nabla_w = [np.zeros(w.shape) for w in self.weights]
        for x, y in mini_batch:
            delta_nabla_b, delta_nabla_w = self.backprop(x, y)
            nabla_b = [nb + dnb for nb, dnb in zip(nabla_b, delta_nabla_b)]
            nabla_w = [nw + dnw for nw, dnw in zip(nabla_w, delta_nabla_w)]
        self.weights = [w - (eta / len(mini_batch)) * nw for w, nw in zip(self.weights, nabla_w)]
        self.biases = [b - (eta / len(mini_batch)) * nb for b, nb in zip(self.biases, nabla_b)]

    def backprop(self, x, y):
        nabla_b = [np.zeros(b.shape) for b in self.biases]
        nabla_w = [np.zeros(w.shape) for w in self.weights]
        activation = x
        activations = [x]
        zs = []
        for b, w in zip(self.biases, self.weights):
            z = np.dot(w, activation) + b
            zs.append(z)
            activation = sigmoid(z)
            activations.append(activation)
        # backward
        delta = self.cost_derivative(activations[-1], y) * sigmoid_prime(zs[-1])
        nabla_b[-1] = delta
        nabla_w[-1] = np.dot(delta, activations[-2].transpose())
        for i in range(2, self.num_layers):
            z = zs[-i]
            sp = sigmoid_prime(z)
            delta = np.dot(self.weights[-i + 1].transpose(), delta) * sp
            nabla_b[-i] = delta
            nabla_w[-i] = np.dot(delta, activations[-i - 1].transpose())
        return nabla_b, nabla_w

    def cost_derivative(self, output_activations, y):
        return output_activations - y


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def sigmoid_prime(z):
    return sigmoid(z) * (1 - sigmoid(z))


BACKWARD = (
    "Network.update_mini_batch", "Network.backprop", "Network.cost_derivative", "sigmoid_prime",
)  # fmt: skip


def patient(seed):
    """Call `net.update_mini_batch(batch, 0.6)`; the loss is half the squared error, the rate 0.6."""
    np.random.seed(seed)
    net = Network([3, 4, 4, 2])
    batch = [(np.random.randn(3, 1), np.random.rand(2, 1)) for _ in range(5)]

    def cost(batch):
        return sum(0.5 * np.sum((net.feedforward(x) - y) ** 2) for x, y in batch) / len(batch)

    return {
        "call": net.update_mini_batch,
        "args": (batch, 0.6),
        "slots": [(net, "weights", i) for i in range(3)] + [(net, "biases", i) for i in range(3)],
        "cost": cost,
        "steps": [(batch,)],
        "rate": 0.6,
        "lr": 0.6,
        "loss": "half_mse",
    }
