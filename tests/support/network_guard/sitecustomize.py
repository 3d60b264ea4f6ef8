"""Lets a Python process reach its own machine only, and records every attempt to go further.

Python imports a module of this name at start-up when its folder is on PYTHONPATH. So lessons,
and whatever Python programs they start, are guarded without knowing it. An audit hook sees every
socket of the process, whoever opens it, and cannot be taken off again.
"""

import ipaddress
import os
import sys
from typing import Any


def is_local(host: Any) -> bool:
    """Tell whether a host name or address means this very machine."""
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if host in (None, "", "localhost", "ip6-localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook: stop and record what would leave this machine."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        # Sockets of the file system have a path for an address; an already connected one has none.
        host = address[0] if isinstance(address, tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = arguments[0]
    else:
        return
    if is_local(host):
        return
    record_path = os.environ.get("NETWORK_RECORD")
    if record_path:
        with open(record_path, "a", encoding="utf-8") as record:  # noqa: PTH123 (start-up stays light)
            record.write(f"{event} {host}\n")
    raise ConnectionRefusedError(f"lessons must work with no network: {event} to {host}")


sys.addaudithook(refuse)
