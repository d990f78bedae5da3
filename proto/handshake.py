"""A TLS handshake of our own with a forge: it finds the reason that gRPC keeps to itself."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

from cryptography import x509

from medforge.errors import ForgeUnavailable, InvalidInput, MedForgeError
from medforge.proto.certificates import now, server_name, spell_time
from medforge.proto.kit import CERTIFICATE_FILE, CERTIFICATE_KEY_FILE, Kit
from medforge.proto.passphrase import passphrase_for
from medforge.proto.proxy import connect

_SECONDS = 5.0
# OpenSSL's X509_V_ERR_… (include/openssl/x509_vfy.h)
_NOT_YET_VALID, _EXPIRED, _ANOTHER_NAME = 9, 10, 62


@dataclass(frozen=True)
class Peer:
    """Say what was met: the TLS version, and the server's certificate."""

    version: str
    certificate: x509.Certificate


def handshake(at: str, kit: Kit, seconds: float = _SECONDS) -> Peer:
    """Meet the forge at HOST:PORT over mutual TLS, up to the first bytes that it sends.

    Raises InvalidInput where trying again cannot help (each case says what is wrong), ForgeUnavailable where it may.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(cadata=kit.roots(now()).decode())
    key = kit.directory / CERTIFICATE_KEY_FILE
    # asked only where the key is encrypted
    context.load_cert_chain(kit.directory / CERTIFICATE_FILE, key, lambda: passphrase_for(key))
    with _connected(at, seconds) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=server_name(kit.card.forge)) as secure:
                certificate = x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
                _check_welcome(secure, at, kit)
                return Peer(secure.version() or "", certificate)
        except ssl.SSLCertVerificationError as error:
            raise _not_trusted(error, at, kit) from error
        except (ssl.SSLEOFError, ConnectionError, TimeoutError) as error:
            raise ForgeUnavailable(
                f"the connection to {at} was cut during the TLS handshake; see whether a firewall stands in between, "
                "or large packets get lost (MTU)"
            ) from error
        except ssl.SSLError as error:
            raise InvalidInput(
                f"what answers at {at} does not speak TLS; check the address, or give --plaintext if that forge is "
                f"served with --plaintext"
            ) from error


def speaks_tls(at: str, seconds: float = _SECONDS) -> bool:
    """Say whether what listens at HOST:PORT begins a TLS handshake, whoever it may be."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with connect(at, seconds) as plain, context.wrap_socket(plain):
            return True
    except (OSError, MedForgeError):
        return False


def diagnose(at: str, kit: Kit | None) -> MedForgeError | None:
    """Say why calls to an address fail if TLS is the reason and trying again cannot help, else None."""
    if kit is None:
        if speaks_tls(at):
            return InvalidInput(f"the forge at {at} speaks TLS and knows its callers; give your kit with --kit DIR")
        return None
    try:
        handshake(at, kit)
    except InvalidInput as error:
        return error
    except MedForgeError:
        return None
    return None


def _connected(at: str, seconds: float) -> socket.socket:
    try:
        return connect(at, seconds)
    except OSError as error:
        reason = error.strerror or error
        raise ForgeUnavailable(f"no connection to {at} ({reason}); check the address and the network") from error


def _check_welcome(secure: ssl.SSLSocket, at: str, kit: Kit) -> None:
    """See what the server says of our certificate: with TLS 1.3 a client is done before the server looks at it."""
    try:
        heard = secure.recv(1)
    except (ssl.SSLError, ConnectionError, TimeoutError):
        heard = b""
    if not heard:
        kit.check_valid(now())
        raise ForgeUnavailable(
            f"the forge at {at} ended the connection after the TLS handshake, as it does when it does not accept a "
            f"certificate; if that goes on, ask whoever runs the forge about the kit of {kit.card.contributor}"
        )
    if secure.selected_alpn_protocol() != "h2":
        raise InvalidInput(f"what answers at {at} speaks TLS but is not a forge; check the address")


def _not_trusted(error: ssl.SSLCertVerificationError, at: str, kit: Kit) -> InvalidInput:
    if error.verify_code == _EXPIRED:
        return InvalidInput(
            f"the certificate of the forge at {at} has ended by this machine's clock ({spell_time(now())}); set the "
            f"clock, or ask whoever runs the forge"
        )
    if error.verify_code == _NOT_YET_VALID:
        return InvalidInput(
            f"the certificate of the forge at {at} is not valid yet by this machine's clock ({spell_time(now())}); "
            f"set the clock"
        )
    what = "bears another name" if error.verify_code == _ANOTHER_NAME else "was not issued by the kit's CA"
    return InvalidInput(
        f"what answers at {at} is not the kit's forge {kit.card.forge}: its certificate {what} "
        f"({error.verify_message}); check the address, use the newest kit of that forge, and have this address "
        f"exempted if a firewall opens TLS"
    )
