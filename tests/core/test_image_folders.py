"""Folders of pictures as people have them: what is read, what it becomes, what is told, what is refused."""

import errno
import hashlib
import os
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from core import datasets
from core.datasets import doubles as twins
from core.datasets import image_folder, pictures, survey
from core.datasets.arrays import Arrays
from core.datasets.doubles import doubles
from core.errors import BadInput

RNG = np.random.default_rng(7)
HEIGHT, WIDTH = 12, 10


def made(root, save, halves=("train", "test"), classes=("cat", "dog"), count=3, ending="png", size=(HEIGHT, WIDTH)):
    """A tree of pictures; `save(pixels, path)` writes each. Returns its grey pixels in order, [n, h, w]."""
    rng, found = np.random.default_rng(3), []
    for half in halves:
        for label in classes:
            folder = root / half / label
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = rng.integers(0, 256, size, np.uint8)
                save(pixels, folder / f"{number}.{ending}")
                found.append(pixels)
    return np.stack(found)


def plain(pixels, path):
    Image.fromarray(pixels).save(path)


def opened(root, told=None, cache="cache", **options):
    source = datasets.parse_source({"folder": str(root), **options}, root.parent)
    place = root.parent / cache
    info = datasets.describe(source, root, place, report=told.append if told is not None else lambda _: None)
    return info, datasets.load(source, root, place)


def refusal(root, **options):
    with pytest.raises(BadInput) as caught:
        opened(root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read(root, **options):
    """The images of both halves in order, and the notes in one text."""
    info, arrays = opened(root, **options)
    return np.concatenate([arrays.train_images, arrays.test_images]), " | ".join(info.notes)


def old_digest(root):
    """The content digest as it was before any of this."""
    total = hashlib.sha256()
    for half in ("train", "test"):
        for path in sorted((root / half).rglob("*.png")):
            total.update(path.relative_to(root).as_posix().encode() + b"\0")
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return f"folder:{total.hexdigest()}"


@pytest.fixture
def root(tmp_path):
    return tmp_path / "set"


# --- decoding ---


def test_a_plain_folder_keeps_its_address_and_pixels(root):
    pixels = made(root, plain)
    info, arrays = opened(root)
    assert info.identity == old_digest(root)
    assert info.notes == ()
    assert np.array_equal(np.concatenate([arrays.train_images, arrays.test_images])[:, 0], pixels)
    assert (
        datasets.describe(datasets.parse_source(f"folder:{root}", root), root, root.parent / "c").identity
        == info.identity
    )


def write_pgm(white):
    def save(pixels, path):
        values = np.rint(pixels * (white / 255)).astype(">u2" if white > 255 else "u1")
        path.write_bytes(f"P5 {pixels.shape[1]} {pixels.shape[0]} {white}\n".encode() + values.tobytes())

    return save


@pytest.mark.parametrize(
    ("ending", "deep", "save"),
    [
        ("png", True, lambda pixels, path: Image.fromarray(pixels.astype(np.uint16) * 257).save(path)),
        ("tif", True, lambda pixels, path: Image.fromarray(pixels.astype(np.uint16) * 257).save(path)),
        ("tiff", True, lambda pixels, path: Image.fromarray(pixels.astype(np.float32) / 255).save(path)),
        ("pgm", True, write_pgm(4095)),
        ("pgm", True, write_pgm(65535)),
        ("pgm", False, write_pgm(255)),
        (
            "tif",  # white is stored as 0
            True,
            lambda pixels, path: Image.fromarray(65535 - pixels.astype(np.uint16) * 257).save(path, tiffinfo={262: 0}),
        ),
    ],
)
def test_deep_pictures_are_scaled_by_their_depth(ending, deep, save, root):
    pixels = made(root, save, ending=ending)
    images, notes = read(root)
    assert np.array_equal(images[:, 0], pixels)
    assert ("12 of 12 pictures" in notes and "scaled" in notes) == deep


def test_twelve_bits_in_sixteen_want_a_word(root):
    pixels = made(root, lambda pixels, path: Image.fromarray(np.rint(pixels / 255 * 4095).astype(np.uint16)).save(path))
    text = refusal(root)
    assert "dataset.depth" in text
    assert "no value above 4,09" in text
    assert "depth = 12" in text
    dark, _ = read(root, depth=16)
    assert dark.max() == 16
    right, notes = read(root, depth=12)
    assert np.array_equal(right[:, 0], pixels)
    assert "white is 4,095" in notes
    assert "more than 11 bits" in refusal(root, depth=11)
    assert len({opened(root, depth=depth)[0].identity for depth in (12, 13, 16)}) == 3


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (lambda pixels: pixels.astype(np.int32) * 257, "full scale nothing tells"),
        (lambda pixels: pixels.astype(np.float32), "must lie in [0, 1]"),
        (lambda pixels: np.full(pixels.shape, np.nan, np.float32), "must lie in [0, 1]"),
        (lambda pixels: pixels.astype(np.float32) / 255**2, "so that white is 1"),
    ],
)
def test_numbers_of_unknown_scale_are_refused(values, words, root):
    made(root, lambda pixels, path: Image.fromarray(values(pixels)).save(path), ending="tif")
    text = refusal(root)
    assert words in text
    assert str(root) in text


def deep_png(white):
    """16 bits per colour, which PIL reads but does not write."""

    def save(pixels, path):
        height, width = pixels.shape
        values = np.repeat(np.rint(pixels * (white / 255)).astype(">u2")[..., None], 3, axis=-1)
        rows = b"".join(b"\0" + row.tobytes() for row in values)

        def chunk(name, data):
            return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

        header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        )

    return save


def test_deep_colours_are_told_and_refused_where_they_would_be_black(root):
    pixels = made(root, deep_png(65535))
    images, notes = read(root)
    assert np.array_equal(images, np.repeat(pixels[:, None], 3, axis=1))
    assert "12 of 12 pictures of 16 bits per colour: the upper 8 are taken" in notes
    assert opened(root)[0].identity == old_digest(root)
    made(root, deep_png(4095))
    assert "colour pictures of 16 bits hold no value above 3,8" in refusal(root)


def test_deep_pictures_with_a_transparent_colour_are_refused(root):
    def save(pixels, path):
        Image.fromarray(pixels.astype(np.uint16) * 257).save(path, transparency=257)

    made(root, save)
    assert "0.png: more than 8 bits with a transparent colour are not read" in refusal(root)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_the_exif_orientation_is_obeyed(orientation, ending, root):
    lies = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that the tag takes back

    def save(pixels, path):
        picture = Image.fromarray(pixels)
        if orientation in lies:
            picture = picture.transpose(Image.Transpose(lies[orientation]))
        tags = Image.Exif()
        tags[0x0112] = orientation
        picture.save(path, exif=tags)

    pixels = made(root, save, ending=ending)
    images, notes = read(root)
    assert np.array_equal(images[:, 0], pixels)
    if ending == "png":
        assert ("12 of 12 pictures turned upright" in notes) == (orientation > 1)
        assert (opened(root)[0].identity == old_digest(root)) == (orientation == 1)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L"])
def test_see_through_pictures_are_put_on_the_background(mode, root):
    def save(pixels, path):
        if mode in ("RGBA", "LA"):
            alpha = Image.fromarray(pixels)
            black = Image.new("L", alpha.size)
            Image.merge(mode, [*([black] * (len(mode) - 1)), alpha]).save(path)
        else:  # one colour stands for nothing
            picture = Image.fromarray(pixels // 16)
            if mode == "P":
                picture = picture.convert("P")
                picture.putpalette([level for level in range(256) for _ in range(3)])
            picture.save(path, transparency=3)

    pixels = made(root, save)
    on_white, notes = read(root)
    on_black, _ = read(root, background="black")
    if mode in ("RGBA", "LA"):
        assert np.array_equal(on_white[:, 0], 255 - pixels)
        assert on_black.max() == 0
    else:
        expected = pixels // 16
        assert np.array_equal(on_white[:, 0], np.where(expected == 3, 255, expected))
        assert np.array_equal(on_black[:, 0], np.where(expected == 3, 0, expected))
    assert "12 of 12 pictures see-through: put on white" in notes
    white, black = opened(root)[0].identity, opened(root, background="black")[0].identity
    assert len({white, black, old_digest(root)}) == 3


def test_an_alpha_channel_that_hides_nothing_changes_nothing(root):
    made(root, lambda pixels, path: Image.fromarray(pixels).convert("RGBA").save(path))
    info, _ = opened(root)
    assert info.identity == old_digest(root) == opened(root, background="black")[0].identity
    assert info.notes == ()


@pytest.mark.parametrize("ending", ["gif", "png", "tif"])
def test_of_several_frames_the_first_is_taken_and_told(ending, root):
    def save(pixels, path):
        Image.fromarray(pixels).save(path, save_all=True, append_images=[Image.fromarray(255 - pixels)])

    pixels = made(root, save, ending=ending)
    images, notes = read(root)
    assert np.array_equal(images[:, 0], pixels)
    assert "12 of 12 pictures of several frames or pages: only the first is taken" in notes


def test_colour_profiles_are_brought_to_srgb_and_srgb_itself_changes_nothing(root):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made(root, lambda pixels, path: Image.fromarray(pixels).convert("RGB").save(path, icc_profile=srgb))
    info, before = opened(root)
    assert info.identity == old_digest(root)
    assert info.notes == ()
    # The same profile with red and blue exchanged is another colour space.
    other = bytearray(srgb)
    tags = {srgb[at : at + 4]: at for at in range(132, 132 + 12 * struct.unpack(">I", srgb[128:132])[0], 12)}
    for ours, theirs in ((b"rXYZ", b"bXYZ"), (b"bXYZ", b"rXYZ")):
        other[tags[ours] + 4 : tags[ours] + 12] = srgb[tags[theirs] + 4 : tags[theirs] + 12]
    made(root, lambda pixels, path: Image.fromarray(pixels).convert("RGB").save(path, icc_profile=bytes(other)))
    path = root / "train" / "cat" / "0.png"
    Image.new("RGB", (WIDTH, HEIGHT), (255, 0, 0)).save(path, icc_profile=bytes(other))
    images, notes = read(root)
    assert "12 of 12 pictures with a colour profile: brought to sRGB" in notes
    red, green, blue = images[0, :, 0, 0].tolist()
    assert blue > 240
    assert red < 60
    assert green < 60
    assert opened(root)[0].identity != old_digest(root)
    made(root, lambda pixels, path: Image.fromarray(pixels).convert("RGB").save(path, icc_profile=b"none at all"))
    images, notes = read(root)
    assert np.array_equal(images[:6], before.train_images)
    assert "cannot be used: taken as sRGB" in notes


def test_cmyk_is_told(root):
    pixels = made(root, lambda pixels, path: Image.fromarray(pixels).convert("CMYK").save(path), ending="tif")
    images, notes = read(root)
    assert np.array_equal(images[:, 1], pixels)
    assert "12 of 12 pictures in CMYK without a profile" in notes


def broken_png(pixels, path):
    Image.fromarray(pixels).save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)


def lying_png(pixels, path):
    """A header that promises more rows than there are."""
    Image.fromarray(pixels).save(path)
    content = bytearray(path.read_bytes())
    content[20:24] = struct.pack(">I", 50_000_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "tif", "bmp", "webp", "pgm"])
@pytest.mark.parametrize("damage", ["half", "empty", "text", "zeros"])
def test_whatever_a_decoder_raises_is_one_line_that_names_the_file(ending, damage, root):
    made(root, plain, ending=ending)
    path = root / "test" / "dog" / f"1.{ending}"
    content = path.read_bytes()
    path.write_bytes({
        "half": content[: len(content) // 2], "empty": b"", "text": b"<html>no such page", "zeros": bytes(len(content)),
    }[damage])  # fmt: skip
    text = refusal(root)
    assert f"{path}: cannot be read as a picture" in text
    assert "mend or remove it" in text


@pytest.mark.parametrize("save", [broken_png, lying_png])
def test_damage_within_is_found(save, root):
    made(root, plain)
    save(np.zeros((HEIGHT, WIDTH), np.uint8) + 9, root / "train" / "dog" / "2.png")
    assert "2.png: cannot be read as a picture" in refusal(root)


# --- what is read and what is not ---


def test_tiffs_are_read_beside_pngs(root):
    made(root, lambda pixels, path: plain(pixels, path.with_suffix(".TIF") if path.stem == "1" else path))
    info, _ = opened(root)
    assert (info.train_size, info.test_size, info.notes) == (6, 6, ())


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "__MACOSX", ".git"])
def test_hidden_folders_are_no_classes(name, root):
    pixels = made(root, plain)
    before = opened(root)[0]
    for half in ("train", "test"):
        (root / half / name).mkdir()
        plain(pixels[0], root / half / name / "0.png")
        for junk in (".DS_Store", "Thumbs.db", "._0.png"):
            (root / half / "cat" / junk).write_bytes(b"\0")
    info, _ = opened(root)
    assert info.classes == ("cat", "dog")
    assert info.identity == before.identity
    (note,) = info.notes
    assert note.startswith("left out, hidden: test/")
    assert note.endswith("and 5 more")


def test_what_is_left_out_is_named_and_counted(root):
    pixels = made(root, plain)
    (root / "train" / "cat" / "older").mkdir()
    plain(pixels[0], root / "train" / "cat" / "older" / "0.png")
    (root / "train" / "dog" / "labels.csv").write_text("x")
    (root / "train" / "0.png").write_bytes((root / "train" / "cat" / "0.png").read_bytes())
    (root / "masks").mkdir()
    assert opened(root)[0].notes == (
        "left out, beside the halves: masks",
        "left out, beside the classes: train/0.png",
        "left out, folders within a class: train/cat/older",
        "left out, no pictures by their ending: train/dog/labels.csv",
    )


@pytest.mark.parametrize("name", ["5.heic", "5.AVIF", "5.npy"])
def test_pictures_that_are_not_read_are_refused(name, root):
    made(root, plain)
    (root / "train" / "dog" / name).write_bytes(b"x")
    assert f"{name}: {name[1:].lower()} pictures are not read; convert them" in refusal(root)


@pytest.mark.parametrize("place", ["train/dog/9.png", "train/bird"])
def test_dangling_links_are_refused(place, root):
    made(root, plain)
    (root / place).symlink_to("/nowhere/at-all")
    assert f"{place}: a link to /nowhere/at-all, which is not there" in refusal(root)


def test_a_folder_may_be_read_through_links(root, tmp_path):
    made(root, plain)
    (tmp_path / "linked").symlink_to(root)
    assert opened(tmp_path / "linked")[0].identity == opened(root)[0].identity


# --- halves, split, classes ---


def test_val_is_the_test_half_only_where_there_is_no_test(root):
    made(root, plain)
    whole = opened(root)[0]
    for name in ("val", "valid", "validation"):
        (root / "test").rename(root / name)
        info = opened(root)[0]
        assert info.identity == whole.identity
        assert info.notes == (f"{name}/ is the test half, for there is no test/",)
        (root / name).rename(root / "test")
    made(root, plain, halves=["val"])
    info = opened(root)[0]
    assert info.identity == whole.identity
    assert info.notes == ("left out, beside the halves: val",)
    assert "dataset.split" in refusal(root, split=0.2)


def test_a_tree_without_halves_is_divided(root):
    made(root.parent, plain, halves=["set"], count=20)
    assert "split = 0.2" in refusal(root)
    info, arrays = opened(root, split=0.2)
    assert (info.train_size, info.test_size) == (32, 8)
    assert arrays.test_labels.tolist() == [0] * 4 + [1] * 4
    again, _ = opened(root, split=0.2, cache="another")
    assert again.identity == info.identity
    assert opened(root, split=0.4)[0].identity != info.identity
    assert info.notes == ("divided here: 32 pictures to train on, 8 to test",)
    assert {image.tobytes() for image in arrays.train_images}.isdisjoint(
        image.tobytes() for image in arrays.test_images
    )
    # The same halves made by hand are the same data.
    notes = {"train": [], "test": []}
    for half, images in (("train", arrays.train_images), ("test", arrays.test_images)):
        notes[half] = {image.tobytes() for image in images}
    for path in sorted(root.rglob("*.png")):
        half = "test" if np.asarray(Image.open(path)).tobytes() in notes["test"] else "train"
        place = root.parent / "by-hand" / half / path.parent.name
        place.mkdir(parents=True, exist_ok=True)
        (place / path.name).write_bytes(path.read_bytes())
    assert opened(root.parent / "by-hand")[0].identity == info.identity


def test_train_alone_is_divided_too_and_train_may_be_a_class(root):
    made(root, plain, halves=["train"], count=4)
    assert "needs test/ (or val/)" in refusal(root)
    (root / "README.md").write_text("x")
    info = opened(root, split=0.5)[0]
    assert info.classes == ("cat", "dog")
    assert info.notes[1] == "left out, beside the halves: README.md"
    made(root.parent, plain, halves=["vehicles"], classes=["car", "train"], count=4)
    assert opened(root.parent / "vehicles", split=0.5)[0].classes == ("car", "train")


def test_a_split_that_leaves_nothing_is_refused(root):
    made(root.parent, plain, halves=["set"], count=10)
    for number in range(2, 10):
        (root / "cat" / f"{number}.png").unlink()
    assert "dataset.split: 0.9 leaves no picture of cat in the train half" in refusal(root, split=0.9)
    (root / "cat" / "0.png").unlink()
    assert "cat has one picture" in refusal(root, split=0.5)


def test_classes_can_be_chosen(root):
    made(root, plain, classes=("bird", "cat", "dog"))
    info, arrays = opened(root, classes=["dog", "bird"])
    assert info.classes == ("bird", "dog")
    assert arrays.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert opened(root, classes=["bird", "dog"])[0].identity == info.identity != opened(root)[0].identity
    assert "dataset.classes" in refusal(root, classes=["bird", "dgo"])
    assert "'dog'" in refusal(root, classes=["bird", "dgo"])
    (root / "test" / "cat").rename(root / "test" / "kitten")
    assert "same classes" in refusal(root)
    assert opened(root, classes=["bird", "dog"])[0].identity == info.identity


# --- size ---


def test_mixed_sizes_are_refused_with_the_remedy(root):
    made(root, plain)
    plain(np.zeros((40, 30), np.uint8), root / "train" / "dog" / "9.png")
    text = refusal(root)
    assert "9.png is 30×40 pixels, but 0.png is 10×12; 2 sizes in 13 pictures" in text
    assert "size = 64" in text


def half_and_half(pixels, path):
    """20×40: left half black, right half white, the two outer fifths of the whole grey."""
    picture = np.zeros((20, 40), np.uint8)
    picture[:, 20:] = 255
    picture[:, :8] = picture[:, 32:] = 100
    plain(picture, path)


def test_crop_pad_and_stretch(root):
    made(root, half_and_half, count=1)
    crop, _ = read(root, size=10)
    assert crop.shape == (4, 1, 10, 10)
    assert crop[0, 0, 5].tolist()[:4] == [0] * 4  # the grey fifths are cut off
    assert crop[0, 0, 5].tolist()[6:] == [255] * 4
    pad, notes = read(root, size=10, fit="pad")
    assert (pad[0, 0, :2] == 255).all()
    assert (pad[0, 0, 8:] == 255).all()
    assert abs(int(pad[0, 0, 5, 0]) - 100) < 3
    assert "brought to 10×10 pixels, pad with white" in notes
    black, _ = read(root, size=10, fit="pad", background="black")
    assert (black[0, 0, :2] == 0).all()
    stretch, _ = read(root, size=[10, 20], fit="stretch")
    assert stretch.shape == (4, 1, 10, 20)
    assert abs(int(stretch[0, 0, 0, 0]) - 100) < 3
    identities = [
        opened(root, **options)[0].identity
        for options in (
            {"size": 10}, {"size": [10, 20]}, {"size": 10, "fit": "pad"}, {"size": 10, "fit": "stretch"},
            {"size": 10, "fit": "pad", "background": "black"},
        )
    ]  # fmt: skip
    assert len(set(identities)) == 5
    assert opened(root, size=10, background="black")[0].identity == identities[0]


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (20, 31), (64, 64), (3, 500)])
def test_every_shape_comes_out_at_the_size(shape, fit, root):
    made(
        root,
        lambda pixels, path: Image.new("RGB", shape[::-1], (9, 99, 199)).save(path, quality=95),
        ending="jpg",
        count=1,
    )
    images, _ = read(root, size=[48, 64], fit=fit, background="black")
    assert images.shape == (4, 3, 48, 64)
    middle = images[0, :, 20:28, 28:36].reshape(3, -1)
    assert np.abs(middle.mean(axis=1) - [9, 99, 199]).max() < (3 if shape != (3, 500) or fit != "pad" else 255)


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_shrinking_averages(ending, root):
    """A pattern finer than the new pixels becomes its mean, not some of its points."""

    def save(pixels, path):
        fine = (np.indices((320, 320)).sum(axis=0) % 2 * 255).astype(np.uint8)
        Image.fromarray(fine).save(path, **({"quality": 95} if ending == "jpg" else {}))

    made(root, save, ending=ending, count=1)
    images, _ = read(root, size=20)
    assert np.abs(images.astype(int) - 127).max() < 6


def test_a_turned_jpeg_is_fitted_upright(root):
    def save(pixels, path):
        picture = np.zeros((400, 200, 3), np.uint8)
        picture[:200] = 255  # upright: white above, black below
        tags = Image.Exif()
        tags[0x0112] = 6
        Image.fromarray(picture).transpose(Image.Transpose.ROTATE_90).save(path, exif=tags, quality=95)

    made(root, save, ending="jpg", count=1)
    images, _ = read(root, size=[40, 20])
    assert images[:, :, :18].min() > 240
    assert images[:, :, 22:].max() < 15


# --- once ---


def test_files_that_are_known_are_not_read_again(root, monkeypatch):
    made(root, plain)
    monkeypatch.setattr(survey, "_RACY_NS", 0)
    told = []
    before, _ = opened(root, told)
    assert told == ["decoding 12 pictures of set, 0 MiB, once"]

    def no(*_):
        raise AssertionError("read again")

    monkeypatch.setattr(survey, "look", no)
    monkeypatch.setattr(pictures, "decode", no)
    monkeypatch.setattr(twins, "doubles", no)
    assert opened(root, told)[0] == before
    assert len(told) == 1
    path = root / "train" / "cat" / "0.png"
    content = path.read_bytes()
    os.utime(path)
    with pytest.raises(AssertionError, match="read again"):
        opened(root)
    monkeypatch.undo()
    assert opened(root)[0] == before
    path.write_bytes(content[:-4] + b"\0\0\0\0")  # the same size
    os.utime(path, ns=(0, 0))
    changed = opened(root)[0]
    assert changed.identity != before.identity


def test_a_file_changed_just_now_is_read_again_whatever_its_status(root):
    made(root, plain)
    before = opened(root)[0]
    path = root / "train" / "cat" / "0.png"
    status = path.stat()
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert opened(root)[0].identity != before.identity


def test_a_damaged_note_is_no_note(root, monkeypatch):
    made(root, plain)
    monkeypatch.setattr(survey, "_RACY_NS", 0)
    before = opened(root)[0]
    (note,) = (root.parent / "cache" / "folders").glob("*.json")
    for content in ("", "{}", '{"version": 1, "files": {"train/cat/0.png": [1]}}', "[1]"):
        note.write_text(content)
        assert opened(root)[0] == before


def test_a_picture_changed_while_it_is_read_is_noticed(root):
    made(root, plain)
    path = root / "train" / "cat" / "0.png"
    seen = pictures.look(path)
    plain(np.zeros((HEIGHT, WIDTH), np.uint8), path)
    with pytest.raises(BadInput, match="was changed while it was read"):
        pictures.decode(path, seen, datasets.parse_source(f"folder:{root}", root).options)


def test_without_a_cache_a_small_set_is_held_in_memory_and_a_large_one_refused(root, tmp_path, monkeypatch):
    pixels = made(root, plain)
    (tmp_path / "file").write_text("")
    _, arrays = opened(root, cache="file")
    assert np.array_equal(arrays.train_images[:, 0], pixels[:6])
    monkeypatch.setattr(image_folder, "_IN_MEMORY", 10)
    with pytest.raises(BadInput, match=r"cannot be kept there.*make room"):
        opened(root, cache="file")


def test_a_full_disk_is_one_line_and_leaves_nothing(root, monkeypatch):
    made(root, plain)
    monkeypatch.setattr(image_folder, "_IN_MEMORY", 10)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    assert "cannot be kept there (No space left on device); make room" in refusal(root)
    assert [path.name for path in (root.parent / "cache").iterdir()] in ([], ["folders"])


def test_decoding_that_fails_leaves_nothing(root):
    made(root, plain)
    broken_png(np.full((HEIGHT, WIDTH), 77, np.uint8), root / "test" / "dog" / "2.png")
    refusal(root)
    left = [path.name for path in (root.parent / "cache").rglob("*") if path.suffix == ".npy"]
    assert left == []


def test_long_work_tells_how_far_it_is(root, monkeypatch):
    made(root, plain)
    monkeypatch.setattr(survey, "_TELL_SECONDS", 0.0)
    told = []
    opened(root, told)
    assert "3 of 12 pictures decoded" in told
    assert told[-1] == "12 pictures decoded"


def test_nothing_more_is_begun_once_one_fails():
    begun = []

    def work(item):
        begun.append(item)
        time.sleep(0.005)
        if item == 0:
            raise BadInput("no")

    with pytest.raises(BadInput, match="no"):
        list(survey.in_parallel(work, range(1000), "tried", print))
    assert len(begun) < 500


# --- doubles ---


def photographs(count, seed):
    """Smooth random pictures, uint8 [n, 3, 32, 32]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 9, 9, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((32, 32), Image.Resampling.BICUBIC)) for one in coarse])


def test_doubles_across_the_halves_are_counted_and_named(root, tmp_path):
    train, test = photographs(40, 1), photographs(20, 2)
    for half, images in (("train", train), ("test", test)):
        for number, pixels in enumerate(images):
            folder = root / half / ("cat", "dog")[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{number:02}.png")
    assert opened(root)[0].notes == ()
    for number in (3, 7, 8):  # saved again, poorly, at another size
        picture = Image.fromarray(train[number]).resize((48, 48))
        picture.save(tmp_path / "again.jpg", quality=60)
        again = Image.open(tmp_path / "again.jpg").resize((32, 32))
        again.save(root / "test" / ("cat", "dog")[number % 2] / f"{number:02}.png")
    (note,) = opened(root)[0].notes
    assert note.startswith("3 of 20 test pictures nearly are training pictures")
    assert note.endswith("such as test/cat/08.png and train/cat/08.png")


def test_flat_and_different_pictures_are_no_doubles():
    flat = np.zeros((3, 1, 8, 8), np.uint8)
    labels = np.zeros(3, np.int64)
    assert doubles(Arrays(flat, labels, flat, labels)).count == 0
    noise = RNG.integers(0, 256, (200, 1, 28, 28), np.uint8)
    found = doubles(Arrays(noise[:100], labels, noise[100:], labels))
    assert found.count == 0
    assert doubles(Arrays(noise[:100], labels, noise[50:150], labels)).count == 50


def test_real_digits_are_hardly_ever_doubles(real_data, tmp_path):
    arrays = datasets.load(datasets.parse_source("mnist", tmp_path), real_data, tmp_path)
    some = Arrays(arrays.train_images[:5000], arrays.train_labels, arrays.test_images[:500], arrays.test_labels)
    assert doubles(some).count <= 2


def test_a_look_decodes_nothing_and_says_the_same(root, monkeypatch):
    made(root, plain)
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(root / "test" / "cat" / "8.png")
    source = datasets.parse_source({"folder": str(root), "size": 8}, root)
    with monkeypatch.context() as patched:
        patched.setattr(pictures, "decode", lambda *_: pytest.fail("decoded"))
        looked = datasets.describe(source, root, root.parent / "cache", decoded=False)
        labels = datasets.test_labels(source, root, root.parent / "cache")
    whole = datasets.describe(source, root, root.parent / "cache")
    assert looked == whole
    assert (
        labels.tolist() == datasets.load(source, root, root.parent / "cache").test_labels.tolist() == [0] * 4 + [1] * 3
    )


def test_a_trial_gets_the_pictures_that_it_was_submitted_with(root):
    made(root, plain)
    source = datasets.parse_source(f"folder:{root}", root)
    info, before = opened(root)
    path = root / "train" / "cat" / "0.png"
    plain(np.zeros((HEIGHT, WIDTH), np.uint8), path)
    again, _ = datasets.load_planned(source, root, root.parent / "cache", info.identity)
    assert np.array_equal(again.train_images, before.train_images)
    with pytest.raises(BadInput, match="its pictures are others than when the study was submitted"):
        datasets.load_planned(source, root, root.parent / "another", info.identity)
    assert (
        datasets.load_planned(source, root, root.parent / "another", opened(root)[0].identity)[0].train_images[0].max()
        == 0
    )
