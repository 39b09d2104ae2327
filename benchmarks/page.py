"""What a page costs: kilobytes with 100 frames of the 2-5-5-1 net on XOR, and milliseconds until it can be used.

    python benchmarks/page.py [--rounds 5] [--write FOLDER]

The browser is the Chromium on the PATH, driven by Playwright (pip install playwright); a page can be used from the end
of DOMContentLoaded on, as its script runs before that. With --write the pages are kept, with screenshots of each in
light and dark.
"""

from __future__ import annotations

import one_core  # isort: skip

import argparse
import shutil
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from machine import describe

import nn
from autodiff import Tensor

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = np.array([[0.0], [1.0], [1.0], [0.0]])
READY = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description="Size of the page and time until it can be used.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    where = one_core.pin()
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as running:
        folder = options.write or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        pages = {"one step": step(folder / "step.html"), "100 frames": training(folder / "training.html")}
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        print(f"{'':12} {'kB':>7} {'usable after':>13}")
        for name, path in pages.items():
            times = [opened(browser, path) for _ in range(options.rounds + 1)]
            print(f"{name:12} {path.stat().st_size / 1000:7.1f} {median(times[1:]):10.0f} ms")
            for scheme in ("light", "dark") if options.write else ():
                page = browser.new_page(viewport={"width": 1500, "height": 1000}, color_scheme=scheme)
                page.goto(path.resolve().as_uri())
                page.screenshot(path=folder / f"{path.stem}-{scheme}.png", full_page=True)
        browser.close()
    print(f"\n{describe()}; {where}")


def step(path: Path) -> Path:
    model = nn.MLP([2, 5, 5, 1], activation="sigmoid", output="sigmoid", seed=0)
    loss = nn.BCELoss()(model(Tensor(X, name="x")), Tensor(Y, name="target"))
    loss.backward()
    return loss.graph().html(path)


def training(path: Path) -> Path:
    model = nn.MLP([2, 5, 5, 1], activation="sigmoid", output="sigmoid", seed=0)
    optimizer = nn.optim.SGD(model.parameters(), lr=2.0)
    history = nn.train.fit(model, nn.BCELoss(), optimizer, X, Y, epochs=4950, record=50, progress=False)
    assert len(history.recording) == 100
    return history.html(path)


def opened(browser: Any, path: Path) -> float:
    """Return how long a page takes until it can be used, in milliseconds, in a window without any cache."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(path.resolve().as_uri())
    found = float(page.evaluate(READY))
    context.close()
    return found


if __name__ == "__main__":
    main()
