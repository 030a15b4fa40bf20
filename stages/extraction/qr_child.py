"""Looks for codes in hostile images, for qr.py: `python -m stages.extraction.qr_child BYTES`.

It speaks over the socket that is its standard input: an image comes with its length in front, and goes
back as what its codes say, or as why it can't be read. Decoders of images are C, and images are made to
break them. So it loads all it needs, gives up the means to open anything, and may die of any image.
"""

import io
import signal
import socket
import sys
import warnings
from contextlib import suppress

import msgpack
import zxingcpp
from PIL import Image, UnidentifiedImageError

from trap.confinement import confine, limit_cpu

_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM")
_CODES = zxingcpp.barcode_formats_from_str("QRCode,Aztec,DataMatrix")
_MAX_PIXELS = 25_000_000
_MAX_SIDE = 2400
"""Larger images are made smaller first: what is a code to a telephone is one still."""
_LEAST_SIDE = 11
"""Pixels; no code has fewer modules."""
_MAX_CODES = 20
_MAX_TEXT = 4000
"""Characters; a QR code may hold 4,296."""
_LENGTH = 4
_FILES = 3


def main() -> None:
    """Serve until nobody can speak to us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is for who started us
    warnings.simplefilter("ignore")  # of images that are odd
    Image.MAX_IMAGE_PIXELS = None  # we have a limit of our own, which is an answer and no exception
    _load()
    confine(int(sys.argv[1]), _FILES)
    with socket.socket(fileno=0) as asker, asker.makefile("rwb") as stream, suppress(OSError):
        stream.write(b"+")
        stream.flush()
        while len(head := stream.read(_LENGTH)) == _LENGTH:
            limit_cpu(int.from_bytes(stream.read(1), "big"))
            answer = msgpack.packb(_answer(stream.read(int.from_bytes(head, "big"))))
            stream.write(len(answer).to_bytes(_LENGTH, "big") + answer)
            stream.flush()


def _answer(data: bytes) -> list[str] | str:
    """What the codes of an image say, or why it can't be read."""
    try:
        return _codes(data)
    except UnidentifiedImageError:
        return "no image of a kind that we know"
    except Exception as error:  # decoders raise anything at hostile images
        return f"{type(error).__name__}: {error}"[:100]


def _codes(data: bytes) -> list[str]:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        width, height = image.size
        if width * height > _MAX_PIXELS:
            raise ValueError(f"{width} x {height} pixels")
        if min(width, height) < _LEAST_SIDE:
            return []
        image.draft("L", (_MAX_SIDE, _MAX_SIDE))
        grey = _on_white(image)
    shrink = -(-max(grey.size) // _MAX_SIDE)
    if shrink > 1:
        grey = grey.reduce(shrink)
    found = zxingcpp.read_barcodes(grey, formats=_CODES)
    return [code.text[:_MAX_TEXT] for code in found[:_MAX_CODES] if code.text]


def _on_white(image: Image.Image) -> Image.Image:
    """In shades of grey; what is transparent is white, as most readers of mail show it."""
    if not image.has_transparency_data:
        return image.convert("L")
    seen = image.convert("LA")
    white = Image.new("L", seen.size, 255)
    white.paste(seen.getchannel("L"), mask=seen.getchannel("A"))
    return white


def _load() -> None:
    """Import what is otherwise imported when the first image of a kind comes."""
    dots = Image.new("L", (_LEAST_SIDE, _LEAST_SIDE))
    for kind in _FORMATS:
        written = io.BytesIO()
        dots.convert("RGB").save(written, kind)
        _answer(written.getvalue())


if __name__ == "__main__":
    main()
