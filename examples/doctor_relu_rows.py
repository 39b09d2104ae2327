"""ReLU and sigmoid on XOR, one sample per row, whose output stays at a half: the doctor finds two faults, and a third.

The sigmoid's slope is taken at its output, the gradients are not divided by the number of samples, and without
biases the sample (0, 0) can give nothing but 1/2.

Run it: python examples/doctor_relu_rows.py [--quick]
"""

import sys

import numpy as np

from autodiff import doctor

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
Y = np.array([[0], [1], [1], [0]])


def relu(z):
    return np.maximum(0, z)


def relu_slope(z):
    return np.where(z > 0, 1, 0)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def sigmoid_slope(z):
    return sigmoid(z) * (1 - sigmoid(z))


def cross_entropy(target, p):
    return np.mean(-(target * np.log(p) + (1 - target) * np.log(1 - p)))


def cross_entropy_slope(target, p):
    return np.where(target == 1, -1 / p, 1 / (1 - p))


class Network:
    def __init__(self, inputs, hidden, outputs, rate=0.1):
        self.rate = rate
        self.w_in = np.random.uniform(size=(inputs, hidden))
        self.w_out = np.random.uniform(size=(hidden, outputs))

    def forward(self, x):
        self.hidden = relu(np.dot(x, self.w_in))
        return sigmoid(np.dot(self.hidden, self.w_out))

    def backward(self, x, target, p):
        delta = cross_entropy_slope(target, p) * sigmoid_slope(p)
        hidden_delta = delta.dot(self.w_out.T) * relu_slope(self.hidden)
        self.w_out -= self.rate * self.hidden.T.dot(delta)
        self.w_in -= self.rate * x.T.dot(hidden_delta)

    def train(self, x, target, epochs):
        for epoch in range(epochs):
            p = self.forward(x)
            loss = cross_entropy(target, p)
            self.backward(x, target, p)
            print(f"epoch {epoch}: {loss:.4f}")


if __name__ == "__main__":
    np.random.seed(0)
    net = Network(2, 4, 1)
    print(doctor.examine(net.train, X, Y, 1))
    if "--quick" not in sys.argv:
        print()
        print(doctor.prognosis(net.train, X, Y, 2000))
