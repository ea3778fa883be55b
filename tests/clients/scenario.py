"""What the scenarios of all Python clients share."""

import os
import subprocess
import sys
import time

VALUE_LARGE = b"\x00\xff\r\nEND\r\n0123456789" * 50_000  # 900,000 bytes of what looks like protocol
KEYS_MANY = 500


def server():
    """Host and port from the command line."""
    host, _, port = sys.argv[1].rpartition(":")
    return host, int(port)


def same(what, found, expected):
    """Fails loudly."""
    if found != expected:
        raise SystemExit(f"FAILED: {what}: found {found!r:.200}, expected {expected!r:.200}")


def refuses(what, call, *errors):
    """Asserts that a call raises one of these errors."""
    try:
        found = call()
    except errors:
        return
    raise SystemExit(f"FAILED: {what}: not refused, found {found!r:.200}")


def many(count=KEYS_MANY):
    """Keys and values for multi-set and multi-get; binary, of many lengths."""
    return {f"many-{number}": bytes([number % 256]) * (number % 300) for number in range(count)}


def reconnects(call):
    """Starts the server anew, where there is a way to, and expects that the client finds it again."""
    if not os.environ.get("RESTART"):
        return
    subprocess.run(os.environ["RESTART"], shell=True, check=True)
    error = None
    for _ in range(100):
        try:
            if call():
                return
        except Exception as failed:  # whatever a library makes of a lost connection
            error = failed
        time.sleep(0.1)
    raise SystemExit(f"FAILED: after a restart: {error!r}")
