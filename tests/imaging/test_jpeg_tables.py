import io

import pytest
from PIL import Image
from skimage import data

from untaught.errors import InputError, SettingError
from untaught.imaging.jpeg_tables import Compression, compression_for_quality, read_compression

PHOTO = data.coffee()[100:137, 200:243]


def compressed(**options):
    file = io.BytesIO()
    Image.fromarray(PHOTO).save(file, "JPEG", **options)
    return file.getvalue()


def test_tables_and_subsampling_are_read_from_the_file():
    assert read_compression(compressed(quality=30)) == compression_for_quality(30, 3)
    assert read_compression(compressed(subsampling=0)).subsampling == (1, 1)
    assert read_compression(compressed(subsampling=2)).subsampling == (2, 2)


def test_files_that_are_not_supported_give_none():
    turned = Image.Exif()
    turned[0x0112] = 6
    assert read_compression(b"\x89PNG") is None
    assert read_compression(compressed(keep_rgb=True)) is None
    assert read_compression(compressed(exif=turned)) is None


def test_impossible_tables_and_qualities_are_refused():
    with pytest.raises(InputError, match="64 whole numbers"):
        Compression(((0,) * 64,))
    with pytest.raises(InputError, match="1 or 3 tables"):
        Compression(((1,) * 64,) * 2)
    with pytest.raises(SettingError, match="between 1 and 100"):
        compression_for_quality(0, 1)
