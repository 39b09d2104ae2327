"""What a printed program takes from outside, and what that is called."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from autodiff.compile.listing.ledger import Ledger
from autodiff.compile.listing.names import argument_names, common_name, state_names, tensor_paths
from autodiff.compile.listing.outline import Outline, key_of, within
from autodiff.compile.listing.page import Page
from autodiff.compile.plan.flatten import pack
from autodiff.compile.record.places import Kept, Place

if TYPE_CHECKING:
    from autodiff.compile.record.recording import Recording


class Intake:
    """Notes what a recording will forget, and names it later.

    Attributes
    ----------
    arguments : list of str
        Names of the arguments, one for each array; there once it is `read`, as is the next.
    numbers : dict of str to Place
        Numbers that are put back in their places, by name.
    local : list of tuple
        Memory that several values share and nobody else sees: a name and an array for each.
    """

    def __init__(self, recording: Recording, kept: list[Kept], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._tape = recording.tape
        self._kept = kept
        self._read = dict(recording.read)
        self._left = list(recording.numbers)
        tensors = tensor_paths(recording.boxes)
        places = [place for one in kept for member in (one.members or [one]) for place in member.places[:1]]
        places += [*self._read.values(), *self._left]
        self._ways = {id(place.box): tensors.get(id(place.box.holder), "") for place in places}
        names = argument_names(recording.function, args, kwargs)
        if len(names) != len(self._tape.arguments):
            names = [f"x{i}" for i in range(len(self._tape.arguments))]
        self._names = dict(zip(reversed(self._tape.arguments), reversed(names), strict=True))

    def read(self, outline: Outline, ledger: Ledger, page: Page) -> None:
        """Give names to everything."""
        self._outline, self._ledger, self._page = outline, ledger, page
        self.arguments = []
        for value in dict.fromkeys(self._tape.arguments):
            self.arguments.append(ledger.names.unique(self._names[value]))
            ledger.stand(self.arguments[-1], value)
        self._read = {value: place for value, place in self._read.items() if value in outline.last}
        self._paths = self._written_paths()
        names = state_names([*dict.fromkeys(self._paths.values())])
        self._short = {path: f"d_{name[:-5]}" if name.endswith("_grad") else name for path, name in names.items()}
        memory = outline.plan.memory
        packs = [line.result for line in outline.calls if line.function is pack and line.result in memory]
        self._packed: list[tuple[Any, Any, list[Kept]]] = [(v, memory[v], []) for v in packs]
        for one, final in zip(self._kept, self._tape.finals, strict=True):
            self._take(one, final)
        self._pack()
        for value, place in self._read.items():
            ledger.stand(ledger.input(self._name(value), partial(found, place)), value)
        self.numbers = {self._name(place): place for place in self._left}

    def _written_paths(self) -> dict[Any, str]:
        """How a person would write each place, by who stands there."""
        paths: dict[Any, str] = {}
        for one in self._kept:
            for member in one.members or [one]:
                default = member.value.name if member.value else ""
                paths[id(member)] = (self._path(member.places[0]) if member.places else default) or "state"
        for who, place in (*self._read.items(), *((place, place) for place in self._left)):
            paths[who] = self._path(place) or "state"
        return paths

    def _path(self, place: Place) -> str:
        """Write where an array is kept: a Tensor's by the way to it that reads best."""
        known = self._ways.get(id(place.box))
        return (f"{known}.{place.key}" if place.key == "grad" else known) if known else str(place)

    def _name(self, who: Any) -> str:
        return self._short[self._paths[who]]

    def _take(self, kept: Kept, final: Any) -> None:
        """Take in an array that the run leaves changed."""
        outline, ledger, array = self._outline, self._ledger, kept.array
        for _, flat, inside in self._packed:
            if not kept.members and within(array, flat):
                inside.append(kept)
                outline.titles[final] = self._name(id(kept))
                return
        if kept.members:
            keys = {place.key for member in kept.members for place in member.places[:1]}
            paths = [self._paths[id(member)] for member in kept.members]
            stem = "parameters" if keys == {"_data"} else common_name(paths, "state")
        else:
            stem = self._name(id(kept))
        name = ledger.input(stem, lambda: array)
        ledger.root(name, array)
        if kept.value is not None:
            ledger.stand(name, kept.value, array)
        at = outline.plan.memory.get(final)
        outline.titles[final] = name if at is not None and key_of(at) == key_of(array) else f"new_{name}"
        members = [
            (m.value, self._name(id(m))) for m in kept.members if m.value is not None and m.value in outline.last
        ]
        if members:
            self._page.note(f"{name}, one after the other")
        for value, stem in members:
            view = ledger.names.unique(stem)
            self._page.add(f"{view} = {ledger.wording.call(outline.views[value])}")
            ledger.stand(view, value, outline.plan.memory[value])

    def _pack(self) -> None:
        """Take in the memory in which gradients stand one after the other."""
        self.local: list[tuple[str, Any]] = []
        outline, ledger = self._outline, self._ledger
        lines = {id(step.line) for step in outline.steps()}
        for value, array, inside in self._packed:
            if inside:
                stem = common_name([self._paths[id(kept)] for kept in inside], "results")
                name = ledger.input(stem, partial(_same, array))
            else:
                name = ledger.names.unique("gradients")
                self.local.append((name, array))
            ledger.root(name, array)
            outline.titles[value] = name
            if not any(id(line) in lines for line in outline.calls if line.result is value):
                ledger.stand(name, value, array)


def found(place: Place) -> Any:
    """Return what stands at a place now."""
    item = place.box.read()[place.key]
    for i in place.inside:
        item = item[i]
    return item


def _same(array: Any) -> Any:
    return array
