"""JPEG as an operator, and the task that undoes it."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import untaught
from untaught.cli import main
from untaught.errors import InputError
from untaught.physics.compression import JPEG, Compression, compression_of, compression_of_quality

PHOTO = data.coffee()[100:137, 200:243]


def compressed(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def tensor(pixels):
    planes = pixels if pixels.ndim == 3 else pixels[..., None]
    return torch.from_numpy(planes / 255).float().permute(2, 0, 1)[None]


@pytest.mark.parametrize("pixels", [PHOTO, np.ascontiguousarray(PHOTO[..., 0])], ids=["colours", "gray"])
@pytest.mark.parametrize("spared", [0, 1, 2])
def test_what_libjpeg_makes_of_it(pixels, spared):
    """But for coefficients that lie between two steps, which rounding on the way may tip over."""
    content = compressed(pixels, quality=20, subsampling=spared)
    compression = compression_of(content)
    expected = tensor(np.asarray(Image.open(io.BytesIO(content))))
    found = JPEG(compression)(tensor(pixels)).clamp(0, 1)
    assert (found - expected).abs().mean() < 1.2 / 255
    assert (found - tensor(pixels)).abs().mean() > 2 / 255


def test_compressed_again_it_is_the_same():
    operator = JPEG(compression_of_quality(20, 1))
    once = operator(torch.rand(2, 1, 24, 19, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(operator(once)[..., :16], once[..., :16])


def test_a_gradient_goes_through_the_rounding():
    picture = torch.rand(1, 3, 16, 16, requires_grad=True)
    JPEG(compression_of_quality(10, 3))(picture).square().sum().backward()
    assert picture.grad is not None
    assert picture.grad.abs().mean() > 0.01


def test_files_say_how_they_were_compressed():
    assert compression_of(compressed(PHOTO, quality=30)) == compression_of_quality(30, 3)
    assert compression_of(compressed(PHOTO, subsampling=0)).spared == (1, 1)
    assert compression_of(b"\x89PNG") is None
    assert compression_of(compressed(PHOTO, keep_rgb=True)) is None
    turned = Image.Exif()
    turned[0x0112] = 6
    assert compression_of(compressed(PHOTO, exif=turned)) is None


def test_from_the_command_line(tmp_path, tiny, monkeypatch, capsys):
    from untaught.tasks import preparation

    monkeypatch.setattr(preparation, "find_recipe", lambda *_: tiny)
    source, result = tmp_path / "photo.jpg", tmp_path / "clean.png"
    source.write_bytes(compressed(PHOTO, quality=20))
    assert main(["dejpeg", str(source), "-o", str(result), "--consistent", "--quiet"]) == 0
    assert np.asarray(Image.open(result)).shape == PHOTO.shape
    assert main(["dejpeg", str(result), "-o", str(tmp_path / "again.png"), "--consistent"]) == 2
    assert "--quality" in capsys.readouterr().err
    words = ["dejpeg", str(result), "-o", str(tmp_path / "again.png"), "--quiet"]
    assert main([*words, "--consistent", "--quality", "20"]) == 0
    assert main([*words, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: untaught.dejpeg(PHOTO, consistent=True), "how the picture was compressed"),
        (lambda: untaught.dejpeg(PHOTO, quality=0), "between 1 and 100"),
        (lambda: untaught.dejpeg(PHOTO, compression_of_quality(20, 1), consistent=True), "of 1 channels"),
        (lambda: untaught.dejpeg(np.zeros((8, 8, 4), np.uint8), quality=20), "1 or 3 channels"),
        (lambda: Compression(((0,) * 64,)), "64 whole numbers"),
        (lambda: JPEG(compression_of_quality(20, 3))(torch.zeros(1, 1, 8, 8)), "3 channels"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(make, message):
    with pytest.raises(InputError, match=message):
        make()
