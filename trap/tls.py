"""The certificate for STARTTLS: a configured one, or one of our own making.

A trap proves nothing with its certificate, it only wants to hear the rest: old TLS versions and weak
ciphers are taken as they come.
"""

import datetime
import fcntl
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from trap import fsio
from trap.config import Config

VALID_DAYS = 3650


def server_context(config: Config, owner: tuple[int, int] | None = None) -> ssl.SSLContext | None:
    """What STARTTLS is done with; None when it is not offered.

    Args:
        config: tls, paths.state and hostname are used.
        owner: uid and gid that a certificate of our making shall belong to.

    Raises:
        OSError: the certificate can't be read, written or used (ssl.SSLError is one).
    """
    if not config.tls.enabled:
        return None
    if config.tls.cert and config.tls.key:
        cert, key = config.tls.cert, config.tls.key
    else:
        cert, key = own_certificate(config.paths.state / "tls", config.hostname, owner)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(cert, key)
    return context


def own_certificate(directory: Path, hostname: str, owner: tuple[int, int] | None) -> tuple[Path, Path]:
    """Certificate and key files in `directory`, made and signed by ourselves unless they are there.

    Raises:
        OSError: they can't be written.
    """
    cert, key = directory / "cert.pem", directory / "key.pem"
    if not (cert.exists() and key.exists()):
        fsio.make_directory(directory)
        # RACE: two processes make one at once, and the key of one would be left beside the certificate of
        # the other: the second waits, and finds both. (test_processes_that_come_at_once_have_one_certificate)
        lock = os.open(directory, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (cert.exists() and key.exists()):
                _make(cert, key, hostname, owner)
        finally:
            os.close(lock)
    return cert, key


def _make(cert: Path, key: Path, hostname: str, owner: tuple[int, int] | None) -> None:
    """Make both files anew."""
    if owner:
        os.chown(cert.parent, *owner)
    made_cert, made_key = _self_signed(hostname)
    fsio.unlink(str(cert))  # a crash between the two leaves none, and both are made anew
    for path, pem in ((key, made_key), (cert, made_cert)):
        new = f"{path}.{os.getpid()}"
        fsio.write(new, [pem], sync=True)
        if owner:
            os.chown(new, *owner)
        fsio.rename(new, str(path))


def _self_signed(hostname: str) -> tuple[bytes, bytes]:
    """A certificate for `hostname` and its key, both as PEM."""
    plain = hostname.encode("ascii", "ignore").decode()[:64] or "localhost"
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, plain)])
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(plain)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return cert.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
