"""One small registry, used for everything that can be extended."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from onnxprune.errors import OnnxPruneError

__all__ = ["Registry"]

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to things. Other packages add theirs through the entry point group of its kind.

    Args:
        kind: What is registered (``"rule"``); the entry point group is ``onnxprune.<kind>``. An
            entry point names a module; importing it registers what it has.

    Example::

        >>> colours = Registry("colour")
        >>> @colours.register("red", "crimson")
        ... def paint():
        ...     return "#f00"
        >>> colours.get("red")()
        '#f00'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}
        self._discovered = False

    def register(self, *names: str) -> Callable[[T], T]:
        """A decorator that registers a thing under each of the names."""

        def add(item: T) -> T:
            for name in names:
                if name in self._items:
                    raise ValueError(f"The {self.kind} '{name}' is registered twice.")
                self._items[name] = item
            return item

        return add

    def find(self, name: str) -> T | None:
        """The thing of that name, None when there is none."""
        if name not in self._items:
            self._discover()
        return self._items.get(name)

    def get(self, name: str) -> T:
        """The thing of that name.

        Raises:
            OnnxPruneError: If there is none; the message names what is near, and what there is.
        """
        found = self.find(name)
        if found is None:
            near = difflib.get_close_matches(name, self._items, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(self)}."
            raise OnnxPruneError(f"There is no {self.kind} '{name}'; {hint}")
        return found

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(sorted(self._items))

    def _discover(self) -> None:
        if not self._discovered:
            self._discovered = True
            for point in entry_points(group=f"onnxprune.{self.kind}"):
                try:
                    point.load()
                except ImportError as error:  # an extra that is not installed
                    logger.debug("the %s '%s' is left out: %s", self.kind, point.name, error)
