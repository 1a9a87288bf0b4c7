"""Secrets: files only their owner can read, comparison in constant time, and tokens derived from keys."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from shared.errors import SettingsError


def same_secret(given: str, expected: str) -> bool:
    """Compare two secrets without telling by time how much of them agrees."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def read_or_create_secret(path: Path) -> str:
    """The secret in a file, made on first use with mode 0600; raises SettingsError."""
    try:
        return create_secret(path)
    except FileExistsError:
        return read_secret(path)


def create_secret(path: Path) -> str:
    """Write a new secret that only the owner can read; raises FileExistsError when there is one."""
    secret = secrets.token_urlsafe(32)
    write_private(path, secret + "\n", exclusive=True)
    return secret


def read_secret(path: Path) -> str:
    """The secret in a file; raises SettingsError when it is empty or cannot be read."""
    try:
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the secret in {path}: {error}") from error
    if not secret:
        raise SettingsError(
            f"{path} is empty: delete it, and a new secret is made at the next start"
        )
    return secret


def write_private(path: Path, text: str, *, exclusive: bool = False) -> None:
    """Write a file that only its owner can read, atomically; `exclusive` refuses to replace one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if exclusive:
            os.link(temporary, path)
        else:
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a new or renamed file in this folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def derive(secret: str, purpose: str) -> str:
    """A secret for one purpose, made from another that must not be shown (HMAC-SHA-256, RFC 2104)."""
    return hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()


def fingerprint(secret: str) -> str:
    """What may be stored and shared to recognise a secret of full entropy."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
