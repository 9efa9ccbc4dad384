"""What a child of a fan-out works on, where that is more than an entry of a list."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self


class Item(str):
    """A chunk, a file or a finding: prints its text, and has its parts by name, `text` among them."""

    __slots__ = ("parts",)

    parts: Mapping[str, Any]

    def __new__(cls, parts: Mapping[str, Any]) -> Self:
        """The item with these parts."""
        item = super().__new__(cls, parts["text"])
        item.parts = parts
        return item

    def __reduce__(self) -> tuple[type[Self], tuple[dict[str, Any]]]:
        return type(self), (dict(self.parts),)


@dataclass(frozen=True, slots=True)
class Unread:
    """A file whose text is read when it is its turn, so that ten thousand of them are not held at once."""

    path: str
    read: Callable[[], str]
    """Raises FailedError."""
    size: int = 0
    """Bytes that its text is not above, as far as they can be seen."""

    def __str__(self) -> str:
        return self.path

    def item(self) -> Item:
        """The file with its text; raises FailedError."""
        return Item({"path": self.path, "text": self.read()})


def told(item: Any) -> Any:
    """An item as a script is told it."""
    return dict(item.parts) if isinstance(item, Item) else item
