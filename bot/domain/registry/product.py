"""The product behind the registry, such as MLflow: its name in sentences, and which names and tags it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from bot.domain.core.sentence import Sentence, set_product_name


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryProduct:
    """What the rules have to know of a product.

    `name_error` returns why it takes no model of this name, None if it does. `tag_prefix`: how the tags begin that it
    sets itself.
    """

    name: str
    tag_prefix: str | None = None
    name_error: Callable[[str], Sentence | None] = lambda name: None

    def owns_tag(self, key: str) -> bool:
        """Return whether a tag is the product's own."""
        return self.tag_prefix is not None and key.startswith(self.tag_prefix)


_load_product: list[Callable[[], RegistryProduct]] = [lambda: RegistryProduct(name="The registry")]


def use_product(load: Callable[[], RegistryProduct]) -> None:
    """Set the product that the registry is; `load` is called when it's first needed.

    A program does so once, at its start. Like a locale, it holds for the whole process.
    """
    _load_product[:] = [cache(load)]
    set_product_name(lambda: product().name)


def product() -> RegistryProduct:
    """Return the product that the registry is."""
    return _load_product[0]()
