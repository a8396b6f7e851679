"""The product behind the registry, such as MLflow: its name in sentences, and which names and tags it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


_in_use = [RegistryProduct(name="The registry")]


def use_product(product: RegistryProduct) -> None:
    """Say which product the registry is. A process does so once, at its start: like a locale, it's for all of it."""
    _in_use[:] = [product]
    set_product_name(product.name)


def product() -> RegistryProduct:
    """Return the product that the registry is."""
    return _in_use[0]
