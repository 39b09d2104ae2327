"""A 2-5-5-1 sigmoid network, one sample per column, that does not learn: the doctor says why.

Three things are wrong with it: the bias gradients are not summed over the samples, no gradient is divided by their
number, though the cost is, and the learning rate falls as 1/epoch.

Run it: python examples/doctor_sigmoid_columns.py [--quick]
"""

import sys

import numpy as np

from autodiff import doctor


class Dense:
    def __init__(self, units, inputs):
        self.weights = np.random.rand(units, inputs)
        self.bias = np.random.rand(units, 1)


class Network:
    def __init__(self):
        self.first, self.second, self.last = Dense(5, 2), Dense(5, 5), Dense(1, 5)

    def squash(self, z):
        return 1 / (1 + np.exp(-z))

    def squash_slope(self, a):
        return a * (1 - a)

    def cost(self, out, target):
        m = target.shape[1]
        return np.squeeze(-(np.dot(target, np.log(out).T) + np.dot(1 - target, np.log(1 - out).T)) / m)

    def cost_slope(self, out, target):
        return (1 - target) / (1 - out) - target / out

    def train(self, x, target, epochs):
        for epoch in range(1, epochs + 1):
            a1 = self.squash(np.dot(self.first.weights, x) + self.first.bias)
            a2 = self.squash(np.dot(self.second.weights, a1) + self.second.bias)
            a3 = self.squash(np.dot(self.last.weights, a2) + self.last.bias)
            self.error = self.cost(a3, target)

            delta3 = self.cost_slope(a3, target) * self.squash_slope(a3)
            delta2 = np.dot(self.last.weights.T, delta3) * self.squash_slope(a2)
            delta1 = np.dot(self.second.weights.T, delta2) * self.squash_slope(a1)
            bias_step3 = delta3
            bias_step2 = delta2
            bias_step1 = delta1

            self.last.weights -= 1 / epoch * np.dot(delta3, a2.T)
            self.second.weights -= 1 / epoch * np.dot(delta2, a1.T)
            self.first.weights -= 1 / epoch * np.dot(delta1, x.T)
            self.last.bias -= 1 / epoch * bias_step3
            self.second.bias -= 1 / epoch * bias_step2
            self.first.bias -= 1 / epoch * bias_step1


if __name__ == "__main__":
    np.random.seed(0)
    net = Network()
    x = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
    y = np.array([[0, 1, 1, 0]])
    print(doctor.examine(net.train, x, y, 1))
    if "--quick" not in sys.argv:
        print()
        print(doctor.prognosis(net.train, x, y, 2000))
