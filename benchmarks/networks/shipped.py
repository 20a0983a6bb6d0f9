"""Which networks are asked: one a timm module, one or two a torchvision family, and the cases."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import timm
from torch import nn
from torch.nn.modules.conv import _ConvNd

from benchmarks.networks import torchvision_models
from benchmarks.networks.cases import branches, convolutions, factors, outputs
from hdap.networks.loading import load_model

TIMM, CASES = "timm", "cases"
CLASSIFIERS = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet",
    "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small",
    "regnet_y_400mf", "resnet18", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5",
    "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vgg11_bn", "vit_b_16", "wide_resnet50_2",
)  # fmt: skip
SAMPLE = (
    "timm/convnext", "timm/densenet", "timm/efficientnet", "timm/ghostnet", "timm/hrnet",
    "timm/mlp_mixer", "timm/mobilenetv3", "timm/nfnet", "timm/regnet", "timm/resnet",
    "timm/vision_transformer", "timm/vovnet", "torchvision classification/resnet18",
    "torchvision classification/shufflenet_v2_x0_5",
    "torchvision segmentation/lraspp_mobilenet_v3_large",
    "torchvision detectors' layers/ssdlite320_layers",
)  # fmt: skip
"""Of timm and torchvision; a sample has all cases beside them."""

_TRIAL = "test_"
"""How timm's names begin of networks that its own tests run: nobody ships them."""


@dataclass(frozen=True)
class Network:
    """A network by what `hdap model` takes; `origin` is the module, function or class it is of."""

    family: str
    origin: str
    name: str

    @property
    def label(self) -> str:
        """Family and origin, which no two networks share."""
        return f"{self.family}/{self.origin}"


def timm_modules() -> list[str]:
    """timm's modules, less those whose names are all deprecated aliases."""
    return [module for module in timm.list_modules() if timm.list_models(module=module)]


def smallest(module: str) -> Network | None:
    """The network of a timm module with the fewest parameters; of equals the first by name.

    None for a module without a network that has convolutions or linear layers. Built on meta.
    """
    names = timm.list_models(module=module)
    sizes = []
    for name in [n for n in names if not n.startswith(_TRIAL)] or names:
        network = load_model(name, device="meta").module
        if any(isinstance(layer, _ConvNd | nn.Linear) for layer in network.modules()):
            sizes.append((sum(p.numel() for p in network.parameters()), name))
    return Network(TIMM, module, min(sizes)[1]) if sizes else None


def others() -> Iterator[Network]:
    """The networks that need not be chosen: torchvision's, then the cases."""
    for name in CLASSIFIERS:
        yield Network("torchvision classification", name, f"torchvision.models:{name}")
    for family, factories in torchvision_models.FAMILIES.items():
        for name in factories:
            yield Network(family, name, f"{torchvision_models.__name__}:{name}")
    for module in (branches, outputs, factors, convolutions):
        for name, thing in vars(module).items():
            if inspect.isclass(thing) and thing.__module__ == module.__name__:
                yield Network(CASES, name, f"{module.__name__}:{name}")


def in_sample(network: Network) -> bool:
    """Whether a short run has it."""
    return network.family == CASES or network.label in SAMPLE
