"""Rules by the name of the operation, without overload and without the underscore of in place."""

from hdap.networks.walk.recorder import Rule
from hdap.networks.walk.rules import (
    elementwise,
    movement,
    normalisation,
    parts,
    pixels,
    product,
    reduction,
    spatial,
)

RULES: dict[str, Rule] = {
    **elementwise.RULES,
    **movement.RULES,
    **normalisation.RULES,
    **parts.RULES,
    **pixels.RULES,
    **product.RULES,
    **reduction.RULES,
    **spatial.RULES,
}
