"""Formats that other libraries read and write: what is written is read back, and what cannot be is told."""

import dataclasses
import importlib.util
import sys

import numpy as np
import pytest

from made_pictures import RNG, mosaic_with_a_preview, values
from untaught.cli import main
from untaught.errors import PictureError
from untaught.imaging import reading, writing
from untaught.imaging.formats.registry import FORMATS, RAW
from untaught.imaging.picture import Picture

WRITTEN = [one for one in FORMATS if one.types]


def made(kind, shape):
    """Random values of a type, of floats within 0 and 1."""
    if np.dtype(kind).kind == "f":
        return RNG.random(shape).astype(kind)
    limits = np.iinfo(kind)
    return RNG.integers(limits.min, limits.max, shape, kind, endpoint=True)


def needs(one):
    if one.library:
        pytest.importorskip(one.library)


CASES = [
    pytest.param(one, kind, channels, alpha, id=f"{one.name}-{kind}-{channels}{'a' * alpha}")
    for one in WRITTEN
    if not one.derived
    for kind in one.types
    for channels in one.channels
    for alpha in ((False, True) if channels in one.alpha else (False,))
]


@pytest.mark.parametrize(("one", "kind", "channels", "alpha"), CASES)
def test_a_picture_is_written_and_read_to_the_bit(tmp_path, one, kind, channels, alpha):
    needs(one)
    shape = (12, 10) if channels == 1 else (12, 10, channels)
    picture = Picture(made(kind, shape), made(kind, shape[:2]) if alpha else None)
    for suffix in one.suffixes:
        path = tmp_path / f"picture{suffix}"
        assert writing.check_writable(path, picture) == ()
        writing.write(path, picture)
        assert reading.format_of(path.read_bytes()) == one.name
        back = reading.read(path, page=1)
        assert back.pixels.dtype == kind
        np.testing.assert_array_equal(back.pixels, picture.pixels)
        assert (back.alpha is None) == (not alpha)
        if alpha:
            np.testing.assert_array_equal(back.alpha, picture.alpha)


@pytest.mark.parametrize("one", [one for one in WRITTEN if one.stacks and not one.derived], ids=lambda one: one.name)
def test_slices_are_a_volume_or_chosen(tmp_path, one):
    needs(one)
    pixels = made(np.int16, (3, 9, 8))
    path = tmp_path / f"volume{one.suffixes[-1]}"
    writing.write(path, Picture(pixels, volume=True))
    np.testing.assert_array_equal(reading.read(path, volume=True).pixels, pixels)
    np.testing.assert_array_equal(reading.read(path, page=2).pixels, pixels[1])
    with pytest.raises(PictureError, match="holds 3 slices: choose one by --page"):
        reading.read(path)
    with pytest.raises(PictureError, match="there is no page 4"):
        reading.read(path, page=4)


def fits(path):
    from astropy.io import fits

    hdu = fits.PrimaryHDU(made(np.float32, (12, 10)) * 500)
    hdu.header["OBJECT"], hdu.header["CRPIX1"], hdu.header["CDELT1"] = "M 31", 5.0, 0.25
    hdu.writeto(path)


def fits_said(path):
    from astropy.io import fits

    header = fits.getheader(path)
    return header["OBJECT"], header["CRPIX1"], header["CDELT1"]


def mrc(path):
    import mrcfile

    with mrcfile.new(path) as file:
        file.set_data(made(np.float32, (12, 10)) * 90)
        file.voxel_size = 2.0
        file.add_label("grid 7")


def mrc_said(path):
    import mrcfile

    with mrcfile.open(path) as file:
        return any(b"grid 7" in label for label in file.header.label), float(file.voxel_size.x)


def nifti(path):
    import nibabel

    image = nibabel.Nifti1Image(made(np.int16, (10, 12, 1)), np.diag([2.0, 3.0, 4.0, 1.0]))
    image.header["descrip"] = b"a knee"
    path.write_bytes(image.to_bytes())


def nifti_said(path):
    import nibabel

    image = nibabel.Nifti1Image.from_bytes(path.read_bytes())
    return bytes(image.header["descrip"])[:6], tuple(np.diag(image.affine)[:2])


def dicom(path, pixels=None):
    import pydicom
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    pixels = made(np.int16, (12, 10)) // 16 if pixels is None else pixels
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = pydicom.Dataset()
    file.file_meta = meta
    file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    file.PatientName, file.PixelSpacing, file.RescaleSlope = "Doe^J", [0.5, 0.75], 1
    file.Rows, file.Columns, file.SamplesPerPixel = *pixels.shape[-2:], 1
    file.PhotometricInterpretation, file.PixelRepresentation = "MONOCHROME2", 1
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, 12, 11
    if pixels.ndim == 3:
        file.NumberOfFrames = len(pixels)
    file.PixelData = pixels.tobytes()
    file.save_as(path, enforce_file_format=True)


def dicom_said(path):
    import pydicom

    file = pydicom.dcmread(path)
    return str(file.PatientName), file.BitsStored, list(map(float, file.PixelSpacing))


def exr(path):
    import OpenEXR

    with OpenEXR.File({"owner": "us", "type": OpenEXR.scanlineimage}, {"RGB": made(np.float32, (12, 10, 3))}) as file:
        file.write(str(path))


def exr_said(path):
    import OpenEXR

    with OpenEXR.File(str(path)) as file:
        return file.header()["owner"]


HEADERS = {
    ".fits": (fits, fits_said, ("M 31", 5.0, 0.25), ("M 31", 9.5, 0.125)),
    ".mrc": (mrc, mrc_said, (True, 2.0), (True, 1.0)),
    ".nii": (nifti, nifti_said, (b"a knee", (2.0, 3.0)), (b"a knee", (1.0, 1.5))),
    ".dcm": (dicom, dicom_said, ("Doe^J", 12, [0.5, 0.75]), ("Doe^J", 12, [0.25, 0.375])),
    ".exr": (exr, exr_said, "us", "us"),
}


@pytest.mark.parametrize("suffix", HEADERS)
def test_the_formats_own_header_is_kept(tmp_path, suffix):
    one = next(one for one in FORMATS if suffix in one.suffixes)
    needs(one)
    make, said, kept, enlarged = HEADERS[suffix]
    make(tmp_path / f"in{suffix}")
    picture = reading.read(tmp_path / f"in{suffix}")
    out = tmp_path / f"out{suffix}"
    assert writing.check_writable(out, picture) == ()
    writing.write(out, picture)
    assert said(out) == kept
    np.testing.assert_array_equal(reading.read(out).pixels, picture.pixels)
    writing.write(out, picture.with_pixels(np.repeat(np.repeat(picture.pixels, 2, 0), 2, 1)))
    assert said(out) == enlarged
    losses = writing.check_writable(tmp_path / "out.tif", picture)
    assert losses == ("the header of the file's own format is not kept in TIFF and will be lost",)


def test_frames_of_dicom(tmp_path):
    pytest.importorskip("pydicom")
    pixels = made(np.int16, (3, 6, 4)) // 16
    dicom(tmp_path / "in.dcm", pixels)
    volume = reading.read(tmp_path / "in.dcm", volume=True)
    assert volume.levels == (-2048, 2047)
    writing.write(tmp_path / "out.dcm", volume)
    np.testing.assert_array_equal(reading.read(tmp_path / "out.dcm", volume=True).pixels, pixels)
    with pytest.raises(PictureError, match="DICOM is made only from DICOM"):
        writing.write(tmp_path / "new.dcm", Picture(pixels[0]))


def test_what_heic_says_besides_is_kept(tmp_path):
    pytest.importorskip("pillow_heif")
    from PIL import Image, ImageCms

    tags = Image.Exif()
    tags[0x010F] = "a camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Picture(values(np.uint8, 3))
    metadata = dataclasses.replace(picture.metadata, exif=tags.tobytes(), icc_profile=profile)
    writing.write(tmp_path / "a.heic", dataclasses.replace(picture, metadata=metadata))
    back = reading.read(tmp_path / "a.heic").metadata
    assert back.icc_profile == profile
    assert b"a camera" in back.exif


def test_levels_of_values_beyond_their_type(tmp_path):
    """Floats beyond 0 to 1 and signed numbers are denoised without further options."""
    pytest.importorskip("astropy")
    pytest.importorskip("mrcfile")
    pixels = (RNG.normal(900, 40, (16, 16))).astype(np.float32)
    for suffix in (".fits", ".mrc"):
        writing.write(tmp_path / f"in{suffix}", Picture(pixels))
        words = ["denoise", tmp_path / f"in{suffix}", "-o", tmp_path / f"out{suffix}", "--noise", 40, "--iterations", 2]
        assert main([*map(str, words), "--quiet"]) == 0
        result = reading.read(tmp_path / f"out{suffix}").pixels
        assert 700 < result.min() < result.max() < 1100


def test_the_mosaic_of_a_camera_is_read(tmp_path):
    pytest.importorskip("rawpy")
    pixels = mosaic_with_a_preview(tmp_path / "a.dng")
    picture = reading.read(tmp_path / "a.dng")
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.levels == (64, 4095)
    assert "--pattern GRBG" in picture.notes[0]
    with pytest.raises(PictureError, match="is read only"):
        writing.write(tmp_path / "b.dng", picture)


@pytest.mark.parametrize("one", [one for one in FORMATS if one.library], ids=lambda one: one.name)
def test_a_missing_library_is_told_with_its_install_line(tmp_path, monkeypatch, capsys, one):
    if one is RAW:
        content = b"IIRO" + bytes(100)
    else:
        place, start = one.starts[0]
        content = bytes(place) + start + bytes(100)
    monkeypatch.setitem(sys.modules, one.library, None)
    path = tmp_path / f"in{one.suffixes[0]}"
    path.write_bytes(content)
    out = tmp_path / "out.png"
    assert main(["denoise", str(path), "-o", str(out)]) == 2
    told = capsys.readouterr().err.strip()
    assert told.count("\n") == 0
    assert f'pip install "untaught[{one.extra}]"' in told
    if one.types and not one.derived:
        kind = one.types[0]
        with pytest.raises(PictureError, match="pip install"):
            writing.check_writable(tmp_path / f"out{one.suffixes[0]}", Picture(made(kind, (8, 8))))


@pytest.mark.parametrize("one", [one for one in WRITTEN if not one.derived], ids=lambda one: one.name)
def test_the_studio_takes_it(tmp_path, monkeypatch, one):
    needs(one)
    from untaught.studio import file_reader

    monkeypatch.chdir(tmp_path)
    writing.write(tmp_path / f"a{one.suffixes[0]}", Picture(made(one.types[-1], (12, 10))))
    (tmp_path / f"a{one.suffixes[0]}").rename(tmp_path / "file")
    said = file_reader.read_picture()
    assert (said["format"], said["width"], said["height"]) == (one.name, 10, 12)
    assert (tmp_path / "view.png").exists()
    assert (tmp_path / f"original{one.suffixes[0]}").exists()


@pytest.mark.parametrize("one", WRITTEN, ids=lambda one: one.name)
@pytest.mark.parametrize("length", [0.3, 0.9])
def test_a_cut_off_file_is_an_error(tmp_path, one, length):
    needs(one)
    path = tmp_path / f"in{one.suffixes[0]}"
    if one.name == "DICOM":
        dicom(path)
    else:
        writing.write(path, Picture(made(one.types[0], (40, 30))))
    content = path.read_bytes()
    path.write_bytes(content[: int(length * len(content))])
    with pytest.raises(PictureError):
        reading.read(path, page=1)


def test_an_extra_for_each_library():
    from importlib.metadata import metadata

    extras = metadata("untaught").get_all("Provides-Extra")
    if "formats" in extras:  # of the package as it is installed
        assert {one.extra for one in FORMATS if one.library} <= set(extras)
    assert all(importlib.util.find_spec(f"untaught.imaging.formats.{one.module}") for one in FORMATS)
