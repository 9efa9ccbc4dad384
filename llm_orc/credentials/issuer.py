"""Who gives out tokens: what is shipped for providers, and what an issuer says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_orc.credentials.exchange import failed, get, safe
from llm_orc.domain.message import Kind

WELL_KNOWN = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Shipped:
    """What a login with a provider needs besides a client of the user's own: llm-orc has none registered."""

    issuer: str
    scopes: tuple[str, ...]
    extra: Mapping[str, str] = field(default_factory=dict)
    """Parameters of the browser's way that others do not know."""
    client: str = ""
    """Where a client id comes from."""


SHIPPED: Mapping[str, Shipped] = {
    "google": Shipped(
        "https://accounts.google.com",
        ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/generative-language.retriever"),
        {"access_type": "offline", "prompt": "consent"},
        "make one of the type 'Desktop app' at https://console.cloud.google.com/apis/credentials",
    )
}
SCOPES = ("openid", "offline_access")
"""Asked of an issuer that is not shipped, if the user names no others: a token that can be renewed."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Where its endpoints are."""

    url: str
    token: str
    browser: str
    device: str
    """Empty where it knows no device code."""
    basic: bool
    """Whether a client's secret goes into the Authorization header, not into the form."""
    names_itself: bool
    """Whether its redirects say who sent them (RFC 9207)."""


def discovered(url: str) -> Issuer:
    """What the issuer says of itself; raises FailedError, and ProblemError for an address that is not safe."""
    answer = get(safe(url).rstrip("/") + WELL_KNOWN)
    if answer.error:
        raise failed(Kind.NOT_FOUND, f"{answer.host} does not describe itself: {answer.error}", "is this the issuer's address?")
    if answer.text("issuer").rstrip("/") != url.rstrip("/"):
        raise failed(Kind.PERMISSION, f"{answer.host} says that it is another issuer", "give its own address: --issuer URL")
    ways = answer.said.get("token_endpoint_auth_methods_supported")
    methods = answer.said.get("code_challenge_methods_supported")
    if isinstance(methods, list) and "S256" not in methods:
        raise failed(Kind.INVALID_REQUEST, f"{answer.host} knows no PKCE with S256", "a login there would not be safe; use a key")
    return Issuer(
        answer.text("issuer"),
        safe(answer.text("token_endpoint")),
        safe(answer.text("authorization_endpoint")) if "authorization_endpoint" in answer.said else "",
        safe(answer.text("device_authorization_endpoint")) if "device_authorization_endpoint" in answer.said else "",
        isinstance(ways, list) and "client_secret_post" not in ways and "client_secret_basic" in ways,
        answer.said.get("authorization_response_iss_parameter_supported") is True,
    )
