"""Which proxy stands between here and a server, as the environment says it."""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network

from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind
from llm_orc.domain.problem import ProblemError
from llm_orc.models.address import Address, address


def proxy_for(server: Address, env: Mapping[str, str]) -> str | None:
    """From HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY (lower case wins); none to this machine itself."""
    said = {name.lower(): env[name] for name in sorted(env) if name.lower().endswith("_proxy") and env[name]}
    if server.local or any(_names(entry.strip().lower(), server) for entry in said.get("no_proxy", "").split(",")):
        return None
    proxy = said.get(f"{server.scheme}_proxy") or said.get("all_proxy")
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    if proxy and not proxy.startswith(("http://", "https://")):
        raise _unusable(f"a {proxy.partition('://')[0]}:// proxy")
    if proxy and not _is_whole(proxy):
        raise _unusable(f"the proxy before {server.label}")  # unnamed, for it may hold a password
    return proxy


def _unusable(what: str) -> FailedError:
    return FailedError(Failure(Kind.NETWORK, f"{what} cannot be used", "set HTTPS_PROXY to an http:// proxy"), usage=NO_USAGE)


def _is_whole(proxy: str) -> bool:
    """Whether it is a URL with a host, and maybe a name and a password before it."""
    scheme, _, rest = proxy.partition("://")
    try:
        address(f"{scheme}://{rest.rpartition('@')[2]}")
    except ProblemError:
        return False
    return proxy.isprintable()


def _names(entry: str, server: Address) -> bool:
    """Whether an entry of NO_PROXY covers a server: `*`, a name and all below it, either with a port, an address or a network."""
    if not entry or entry == "*":
        return entry == "*"
    try:
        return ip_address(server.host) in ip_network(entry, strict=False)
    except ValueError:
        name, _, port = entry.partition(":")
        name = name.removeprefix("*").removeprefix(".")
        return port in ("", str(server.port)) and (server.host == name or server.host.endswith(f".{name}"))
