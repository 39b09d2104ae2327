"""The nodes sorted into their layers, nested as the modules are."""

from __future__ import annotations

from dataclasses import dataclass, field

from autodiff.draw.model import Model


@dataclass(slots=True)
class Cluster:
    """The nodes of one layer, in reading order, and the layers inside it by name."""

    path: tuple[str, ...]
    nodes: list[str] = field(default_factory=list)
    children: dict[str, Cluster] = field(default_factory=dict)


def clusters(model: Model) -> Cluster:
    """Sort the nodes into their layers; the root cluster holds those outside all layers."""
    root = Cluster(())
    for key, node in model.nodes.items():
        cluster = root
        for depth, name in enumerate(node.scope, 1):
            cluster = cluster.children.setdefault(name, Cluster(node.scope[:depth]))
        cluster.nodes.append(key)
    return root


def common(scopes: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the longest path that all scopes begin with."""
    first, last = min(scopes), max(scopes)
    shared = 0
    for a, b in zip(first, last, strict=False):
        if a != b:
            break
        shared += 1
    return first[:shared]
