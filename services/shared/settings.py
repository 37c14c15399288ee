"""Settings come from a mapping that is passed in, are typed once, and fail at start naming the variable."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOG_LEVELS = ("debug", "info", "warning", "error")


class SettingsError(Exception):
    """A variable whose value cannot be used; the message names it and says what is accepted."""


@dataclass(frozen=True, slots=True)
class Variables:
    """Typed reading of variables `GRAYSCALE_…`; an empty value counts as absent. Every method raises SettingsError."""

    values: Mapping[str, str]

    def text(self, name: str, default: str) -> str:
        """The value, or what the file at `<name>_FILE` holds, without the white space around it: a secret that is
        mounted as a file need not stand in the environment, which children and `docker inspect` show."""
        value, path = self.values.get(name), self.values.get(f"{name}_FILE")
        if not path:
            return value or default
        if value:
            raise SettingsError(f"{name} and {name}_FILE are both set: set one of them")
        try:
            content = Path(path).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or "it is not UTF-8"
            raise SettingsError(f"{name}_FILE is {path!r}: it cannot be read: {reason}") from error
        if not content:
            raise SettingsError(f"{name}_FILE is {path!r}: the file is empty")
        return content

    def word(self, name: str, default: str, words: Sequence[str]) -> str:
        """One of these words, in any case."""
        value = (self.values.get(name) or default).lower()
        if value not in words:
            raise SettingsError(f"{name} is {value!r}: use one of {', '.join(words)}")
        return value

    def path(self, name: str, default: Path) -> Path:
        return Path(self.values.get(name) or default).expanduser().resolve()

    def file(self, name: str) -> Path | None:
        """A file that exists; None when the variable is not set."""
        value = self.values.get(name)
        if not value:
            return None
        path = Path(value).expanduser()
        if not path.is_file():
            raise SettingsError(f"{name} is {value!r}: no such file")
        return path

    def integer(self, name: str, default: int, *, minimum: int = 0, maximum: int = 2**31 - 1) -> int:
        value = self.values.get(name)
        if not value:
            return default
        try:
            number = int(value)
        except ValueError:
            number = minimum - 1
        if not minimum <= number <= maximum:
            raise SettingsError(f"{name} is {value!r}: use a whole number from {minimum} to {maximum}")
        return number

    def seconds(self, name: str, default: float, *, maximum: float = 3600.0) -> float:
        value = self.values.get(name)
        if not value:
            return default
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not 0 <= number <= maximum:
            raise SettingsError(f"{name} is {value!r}: use a number of seconds from 0 to {maximum:g}")
        return number

    def flag(self, name: str, default: bool) -> bool:
        value = self.values.get(name)
        if not value:
            return default
        words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        if value.lower() not in words:
            raise SettingsError(f"{name} is {value!r}: use one of {', '.join(words)}")
        return words[value.lower()]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tls_files(variables: Variables, certificate: str, key: str) -> tuple[Path | None, Path | None]:
    """A certificate chain and its private key, both PEM files, or neither; raises SettingsError, also when they do not
    belong together or the key asks for a password."""
    chain, private = variables.file(certificate), variables.file(key)
    if (chain is None) != (private is None):
        raise SettingsError(f"{certificate} and {key} belong together: set both or none")
    if chain is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, private, password="")
        except OSError as error:
            reason = f"{certificate} is {str(chain)!r} and {key} is {str(private)!r}: they cannot be used: {error}"
            raise SettingsError(reason) from error
    return chain, private
