"""Pictures in memory as targets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fuse_lightning.data import ImageTargets
from fuse_lightning.data.in_memory import image_of_array
from fuse_lightning.data.names import Root
from fuse_lightning.errors import FuseError


def picture(shape=(12, 9, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def pixels(source):
    """Pixels of the only picture of a source."""
    (target,) = ImageTargets(source).find_targets()
    (image,) = target.images
    return np.asarray(image)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F"])
def test_an_image_is_read_like_its_file(mode):
    image = Image.fromarray(picture((20, 30, 4))).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    path = "a.tiff" if mode in ("I", "F") else "a.png"
    image.save(path)
    assert (pixels(image) == pixels(path)).all()
    with Image.open(path) as opened:
        assert (pixels(opened) == pixels(path)).all()


def test_rotation_of_a_camera_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture()).save("a.png", exif=exif)
    with Image.open("a.png") as opened:
        assert pixels(opened).shape == (9, 12, 3)
        assert (pixels(opened) == pixels("a.png")).all()


@given(
    shape=st.sampled_from([(9, 12), (9, 12, 1), (9, 12, 3), (9, 12, 4)]), seed=st.integers(0, 999)
)
def test_arrays_and_tensors_are_read_alike(shape, seed):
    array = picture(shape, seed)
    wanted = pixels(Image.fromarray(array.squeeze()))
    assert (pixels(array) == wanted).all()
    assert (pixels(array / 255) == wanted).all()
    tensor = torch.from_numpy(array)
    if len(shape) == 3:
        assert (pixels(tensor) == wanted).all()
        tensor = tensor.permute(2, 0, 1)
    assert (pixels(tensor) == wanted).all()
    assert (pixels(tensor.float() / 255) == wanted).all()


def test_a_batch_is_several_pictures():
    batch = torch.from_numpy(picture((3, 3, 10, 10)))
    targets = ImageTargets(batch).find_targets()
    assert [np.asarray(target.images[0]).tolist() for target in targets] == [
        each.permute(1, 2, 0).tolist() for each in batch
    ]


def test_ids_are_those_of_the_content_or_of_the_file():
    array = picture()
    first, second = ImageTargets([array, picture(seed=1)]).find_targets()
    (alone,) = ImageTargets(array.copy()).find_targets()
    assert (alone.id, alone.digest) == (first.id, first.digest)
    assert second.id != first.id
    Path("in").mkdir()
    Image.fromarray(array).save("in/a.png")
    with Image.open("in/a.png") as opened:
        (named,) = ImageTargets(opened).find_targets()
    assert named.id == "in/a.png"
    assert named.source == f"in/a.png in memory ({first.id[-8:]})"
    assert Root().name(Path("in/a.png")) == named.id


def test_a_changed_image_of_a_file_is_another_target():
    Image.fromarray(picture()).save("a.png")
    with Image.open("a.png") as one, Image.open("a.png") as other:
        other.paste(0, (0, 0, 9, 9))
        targets = ImageTargets([one, other]).find_targets()
    assert len(targets) == 2
    assert len({target.id for target in targets}) == 2


@pytest.mark.parametrize(
    "values",
    [
        *(np.zeros(3), np.zeros((2, 2, 2)), np.zeros((1, 1, 1, 1, 1)), np.zeros((0, 4))),
        *(np.full((4, 4), 1.5), np.full((4, 4), np.nan), np.full((4, 4), -0.1)),
        *(np.zeros((4, 4), int), np.zeros((4, 4), complex), torch.zeros(2, 5, 7)),
    ],
)
def test_what_is_no_picture_is_refused(values):
    with pytest.raises(FuseError, match=r"an array of shape .* is no picture; give height x width"):
        image_of_array(values)


def test_a_broken_file_is_one_line():
    Image.fromarray(picture((99, 99, 3))).save("a.png")
    Path("a.png").write_bytes(Path("a.png").read_bytes()[:2000])
    with Image.open("a.png") as opened, pytest.raises(FuseError, match="image in memory is broken"):
        ImageTargets(opened).find_targets()
