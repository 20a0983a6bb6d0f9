"""Fashion-MNIST as data factories: `--data hdap.examples.fashion:fashion`.

70,000 grey photographs of clothes, 28 x 28 pixels in ten classes, 60,000 to learn from and 10,000
to judge by: H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST", arXiv 1708.07747. Debian and Ubuntu
ship it as the package `dataset-fashion-mnist`, so nothing is downloaded by hand.
"""

from pathlib import Path

from hdap.fleet_data.errors import InputError
from hdap.image_files.idx_files import read_idx_folder
from hdap.image_files.labelled_pixels import PixelParts
from hdap.image_files.pixel_images import ImageView, PixelImages, pixel_data

FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where the package puts it."""
CLASSES = (
    *("T-shirt", "trousers", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
SIDE = 96
"""At which EfficientNet-Lite still has 3 x 3 pixels before the mean."""


def fashion() -> tuple[PixelImages, PixelImages]:
    """Training and test part as they are, 1 x 28 x 28, of mean 0 and deviation 1.

    Training images are shifted and mirrored at random.
    """
    parts = read_fashion()
    return pixel_data(parts, ImageView.of(parts.train), augment=True)


def fashion_plain() -> tuple[PixelImages, PixelImages]:
    """The same without shift and mirror, which a short training learns faster from."""
    parts = read_fashion()
    return pixel_data(parts, ImageView.of(parts.train), augment=False)


def fashion_rgb96() -> tuple[PixelImages, PixelImages]:
    """Up-scaled to 3 x 96 x 96 in -1..1, as EfficientNet-Lite takes images; training images are
    shifted and mirrored."""
    return pixel_data(read_fashion(), ImageView((3, SIDE, SIDE), (0.5,), (0.5,)), augment=True)


def read_fashion(folder: Path = FOLDER) -> PixelParts:
    """Both parts from `folder`. Raises `InputError` where it is not installed, or damaged."""
    if not folder.is_dir():
        raise InputError(
            f"Fashion-MNIST must be installed, but there is no folder {folder}: `apt-get install "
            "dataset-fashion-mnist` (Debian, Ubuntu), or give a folder with its four idx files as "
            "--data FOLDER"
        )
    return read_idx_folder(folder, CLASSES, mirrored=True)
