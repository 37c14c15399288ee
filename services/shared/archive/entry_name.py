"""Names inside an archive. Pure.

Nothing is ever written under such a name, but it is shown to people and comes back in results, from which somebody
may make a path: so a name that leads anywhere else than downwards is refused here.
"""

from __future__ import annotations

import re

from services.shared.archive.base import refused, shown

_DRIVE = re.compile(r"[A-Za-z]:")
_LEFT_OUT = {".DS_Store", "Thumbs.db", "desktop.ini"}


def entry_name(raw: bytes, *, is_utf8: bool, max_bytes: int) -> str:
    """A relative path with '/' between its parts, and '/' at the end of a folder. Raises InvalidInput.

    Names are UTF-8 where flag bit 11 says so and else code page 437 (APPNOTE.TXT, appendix D); what is valid UTF-8 is
    read as that in any case, because macOS and Linux leave the bit out.
    """
    if len(raw) > max_bytes:
        raise refused(f"the name {shown(raw[:100].decode('utf-8', 'replace'))} is longer than {max_bytes} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        if is_utf8:
            raise refused(f"the name {shown(raw.decode('utf-8', 'replace'))} is not UTF-8, as it says") from None
        text = raw.decode("cp437")
    if not text or not text.isprintable():
        raise refused(f"the name {shown(text)} is empty or has characters that cannot be shown")
    path = text.replace("\\", "/")  # as older Windows programs write it
    if path.startswith("/") or _DRIVE.match(path):
        raise refused(f"the name {shown(text)} is an absolute path")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise refused(f"the name {shown(text)} leads out of the archive")
    return "/".join(parts) + ("/" if path.endswith("/") or not parts else "")


def is_left_out(name: str) -> bool:
    """Folders, and what operating systems add by themselves."""
    parts = name.split("/")
    return parts[-1] == "" or parts[0] == "__MACOSX" or parts[-1] in _LEFT_OUT or parts[-1].startswith("._")
