"""The one HTTP stack: how httpx is imported, how a client is made for a host, and what its errors mean.

`client()` gives an `httpx.AsyncClient` that speaks to one host with that host's key: no cookies, no redirects, our own
transport (`direct.py`) unless a proxy is set for the address. `translated()` turns every httpx error into one of
`errors.py`; above this package nobody has heard of httpx. What a status other than 200 means is in `refusals.py`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from providers.errors import (
    BadReply,
    KeyRefused,
    ProviderError,
    RequestRefused,
    StreamBroken,
    TimedOut,
    TlsFailed,
    Unreachable,
)
from providers.plain import plain

if TYPE_CHECKING:
    import ssl
    from types import ModuleType

    import httpx

    from providers.chat.base import Host

MAX_ERROR_BODY = 64 * 1024
MAX_BODY = 32 * 1024 * 1024
USER_AGENT = "hawser"
"""Sent where the host's own headers name no other; the program puts its version there."""

CA_FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def load_httpx() -> ModuleType:
    """The only door through which httpx is imported.

    `import httpx` takes its command-line program with it when `click` and `rich` happen to be installed, which costs
    more than all the rest of it. With that module marked absent httpx falls back by itself.
    """
    if "httpx" not in sys.modules:
        sys.modules["httpx._main"] = None  # type: ignore[assignment]
        try:
            import httpx  # noqa: F401
        finally:
            del sys.modules["httpx._main"]
    return sys.modules["httpx"]


if not TYPE_CHECKING:
    httpx = load_httpx()


# ---- clients


def client(
    host: Host, *, base_url: str | None = None, key_header: tuple[str, str] = ("authorization", "Bearer ")
) -> httpx.AsyncClient:
    """A client for this host alone. Nothing is connected. Reads have no time limit of their own: the caller watches."""
    import http.cookiejar

    try:
        url = httpx.URL(base_url or host.base_url)
    except httpx.InvalidURL as error:
        raise _no_address(host) from error
    if url.scheme not in ("http", "https") or not url.host:
        raise _no_address(host)
    headers = {"user-agent": USER_AGENT, "accept-encoding": "identity"}
    if host.key is not None:
        name, prefix = key_header
        headers[name] = prefix + sendable_key(host)
    try:
        return httpx.AsyncClient(
            base_url=url,
            headers={**headers, **{name.lower(): value for name, value in host.headers.items()}},
            timeout=httpx.Timeout(None, connect=host.connect_timeout_s),
            follow_redirects=False,
            cookies=http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[])),
            transport=transport(host, url),
            trust_env=False,
        )
    except UnicodeEncodeError as error:
        raise RequestRefused(f"A header set for {place(host)} has characters that cannot be sent.") from error


def transport(host: Host, url: httpx.URL) -> httpx.AsyncBaseTransport:
    """The way to this address: our own transport, or httpx's where a proxy is set for it."""
    from providers.direct import DirectTransport

    if host.reach is not None:
        return DirectTransport(host.reach)
    proxy = proxy_for(url)
    if proxy is None:
        return DirectTransport()
    if not proxy.startswith(("http://", "https://")):
        kind = proxy.partition("://")[0]
        raise RequestRefused(
            f"The proxy set for {place(host)} is of the kind {kind!r}, which is not supported.",
            hint="Set an http:// proxy, or add the host to NO_PROXY.",
        )
    # httpcore and anyio come with httpx's own transport; only a proxy is worth their import time.
    return httpx.AsyncHTTPTransport(verify=trust(), proxy=proxy, trust_env=False)


def _no_address(host: Host) -> RequestRefused:
    return RequestRefused(
        f"The base_url of {host.name!r} is not a web address.", hint="It looks like http://host:port or https://host."
    )


def sendable_key(host: Host) -> str:
    key = (host.key or "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise KeyRefused(f"The key for {place(host)} is empty or has characters that no key has.", host=host.name)
    return key


def place(host: Host) -> str:
    """The host in an error: its name and where it is, without anything secret that its URL may hold."""
    if host.reach is not None:
        return f"{host.name} ({host.reach.place})"
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(host.base_url)
        where = parts.hostname or ""
        if parts.port is not None:
            where = f"[{where}]:{parts.port}" if ":" in where else f"{where}:{parts.port}"
    except ValueError:
        where = ""
    return f"{host.name} ({plain(where, 120)})" if where and where != host.name else host.name


# ---- proxies and trust


def proxy_for(url: httpx.URL, environment: Mapping[str, str] | None = None) -> str | None:
    """The proxy that the environment (or the system) sets for this address. Loopback never has one."""
    name = url.host.strip("[]").lower()
    if is_loopback(name):
        return None
    if environment is None:
        from urllib.request import getproxies

        proxies = getproxies()
    else:
        proxies = {key.lower().removesuffix("_proxy"): value for key, value in environment.items() if value}
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or _goes_around(name, url.port, proxies.get("no", "")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _goes_around(name: str, port: int | None, exceptions: str) -> bool:
    import ipaddress

    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        address = None
    for entry in (part.strip().lower() for part in exceptions.split(",")):
        if not entry:
            continue
        if entry == "*":
            return True
        entry = entry.partition("://")[2] or entry
        if address is not None:
            try:
                if address in ipaddress.ip_network(entry.strip("[]"), strict=False):
                    return True
            except ValueError:
                pass
        bare, colon, wanted = entry.rpartition(":")
        if colon and wanted.isdigit() and ":" not in bare:
            if port != int(wanted):
                continue
            entry = bare
        entry = entry.removeprefix("*").removeprefix(".")
        if name == entry or name.endswith(f".{entry}"):
            return True
    return False


def trust() -> ssl.SSLContext:
    """What a certificate must prove: the system's authorities, or those of the file or folder the environment names."""
    import ssl

    for variable in CA_FILES:
        named = os.environ.get(variable)
        if named:
            return _trust_in(variable, named)
    if os.environ.get("SSL_CERT_DIR"):
        return _trust_in("SSL_CERT_DIR", os.environ["SSL_CERT_DIR"])
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509"] and not _has_ca_folder():
        # Some Python builds know no system store; httpx brings a list of authorities for them.
        import certifi

        context.load_verify_locations(cafile=certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _trust_in(variable: str, named: str) -> ssl.SSLContext:
    import ssl

    try:
        is_folder = os.path.isdir(named)  # noqa: PTH112 - pathlib is not needed for this anywhere near
        context = ssl.create_default_context(cafile=None if is_folder else named, capath=named if is_folder else None)
    except OSError as error:
        raise TlsFailed(
            f"The authorities in {named!r} cannot be read: {error.strerror or error}.",
            hint=f"The environment variable {variable} names this file.",
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _has_ca_folder() -> bool:
    import ssl

    folder = ssl.get_default_verify_paths().capath
    if not folder:
        return False
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


# ---- what errors mean


@contextlib.contextmanager
def translated(host: Host, *, answering: bool = False, limit_s: float = 0.0) -> Iterator[None]:
    """Everything inside raises `ProviderError`s. `answering` tells that the head of the answer is already here."""
    try:
        yield
    except httpx.HTTPError as error:
        raise meaning(error, host, answering=answering, limit_s=limit_s) from error
    except (httpx.StreamError, httpx.InvalidURL) as error:
        raise BadReply(f"{place(host)}: {plain(str(error))}") from error


def meaning(error: httpx.HTTPError, host: Host, *, answering: bool = False, limit_s: float = 0.0) -> ProviderError:
    import socket
    import ssl

    where = place(host)
    if isinstance(error, httpx.ConnectTimeout):
        limit = host.connect_timeout_s
        return TimedOut(f"{where} did not accept a connection within {limit:g} s.", phase="connect", limit_s=limit)
    if isinstance(error, httpx.TimeoutException):
        return TimedOut(f"{where} sent nothing for {limit_s:g} s.", phase="total", limit_s=limit_s)
    if answering and not isinstance(error, httpx.ConnectError | httpx.ProxyError):
        if isinstance(error, httpx.DecodingError):
            return BadReply(f"{where} sent an answer that cannot be unpacked.")
        return StreamBroken(f"The connection to {where} broke off in the middle of the answer.")
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return TlsFailed(
                f"The certificate of {where} is not acceptable: {plain(cause.verify_message or str(cause), 200)}.",
                hint="If the authority is your own, name its file in SSL_CERT_FILE.",
            )
        if isinstance(cause, ssl.SSLError):
            return TlsFailed(
                f"No secure connection to {where}: {plain(cause.reason or str(cause), 200)}.",
                hint="Does this port speak https? A plain one needs http:// in base_url.",
            )
        if isinstance(cause, socket.gaierror):
            return Unreachable(
                f"The name of {where} cannot be found.", hint="Check the spelling of base_url, and the network."
            )
        if isinstance(cause, ConnectionRefusedError):
            return Unreachable(
                f"Nothing is listening at {where}: the connection was refused.", hint="Is the service running?"
            )
    if isinstance(error, httpx.ProxyError):
        return Unreachable(
            f"The proxy did not let us through to {where}: {plain(str(error), 200)}.",
            hint="HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say which proxy is used.",
        )
    if isinstance(error, httpx.ConnectError):
        reason = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), "")
        return Unreachable(f"{where} cannot be reached{': ' + plain(reason, 200) if reason else ''}.")
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return RequestRefused(f"The request to {where} cannot be sent: {plain(str(error), 200)}.")
    if isinstance(error, httpx.RemoteProtocolError) and "isconnected" not in str(error):
        return BadReply(f"What {where} sent is not HTTP: {plain(str(error), 200)}.")
    return Unreachable(f"The connection to {where} was closed before it answered.")


def _causes(error: BaseException) -> list[BaseException]:
    causes: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in causes:
        causes.append(step)
        step = step.__cause__ or step.__context__
    return causes


# ---- requests


@contextlib.asynccontextmanager
async def opened(
    http: httpx.AsyncClient,
    host: Host,
    method: str,
    path: str,
    *,
    content: bytes | None = None,
    content_type: str = "application/json",
    limit_s: float | None = None,
    once: bool = False,
) -> AsyncIterator[httpx.Response]:
    """The head of an answer, whatever its status; its body is still to come. Leaving early ends the request there.

    `once` says that the request must not reach the service twice, whatever its method promises.
    """
    headers = {} if content is None else {"content-type": content_type}
    timeout = httpx.Timeout(limit_s, connect=host.connect_timeout_s)
    with translated(host, limit_s=limit_s or 0.0):
        request = http.build_request(method, path, content=content, headers=headers, timeout=timeout)
        if once:
            request.extensions["once"] = True
        response = await http.send(request, stream=True)
    try:
        yield response
    finally:
        await response.aclose()


async def chunks(response: httpx.Response, host: Host, *, limit_s: float = 0.0) -> AsyncGenerator[bytes, None]:
    """The body as the network brought it. Unpacked if the server packed it although it was asked not to."""
    packed = response.headers.get("content-encoding", "identity").lower() != "identity"
    with translated(host, answering=True, limit_s=limit_s):
        if "read" in response.extensions and not packed:
            # Our own transport: straight from the socket, without a generator per layer for every chunk.
            read = response.extensions["read"]
            while chunk := await read():
                yield chunk
        else:
            async for part in response.aiter_bytes():
                yield part


async def read_body(response: httpx.Response, host: Host, longest: int, *, limit_s: float = 0.0) -> bytes:
    """The body up to a bound; what is over it is not read."""
    body = bytearray()
    async with contextlib.aclosing(chunks(response, host, limit_s=limit_s)) as parts:
        async for part in parts:
            body += part
            if len(body) > longest:
                break
    return bytes(body[:longest])


async def read_json(
    http: httpx.AsyncClient, host: Host, method: str, path: str, *, content: bytes | None = None, limit_s: float = 10.0
) -> Any:
    """One small question and its JSON answer, within the limit or an error."""
    import asyncio
    import json

    from providers.refusals import refusal, unexpected

    try:
        async with (
            asyncio.timeout(limit_s),
            opened(http, host, method, path, content=content, limit_s=limit_s) as response,
        ):
            if not response.is_success:
                raise await refusal(response, host)
            body = await read_body(response, host, MAX_BODY, limit_s=limit_s)
    except TimeoutError as error:
        raise TimedOut(f"{place(host)} did not answer within {limit_s:g} s.", phase="total", limit_s=limit_s) from error
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise unexpected(body, host) from error
