"""A network that stops with an error: the number of samples is a whole shape. The doctor says which line makes it one.

Run it: python examples/doctor_shape_for_number.py
"""

import numpy as np

from autodiff import doctor


class Network:
    def __init__(self):
        self.weights = [np.random.rand(5, 2), np.random.rand(1, 5)]
        self.biases = [np.random.rand(5, 1), np.random.rand(1, 1)]

    def sigmoid(self, z):
        return 1 / (1 + np.exp(-z))

    def cost(self, out, labels):
        m = labels.shape
        return -1 / m * np.sum(labels * np.log(out) + (1 - labels) * np.log(1 - out))

    def train(self, inputs, labels, epochs, rate=0.5):
        for _ in range(epochs):
            hidden = self.sigmoid(np.dot(self.weights[0], inputs) + self.biases[0])
            out = self.sigmoid(np.dot(self.weights[1], hidden) + self.biases[1])
            self.loss = self.cost(out, labels)
            delta = (out - labels) / labels.shape[1]
            back = np.dot(self.weights[1].T, delta) * hidden * (1 - hidden)
            self.weights[1] -= rate * np.dot(delta, hidden.T)
            self.biases[1] -= rate * np.sum(delta, axis=1, keepdims=True)
            self.weights[0] -= rate * np.dot(back, inputs.T)
            self.biases[0] -= rate * np.sum(back, axis=1, keepdims=True)


if __name__ == "__main__":
    np.random.seed(0)
    net = Network()
    x = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
    y = np.array([[0, 1, 1, 0]])
    print(doctor.examine(net.train, x, y, 1))
