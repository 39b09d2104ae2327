"""Hand-written numpy, run on Tensors without changing one character of it: the gradients come from the graph.

The class below is plain numpy, as people write it: one sample per column, np.dot, 1/(1+np.exp(-z)). It has no backward
pass. Putting Tensors where its arrays were is all that it takes.

Run it: python examples/your_numpy_code.py
"""

import numpy as np

from autodiff import Tensor


class Network:
    def __init__(self, sizes, rng):
        self.weights = [rng.normal(size=(n, m)) / np.sqrt(m) for m, n in zip(sizes, sizes[1:])]
        self.biases = [np.zeros((n, 1)) for n in sizes[1:]]

    def sigmoid(self, z):
        return 1 / (1 + np.exp(-z))

    def forward(self, x):
        a = x
        for w, b in zip(self.weights, self.biases):
            z = np.dot(w, a) + b
            a = self.sigmoid(z)
        return a

    def cost(self, x, y):
        p = self.forward(x)
        return np.mean(-(y * np.log(p) + (1 - y) * np.log(1 - p)))


x = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
y = np.array([[0, 1, 1, 0]])


def train(net: Network, lr: float, epochs: int) -> float:
    """Train somebody's network by gradients from the graph; return the last cost."""
    # From here on the network holds Tensors; its own code does not know.
    net.weights = [Tensor(w, requires_grad=True) for w in net.weights]
    net.biases = [Tensor(b, requires_grad=True) for b in net.biases]
    for _ in range(epochs):
        cost = net.cost(x, y)
        cost.backward()
        for parameter in net.weights + net.biases:
            parameter.data -= lr * parameter.grad
            parameter.zero_grad()
    return float(cost)


def numeric_gradient(net: Network, w: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Central differences of the cost by every element of `w`, on plain arrays."""
    gradient = np.zeros_like(w)
    for i in np.ndindex(w.shape):
        kept = w[i]
        w[i] = kept + step
        above = net.cost(x, y)
        w[i] = kept - step
        gradient[i] = (above - net.cost(x, y)) / (2 * step)
        w[i] = kept
    return gradient


if __name__ == "__main__":
    net = Network([2, 5, 5, 1], np.random.default_rng(0))
    wanted = numeric_gradient(net, net.weights[0])
    arrays = net.weights
    net.weights = [Tensor(w, requires_grad=True) for w in arrays]
    net.cost(x, y).backward()
    print(f"gradient of the first weights, graph against differences: {np.abs(net.weights[0].grad - wanted).max():.1e}")
    net.weights = arrays
    print(f"cost before {net.cost(x, y):.4f}, after {train(net, lr=2.0, epochs=3000):.4f}")
    for inputs, target, p in zip(x.T, y[0], net.forward(x).data[0]):
        print(f"{inputs} -> {target}: {p:.3f}")
