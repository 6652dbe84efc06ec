"""Which addresses may be fetched: public ones, so that nobody can make this machine ask its own network for things.

A name is looked up once, every address that it has is checked, and the connection goes to a checked address: a name
that changes its mind between the check and the connection gains nothing.

Knows names, addresses and transports. Knows nothing of what is fetched.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterable
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.request import getproxies, proxy_bypass

import httpx2

from trued.errors import InputError

_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home.arpa")

Origin = tuple[str, str, int]


def origin(url: httpx2.URL) -> Origin:
    """Return scheme, host and port of an address."""
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def web_address(url: str) -> httpx2.URL:
    """Return an address as the client reads it.

    Raises:
        InputError: no http or https address, or one that carries a password.
    """
    try:
        parsed = httpx2.URL(url.strip())
    except (httpx2.InvalidURL, UnicodeError) as error:
        sample = "https://arxiv.org/abs/2405.15589"
        raise InputError(f"{url[:200]!r} is no address ({error}); expected one such as {sample}") from None
    if parsed.port is not None and not 0 < parsed.port < 1 << 16:
        raise InputError(f"{url[:200]!r} is no address: a port is a number from 1 to 65535")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InputError(f"{url[:200]!r} is not fetched: only http and https addresses are")
    if parsed.userinfo:
        raise InputError(f"an address at {parsed.host} carries a name or password; leave it out, it is not sent")
    return parsed


def is_public(address: str) -> bool:
    """True if a numeric address belongs to the public internet, also where it is wrapped in an IPv6 address."""
    try:
        ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            ip = inner
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def addresses(url: httpx2.URL, *, private: bool = False) -> list[str]:
    """Look up a host, and return its numeric addresses.

    Args:
        private: addresses of this machine and its network are allowed, since the user configured this host.

    Raises:
        InputError: one of the addresses is not public.
        httpx2.ConnectError: the name is unknown.
    """
    _, host, port = origin(url)
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise httpx2.ConnectError(f"the name {host} is not known ({reason})") from None
    resolved = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
    if not private:
        for address in resolved:
            if not is_public(address):
                raise _refusal(host, address)
    return resolved


def transport(url: httpx2.URL, *, private: bool = False) -> httpx2.BaseTransport:
    """Return what carries a request to `url`: a checked connection, or the proxy that the environment names.

    Raises:
        InputError: the host is not public, or the proxy is of a kind that is not spoken.
    """
    proxy = None if private and not is_public_name(url.host) else _proxy(url)
    if proxy is None:
        return _CheckedTransport(private)
    if not private:
        # The proxy looks the name up itself. What can be seen from here is checked.
        if not is_public_name(url.host):
            raise _refusal(url.host, url.host)
        with contextlib.suppress(httpx2.ConnectError):
            addresses(url)
    try:
        return httpx2.HTTPTransport(verify=_certificates(), proxy=proxy)
    except (ImportError, ValueError) as error:
        raise InputError(f"the proxy {httpx2.URL(proxy).host} of the environment can't be used: {error}") from None


def is_public_name(host: str) -> bool:
    """True unless a host is a numeric address that is not public, or a name that stands for a local machine."""
    try:
        ip_address(host)
    except ValueError:
        name = host.rstrip(".").lower()
        return "." in name and not any(name == local or name.endswith(f".{local}") for local in _LOCAL_NAMES)
    return is_public(host)


class _CheckedTransport(httpx2.BaseTransport):
    """Connects to checked addresses only, while certificates are checked against the name."""

    def __init__(self, private: bool) -> None:
        self._private = private
        self._inner = httpx2.HTTPTransport(verify=_certificates())

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        failure: httpx2.ConnectError | httpx2.ConnectTimeout | None = None
        for address in addresses(request.url, private=self._private):
            pinned = httpx2.Request(
                request.method,
                request.url.copy_with(host=address.partition("%")[0]),
                headers=request.headers,  # "Host" is among them already
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": request.url.host},
            )
            try:
                return self._inner.handle_request(pinned)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
        raise failure or httpx2.ConnectError(f"the name {request.url.host} has no address")

    def close(self) -> None:
        self._inner.close()


@cache
def _certificates() -> ssl.SSLContext:
    """Return whom to trust, as the environment has it; reading the certificates takes longer than a request."""
    return httpx2.create_ssl_context()


def _proxy(url: httpx2.URL) -> str | None:
    if proxy_bypass(url.host):
        return None
    known = getproxies()
    named = known.get(url.scheme) or known.get("all")
    return named if named is None or "://" in named else f"http://{named}"


def _refusal(host: str, address: str) -> InputError:
    leads = host if address == host else f"{host} leads to {address}, which"
    return InputError(
        f"{leads} is no public address, and is not fetched; a server of your own is reached by naming it as "
        "TRUED_HF_URL or TRUED_ARXIV_URL"
    )


def origins(bases: Iterable[str]) -> frozenset[Origin]:
    """Return the origins of base addresses.

    Raises:
        InputError: one of them is no http or https address.
    """
    return frozenset(origin(web_address(base)) for base in bases)
