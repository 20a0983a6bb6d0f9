"""What the small networks are put together from. None of them has trained weights."""

from typing import cast

from torch import Tensor, nn


def cbr(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    stride: int = 1,
    groups: int = 1,
    act: type[nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """Convolution, batch norm and activation; the image keeps its size at stride 1."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), act())


class Base(nn.Module):
    """A network of one image, batch x 3 x 32 x 32."""

    input_shape: tuple[int, ...] = (3, 32, 32)


class Head(nn.Module):
    """Mean over the image and a linear layer: batch x classes."""

    def __init__(self, channels: int, classes: int = 10) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.fc(x.mean((2, 3))))


class Bott(nn.Module):
    """Two convolutions with a skip connection around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = cbr(channels, channels), cbr(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.b(self.a(x)))
