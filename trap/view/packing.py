"""Packs what may be malware into a zip with the password that everybody uses for it."""

import io
import time

import pyzipper

from trap.view import reading
from trap.view.wire import Source

PASSWORD = b"infected"
_MAX_DEFLATED = 8 << 20
"""Bytes; what is larger is stored as it is, which is faster by far."""
_ZIP_EPOCH = 315532800
"""1980; zip knows no time before."""


def packed(source: Source, message: bytes, number: int | None) -> bytes:
    """An encrypted zip (AES-256) of one part, or of the whole message as a file.

    Raises:
        NoPart: there is none of that number.
    """
    if number is None:
        name, data = f"{source.id}.eml", message
    else:
        part = reading.part(message, number)
        name, data = part.name, part.data
    method = pyzipper.ZIP_DEFLATED if len(data) <= _MAX_DEFLATED else pyzipper.ZIP_STORED
    written = io.BytesIO()
    with pyzipper.AESZipFile(written, "w", compression=method, encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(PASSWORD)
        date = time.gmtime(max(source.received_at, _ZIP_EPOCH))[:6]
        entry = archive.zipinfo_cls(filename=name, date_time=date)
        entry.compress_type = method
        archive.writestr(entry, data)
    return written.getvalue()
