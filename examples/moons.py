"""Two interleaved half moons, and the decision boundary that a small network draws between them.

Run it: python examples/moons.py [FILE.png]. Needs scikit-learn and matplotlib.
"""

import sys

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons

import nn
from autodiff import sigmoid

if __name__ == "__main__":
    path = next((a for a in sys.argv[1:] if not a.startswith("-")), "moons.png")
    X, labels = make_moons(400, noise=0.2, random_state=0)
    Y = labels[:, None].astype(float)
    rng = np.random.default_rng(0)
    model = nn.MLP([2, 16, 16, 1], activation="tanh", seed=rng)
    optimizer = nn.optim.Adam(model.parameters(), lr=0.01)
    nn.train.fit(model, nn.BCEWithLogitsLoss(), optimizer, X, Y, epochs=60, batch_size=32, rng=rng, progress=False)
    hits = float(np.mean((model(X).data > 0) == Y))

    x1, x2 = np.meshgrid(np.linspace(-2, 3, 200), np.linspace(-1.5, 2, 150))
    p = sigmoid(model(np.stack([x1.ravel(), x2.ravel()], axis=1)).data).reshape(x1.shape)
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    shades = axes.contourf(x1, x2, p, levels=20, cmap="cividis", vmin=0, vmax=1)
    axes.contour(x1, x2, p, levels=[0.5], colors="white")
    for label, marker in ((0, "o"), (1, "^")):
        axes.scatter(*X[labels == label].T, marker=marker, edgecolor="black", label=f"class {label}", s=25)
    figure.colorbar(shades, label="probability of class 1")
    axes.set(title=f"accuracy {hits:.1%}", xlabel="x₁", ylabel="x₂")
    axes.legend()
    figure.savefig(path, dpi=120)
    print(f"accuracy {hits:.3f}; the decision boundary is in {path}")
    sys.exit(hits < 0.95)
