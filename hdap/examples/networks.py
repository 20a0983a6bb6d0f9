"""Small networks: `--model hdap.examples.networks:small_resnet`.

Each knows ten classes and starts from random weights. Those that are `small` take the digits, 1 x 8
x 8, and have at least eight width groups of 16 channels or more; those of `fashion` take
Fashion-MNIST, 1 x 28 x 28, and learn it in minutes on one core.
"""

from itertools import pairwise

from torch import Tensor, nn

INPUT_SHAPE = (1, 8, 8)
FASHION_SHAPE = (1, 28, 28)
CLASSES = 10


class SmallNetwork(nn.Module):
    """Convolutions, the mean over what is left of the image, and one linear layer."""

    def __init__(
        self,
        features: nn.Sequential,
        width: int,
        input_shape: tuple[int, ...] = INPUT_SHAPE,
    ) -> None:
        super().__init__()
        self.input_shape = input_shape
        self.features = features
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Logits: `n x C x H x W` -> `n x 10`."""
        logits: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return logits


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut (He et al., CVPR 2016, figure 5 left)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else _projection(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """`n x inputs x H x W` -> `n x outputs x H/stride x W/stride`."""
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        found: Tensor = self.relu(y + self.shortcut(x))
        return found


class InvertedBlock(nn.Module):
    """Six times as wide inside as outside (Sandler et al., "MobileNetV2", CVPR 2018, figure 4d)."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = _convolution(inputs, inner, size=1)
        self.depthwise = _convolution(inner, inner, stride, groups=inner)
        self.project = _projection(inner, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """`n x inputs x H x W` -> `n x outputs x H/stride x W/stride`."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


def small_resnet() -> nn.Module:
    """Three stages of two basic blocks, 32-64-128 wide: 9 width groups, 3 of them trunks."""
    return SmallNetwork(*_resnet(stem_stride=1))


def fashion_resnet() -> nn.Module:
    """The same for 1 x 28 x 28, which is halved at once: 22 MFLOPs."""
    return SmallNetwork(*_resnet(stem_stride=2), FASHION_SHAPE)


def fashion_mobilenetv2() -> nn.Module:
    """Inverted blocks for 1 x 28 x 28, 16 to 64 wide outside: 6 MFLOPs, 13 width groups."""
    blocks: list[nn.Module] = [_convolution(1, 32, 2)]
    inputs = 32
    for outputs, stride, expansion in (
        *((16, 1, 1), (24, 1, 6), (24, 1, 6)),
        *((32, 2, 6), (32, 1, 6), (64, 2, 6), (64, 1, 6)),
    ):
        blocks.append(InvertedBlock(inputs, outputs, stride, expansion))
        inputs = outputs
    blocks.append(_convolution(inputs, 256, size=1))
    return SmallNetwork(nn.Sequential(*blocks), 256, FASHION_SHAPE)


def small_mobilenet() -> nn.Module:
    """Eight depthwise separable blocks, 32 to 256 wide (Howard et al., 2017): 9 width groups."""
    blocks: list[nn.Module] = [_convolution(1, 32)]
    inputs = 32
    widths = ((64, 1), (64, 1), (128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1))
    for outputs, stride in widths:
        blocks += [_convolution(inputs, inputs, stride, groups=inputs)]
        blocks += [_convolution(inputs, outputs, size=1)]
        inputs = outputs
    return SmallNetwork(nn.Sequential(*blocks), inputs)


def small_vgg() -> nn.Module:
    """Eight plain convolutions, 32 to 128 wide, halved twice: 8 width groups."""
    widths = (1, 32, 32, 64, 64, 64, 128, 128, 128)
    layers = [_convolution(inputs, outputs) for inputs, outputs in pairwise(widths)]
    first, second, third = layers[:2], layers[2:5], layers[5:]
    features = nn.Sequential(*first, nn.MaxPool2d(2), *second, nn.MaxPool2d(2), *third)
    return SmallNetwork(features, widths[-1])


def _convolution(
    inputs: int, outputs: int, stride: int = 1, size: int = 3, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def _resnet(stem_stride: int) -> tuple[nn.Sequential, int]:
    blocks: list[nn.Module] = [_convolution(1, 32, stem_stride)]
    inputs = 32
    for outputs, stride in ((32, 1), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1)):
        blocks.append(BasicBlock(inputs, outputs, stride))
        inputs = outputs
    return nn.Sequential(*blocks), inputs


def _projection(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
