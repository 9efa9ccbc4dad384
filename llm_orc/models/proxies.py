"""Which proxy stands between here and a server, as the environment says it."""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network

from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind
from llm_orc.models.address import Address


def proxy_for(server: Address, env: Mapping[str, str]) -> str | None:
    """From HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY (lower case wins); none to this machine itself."""
    said = {name.lower(): env[name] for name in sorted(env) if name.lower().endswith("_proxy") and env[name]}
    if server.local or any(_names(entry.strip().lower(), server) for entry in said.get("no_proxy", "").split(",")):
        return None
    proxy = said.get(f"{server.scheme}_proxy") or said.get("all_proxy")
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    if proxy and not proxy.startswith(("http://", "https://")):
        scheme = proxy.partition("://")[0]
        failure = Failure(Kind.NETWORK, f"a {scheme}:// proxy cannot be used", "set HTTPS_PROXY to an http:// proxy")
        raise FailedError(failure, usage=NO_USAGE)
    return proxy


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
