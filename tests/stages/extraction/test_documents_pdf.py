"""PDF: links and codes come out, of locked ones too."""

import email
import hashlib
import re
import zlib
from collections.abc import Callable
from contextlib import closing
from email.message import Message
from pathlib import Path

import archivesmade as made
import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.extraction.budget import Budget
from stages.extraction.documents import Document
from stages.extraction.documents_lock import _PADDING
from stages.extraction.documents_pdf import pdf
from stages.extraction.passwords import candidates
from stages.extraction.qr import Reader

URL = "https://evil.example/(a)?b=1"
HEAD = b"%PDF-1.7\n"


def read(data: bytes, *passwords: str) -> Document:
    return pdf(data, Budget(5, 20 << 20, 1000), passwords)


def stream(dictionary: bytes, data: bytes, number: int = 5) -> bytes:
    return b"%d 0 obj\n<<%s /Length %d>>\nstream\n%s\nendstream\nendobj\n" % (
        number,
        dictionary,
        len(data),
        data,
    )


@pytest.mark.parametrize(
    "said",
    [
        rb"/URI (https://evil.example/\(a\)?b=1)",
        rb"/URI(https://evil.example/\050a\51?b=1)",
        b"/URI (https://evil.ex\\\nample/\\(a\\)?b=1)",
        b"/URI <%s>" % URL.encode().hex().encode(),
        b"/URI\n<68747470733A2F2F 6576696C2E6578616D706C652F286129 3F623D31>",
    ],
)
def test_links_are_found_as_they_are_written(said: bytes) -> None:
    link = b"4 0 obj\n<</Type/Annot/A<</S/URI %s>>>>\nendobj\n" % said
    assert read(HEAD + link).urls == [URL]
    packed = zlib.compress(link)
    assert read(HEAD + stream(b"/Type/ObjStm/Filter/FlateDecode", packed)).urls == [URL]
    assert read(HEAD + stream(b"/Filter[/FlateDecode]", packed[:-4])).urls == [URL]  # cut off


def test_what_is_no_link_is_none() -> None:
    assert read(HEAD + b"/S /URI (noise\x80) /URI () /URI <zz>").urls == []


def idat(png: bytes) -> bytes:
    return b"".join(re.findall(rb"IDAT(.*)....IEND", png, re.DOTALL))[:-8]


def codes_in(document: Document) -> list[str]:

    with closing(Reader(seconds=10)) as reader:
        return [text for image in document.images for text in reader.read(image)]


@pytest.mark.parametrize("how", ["DCTDecode", "grey", "colours", "bits", "predicted"])
def test_codes_in_images_are_read(how: str) -> None:
    from codes import drawn, saved  # noqa: PLC0415 - skips without the extra qr

    image = drawn(URL)
    side = b"/Subtype/Image/Width %d /Height %d " % image.size
    eight = side + b"/BitsPerComponent 8 "
    data = {
        "DCTDecode": (eight + b"/ColorSpace/DeviceRGB/Filter/DCTDecode", saved(image, "JPEG")),
        "grey": (eight + b"/ColorSpace/DeviceGray/Filter/FlateDecode", zlib.compress(image.tobytes())),
        "colours": (
            eight + b"/ColorSpace/DeviceRGB/Filter/FlateDecode",
            zlib.compress(image.convert("RGB").tobytes()),
        ),
        "bits": (
            side + b"/BitsPerComponent 1 /ColorSpace/DeviceGray/Filter/FlateDecode",
            zlib.compress(image.convert("1").tobytes()),
        ),
        "predicted": (
            eight + b"/ColorSpace/DeviceGray/Filter/FlateDecode/DecodeParms<</Predictor 15>>",
            idat(saved(image)),
        ),
    }[how]
    assert codes_in(read(HEAD + stream(*data))) == [URL]


def rc4(key: bytes, data: bytes) -> bytes:
    return Cipher(ARC4(key), None).encryptor().update(data)


def aes(key: bytes, data: bytes) -> bytes:
    padding = 16 - len(data) % 16
    return bytes(16) + Cipher(AES(key), CBC(bytes(16))).encryptor().update(data + bytes([padding]) * padding)


def md5(data: bytes) -> bytes:
    return hashlib.md5(data).digest()


def locked(password: str, revision: int) -> bytes:
    """A PDF with a link in the open and one in a stream, encrypted as of some revision; ISO 32000-1, 7.6."""
    owner, length = bytes(range(50, 82)), 5 if revision == 2 else 16
    key = md5((password.encode() + _PADDING)[:32] + owner + b"\xfc\xff\xff\xff" + b"ID" * 8)
    for _ in range(0 if revision == 2 else 50):
        key = md5(key[:length])
    key = key[:length]
    user = rc4(key, _PADDING)
    if revision > 2:
        user = md5(_PADDING + b"ID" * 8)
        for turn in range(20):
            user = rc4(bytes(byte ^ turn for byte in key), user)
        user += bytes(16)

    def secret(number: int, data: bytes) -> bytes:
        salt = number.to_bytes(3, "little") + b"\0\0"
        if revision == 4:
            return aes(md5(key + salt + b"sAlT")[:16], data)
        return rc4(md5(key + salt)[: length + 5], data)

    link = secret(4, b"https://evil.example/1").hex().encode()
    packed = secret(5, zlib.compress(b"/URI (https://evil.example/2)"))
    kind = b"/V %d /R %d /Length %d" % ({2: 1, 3: 2, 4: 4}[revision], revision, 8 * length)
    kind += b"/CF<</StdCF<</CFM/AESV2/Length 16>>>>" if revision == 4 else b""
    return b"".join(
        (
            HEAD,
            b"4 0 obj\n<</A<</S/URI/URI<%s>>>>\nendobj\n" % link,
            stream(b"/Type/ObjStm/Filter/FlateDecode", packed),
            b"9 0 obj\n<</Filter/Standard %s/P -4/O<%s>/U<%s>>>\nendobj\n"
            % (kind, owner.hex().encode(), user.hex().encode()),
            b"trailer\n<</Encrypt 9 0 R/ID[<%s><00>]>>\n" % (b"ID" * 8).hex().encode(),
        )
    )


@pytest.mark.parametrize("revision", [2, 3, 4])
@pytest.mark.parametrize("password", ["", "123"])
def test_a_locked_one_is_opened(password: str, revision: int) -> None:
    document = read(locked(password, revision), "wrong", "123")
    assert document.urls == ["https://evil.example/1", "https://evil.example/2"]
    assert (document.encrypted, document.password, document.locked) == (True, password, False)


@pytest.mark.parametrize("revision", [2, 3, 4])
def test_without_the_password_it_stays_locked(revision: int) -> None:
    document = read(locked("unknown", revision), "wrong", "123")
    assert (document.urls, document.encrypted, document.locked) == ([], True, True)


SAMPLES: list[Callable[[], bytes]] = [
    lambda: HEAD + stream(b"/Filter/FlateDecode", zlib.compress(b"/URI (https://evil.example/2)")),
    lambda: locked("", 2),
    lambda: locked("", 3),
    lambda: locked("", 4),
    lambda: HEAD + b"trailer <</Encrypt<</V 5/R 6/U(%s)/UE(%s)>>>>" % (b"u" * 48, b"e" * 32),
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SAMPLES), made.SCARS)
def test_damage_does_no_harm(sample: Callable[[], bytes], scars: list[tuple[int, bytes]]) -> None:
    assert len(read(made.scarred(sample(), scars), "123").urls) <= 2


def texts(message: Message) -> str:
    return "\n".join(
        str(part.get_payload(decode=True), "utf-8", "replace")
        for part in message.walk()
        if part.get_content_type() == "text/plain"
    )


def test_locked_ones_of_real_spam_open_with_what_their_text_says(corpus: Path) -> None:
    """They ask for three digits, or for nothing, and all have a link that nobody sees without."""
    opened = []
    for path in sorted((corpus / "spam").glob("*.eml")) + sorted((corpus / "phish").glob("*.eml")):
        raw = path.read_bytes()
        if b".pdf" not in raw:
            continue
        message = email.message_from_bytes(raw)
        for part in message.walk():
            data = part.get_payload(decode=True)
            if isinstance(data, bytes) and data.startswith(b"%PDF") and b"/Encrypt" in data:
                document = read(data, *candidates(re.sub("<[^>]*>", " ", texts(message))))
                opened.append((document.locked, len(document.urls)))
    if not opened:
        pytest.skip("no locked PDF in this corpus")
    assert set(opened) == {(False, 1)}
