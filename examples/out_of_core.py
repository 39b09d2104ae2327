"""Train on data larger than the memory of the processes that work on it: Dask arrays inside Tensors, two workers.

A Tensor holds any array that speaks numpy's protocols. On a Dask array every operation, forward and backward, only adds
to a plan; one `dask.compute` then runs the plan chunk by chunk, for the loss and all gradients together. The parameters
are small and stay numpy arrays.

Install the extra first: pip install "nablagraph[dask]". Run it: python examples/out_of_core.py [--quick].
"""

import sys

import nn
from autodiff import no_grad

try:
    import dask
    import dask.array as da
    from distributed import Client, LocalCluster
except ImportError as error:
    print(f'{error.name} is missing; install it with pip install "nablagraph[dask]"')
    sys.exit()

FEATURES = 24
CHUNK = 40_000  # rows, 7.7 MB
BATCH = 5  # chunks in a step


def make_data(chunks: int) -> tuple[da.Array, da.Array]:
    """Points inside and outside a circle, among features that mean nothing; drawn when a worker needs a chunk."""
    x = da.random.default_rng(0).normal(size=(chunks * CHUNK, FEATURES), chunks=(CHUNK, FEATURES))
    y = (x[:, :1] ** 2 + x[:, 1:2] ** 2 > 1.4).astype(float)
    return x, y


def train(model: nn.Module, x: da.Array, y: da.Array, epochs: int) -> list[float]:
    """Take a gradient step for every few chunks; return the losses."""
    criterion = nn.BCEWithLogitsLoss()
    parameters = list(model.parameters())
    optimizer = nn.optim.Adam(parameters, lr=0.1)
    losses = []
    for _ in range(epochs):
        for first in range(0, x.numblocks[0], BATCH):
            batch = slice(first, first + BATCH)
            optimizer.zero_grad()
            loss = criterion(model(x.blocks[batch]), y.blocks[batch])
            loss.backward()
            value, *gradients = dask.compute(loss.data, *[p.grad for p in parameters])
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
            losses.append(float(value))
    return losses


def main() -> None:
    """Train on a cluster of two processes on this machine."""
    quick = "--quick" in sys.argv
    limit = 300 * 2**20
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=limit, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster),
    ):
        x, y = make_data(chunks=2 if quick else 50)
        model = nn.MLP([FEATURES, 8, 1], activation="tanh", seed=0)
        losses = train(model, x, y, epochs=5)
        with no_grad():
            right = ((model(x).data > 0) == y).mean().compute()
    print(f"{x.nbytes / 2**20:.0f} MB of data, {limit / 2**20:.0f} MB of memory for each worker")
    print(f"loss {losses[0]:.3f} at first, {losses[-1]:.3f} after {len(losses)} steps; {right:.1%} right")
    sys.exit(losses[-1] >= losses[0])


if __name__ == "__main__":
    main()
