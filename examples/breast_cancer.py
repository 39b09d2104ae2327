"""Write the Wisconsin breast-cancer table as CSV, the input of `python -m nn fit`, and train on it.

Run it: python examples/breast_cancer.py [FILE.csv]. Needs scikit-learn, which ships the table: 569 tumours with 30
measurements each.
"""

import sys

import numpy as np
from sklearn.datasets import load_breast_cancer

import nn
from autodiff import sigmoid
from nn.metrics import accuracy, roc_auc


def write_csv(path: str) -> None:
    """Write the table with a header; the last column, `diagnosis`, is what there is to predict."""
    table = load_breast_cancer()
    labels = table.target_names[table.target]
    with open(path, "w", encoding="utf-8") as file:
        print(*[name.replace(" ", "_") for name in table.feature_names], "diagnosis", sep=",", file=file)
        for row, label in zip(table.data, labels, strict=True):
            print(*row, label, sep=",", file=file)


def train(seed: int = 0) -> tuple[float, float]:
    """Train a 30-16-16-1 network on four fifths of the table; return accuracy and ROC AUC on the rest."""
    table = load_breast_cancer()
    rng = np.random.default_rng(seed)
    (X, Y), (X_rest, Y_rest) = nn.data.split(table.data, table.target[:, None], 0.2, rng)
    scaler = nn.data.Standardizer().fit(X)
    X, X_rest = scaler.transform(X), scaler.transform(X_rest)
    model = nn.MLP([30, 16, 16, 1], activation="tanh", seed=rng)
    optimizer = nn.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)
    nn.train.fit(model, nn.BCEWithLogitsLoss(), optimizer, X, Y, epochs=60, batch_size=32, rng=rng, progress=False)
    p = sigmoid(model(X_rest).data)
    return accuracy(p, Y_rest), roc_auc(p, Y_rest)


if __name__ == "__main__":
    path = next((a for a in sys.argv[1:] if not a.startswith("-")), "breast-cancer.csv")
    write_csv(path)
    print(f"wrote {path}; now: python -m nn fit {path} --target diagnosis")
    scores = [train(seed) for seed in range(3)]
    for seed, (hits, auc) in enumerate(scores):
        print(f"seed {seed}: validation accuracy {hits:.3f}, ROC AUC {auc:.4f}")
    sys.exit(min(hits for hits, _ in scores) < 0.95)
