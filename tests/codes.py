"""Images with codes in them, as mail has them."""

import io

import pytest

Image = pytest.importorskip("PIL.Image", reason="the extra qr (Pillow) is not installed")
zxingcpp = pytest.importorskip("zxingcpp", reason="the extra qr (zxing-cpp) is not installed")


def drawn(text: str, form: str = "QRCode", scale: int = 4) -> "Image.Image":
    """A code as an image in shades of grey."""
    code = zxingcpp.create_barcode(text, zxingcpp.barcode_format_from_str(form))
    dots = zxingcpp.write_barcode_to_image(code, scale=scale)
    return Image.frombuffer("L", (dots.shape[1], dots.shape[0]), bytes(dots))


def saved(image: "Image.Image", kind: str = "PNG", **how: object) -> bytes:
    """The bytes of an image file."""
    written = io.BytesIO()
    image.save(written, kind, **how)
    return written.getvalue()
