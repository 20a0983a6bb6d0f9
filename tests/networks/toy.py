"""A small network with a gap in the middle."""

from torch import Tensor, nn


class Toy(nn.Module):
    """Two convolutions and a head; sub-classes say what happens between them."""

    input_shape = (3, 16, 16)

    def __init__(self, given: int = 16) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(given, 8, 3, padding=1)
        self.head = nn.Linear(8, 10)

    def between(self, x: Tensor, image: Tensor) -> Tensor:
        return x

    def forward(self, image: Tensor) -> Tensor:
        x = self.second(self.between(self.first(image), image))
        result: Tensor = self.head(x.mean((2, 3)))
        return result
