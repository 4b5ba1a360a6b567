"""TLS to Valkey: the files that a URL names, and what is wrong with a server's certificate."""

from __future__ import annotations

import ssl
from typing import Final

from hotbandd.errors import SettingsError
from hotbandd.settings.urls import split
from hotbandd.settings.valkey_url import CA_FILE, CERTIFICATE, KEY, options

_MARK: Final = " (TLS)"
_EXPIRED: Final = 10
_NOT_YET: Final = 9
_NAMES: Final = (62, 64)  # of a host, of an IP address
_UNKNOWN: Final = (18, 19, 20, 21)  # self-signed, a self-signed CA, no CA, one certificate alone


def named(server: str) -> str:
    """Return the name of a server that is spoken to over TLS."""
    return server + _MARK


def asked_for(place: str) -> bool:
    """Tell whether a server of that name is spoken to over TLS."""
    return place.endswith(_MARK)


def check_files(url: str) -> None:
    """Raise SettingsError for a file of certificates that is not there or is none; connecting would fail much later."""
    found = options(split(url))
    context = ssl.create_default_context()
    name = CA_FILE
    try:
        if CA_FILE in found:
            context.load_verify_locations(found[CA_FILE])
        if CERTIFICATE in found:
            name = CERTIFICATE
            context.load_cert_chain(found[CERTIFICATE], found.get(KEY), password=_no_password)
    except (OSError, ValueError) as error:
        why = (
            error.strerror if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else "not in PEM form"
        )
        raise SettingsError(f"VALKEY_URL: the file of its {name} cannot be used ({why}); name another one.") from error


def _no_password() -> str:
    """Answer for a key that asks for a password, on a terminal otherwise."""
    return ""


def fault(error: BaseException | None) -> str | None:
    """Return what is wrong with the TLS of a server and what to do about it; None where it is something else."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return _certificate(error)
        if isinstance(error, ssl.SSLError):
            return f"TLS with it fails ({error.reason}); turn TLS on there, with a version of today, or name the certificate that it asks for"
        error = error.__cause__ or error.__context__
    return None


def _certificate(error: ssl.SSLCertVerificationError) -> str:
    code, message = error.verify_code, error.verify_message
    if code in {_EXPIRED, _NOT_YET}:
        return f"its certificate is out of date ({message}); renew it, or set this machine's clock"
    if code in _NAMES:
        return f"its certificate is another server's ({message}); use the name in VALKEY_URL that it was issued for"
    if code in _UNKNOWN:
        return (
            f"nobody trusted vouches for its certificate ({message}); name its CA's file: ?{CA_FILE}=FILE in VALKEY_URL"
        )
    return f"its certificate is not accepted ({message}); issue another one"
