"""Pages for the tests, and what a browser would read in them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

import nn
from autodiff import Tensor, no_grad, record_sources
from autodiff.draw.page.recording import Recording

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = np.array([[0.0], [1.0], [1.0], [0.0]])
HOSTILE = (
    "<b>bold</b>",
    "\"quoted\" 'name'",
    "{|} \\ ]]>",
    "</script><script>document.title='taken'</script>",
    "<!--<script>",
    "a\nb\u202e\u0000c",
    "{{picture}} {{data}} {{script}}",
    "&lt;&#60;",
    "n" * 10_000,
)


def network(seed: int = 1) -> nn.MLP:
    return nn.MLP([2, 5, 5, 1], activation="sigmoid", output="sigmoid", seed=seed)


def xor_loss(model: nn.Module) -> Tensor:
    with record_sources():
        loss = nn.BCELoss()(model(Tensor(X, name="x")), Tensor(Y, name="target"))
    loss.name = "loss"
    loss.backward()
    return loss


def recorded(epochs: int, every: int = 50) -> Recording:
    """Train the net on XOR and record it."""
    model = network()
    optimizer = nn.optim.SGD(model.parameters(), lr=2.0)
    line = np.linspace(-0.15, 1.15, 20)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    found = Recording(title="XOR", points=X, labels=Y, extent=(-0.15, 1.15, -0.15, 1.15))
    for epoch in range(epochs):
        model.zero_grad()
        loss = xor_loss(model)
        if epoch % every == 0:
            with no_grad():
                p = model(grid).data.reshape(20, 20)
            found.add(loss, epoch=epoch, figures={"loss": float(loss.data)}, probabilities=p)
        optimizer.step()
    return found


def data_of(page: str) -> dict[str, Any]:
    """Return the data of a page."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    found: dict[str, Any] = json.loads(text)
    return found


def hashes(page: str) -> tuple[set[str], set[str]]:
    """Return the hashes that the policy of a page allows, and those of its styles and scripts."""
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    inline = re.findall(r"<style>(.*?)</style>", page, re.DOTALL) + re.findall(
        r"<script>(.*?)</script>", page, re.DOTALL
    )
    own = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline}
    return set(re.findall(r"'sha256-([^']*)'", policy[1])), own


def written(page: Path) -> str:
    return page.read_text(encoding="utf-8")
