"""An issuer of tokens: OIDC discovery, authorization code with PKCE, device code, and refresh tokens that are good for one use."""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from tests.servers.wire import Connection, Gate, Received, ThreadServer

SECRET = "GOCSPX-canary-of-the-client"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(frozen=True, slots=True)
class Asked:
    """A browser's visit that a code was given for."""

    client_id: str
    redirect_uri: str
    challenge: str
    scope: str


class OAuthServer(ThreadServer):
    """Gives out `access-N` and `refresh-N`, each with a canary in it; keeps what it was asked."""

    def __init__(
        self,
        *,
        lives: int = 3600,
        secret: str = "",
        device: Sequence[str] = (),
        interval: int = 0,
        says: Mapping[str, Any] | None = None,
        refusals: Mapping[str, tuple[int, Any]] | None = None,
        denies: bool = False,
        gate: Gate | None = None,
    ) -> None:
        """`device` are the errors before the code is typed; `says` changes the discovery; `refusals` are by grant or path."""
        super().__init__()
        self.lives, self.secret, self.interval, self.denies, self.gate = lives, secret, interval, denies, gate
        self.device = list(device)
        self.says = dict(says or {})
        self.refusals = dict(refusals or {})
        self.codes: dict[str, Asked] = {}
        self.refreshable: set[str] = set()
        self.grants: list[str] = []
        self.given = 0

    async def answer(self, request: Received, connection: Connection) -> None:
        form = {key: values[0] for key, values in parse_qs(request.body.decode()).items()}
        kind = form.get("grant_type", request.path)
        if kind in self.refusals:
            connection.send(*self.refusals[kind])
            return
        match request.method, request.path:
            case "GET", "/.well-known/openid-configuration":
                connection.send(200, self.description)
            case "GET", "/authorize":
                self._authorize(request, connection)
            case "POST", "/device":
                said = {"device_code": "device-1", "user_code": "ABCD-EFGH", "verification_uri": f"{self.origin}/type", "expires_in": 600}
                connection.send(200, said | {"interval": self.interval})
            case "POST", "/token":
                if self.gate is not None:
                    await self.gate.passed()
                self.grants.append(kind)
                connection.send(*self._token(request, form))
            case _:
                connection.send(404, {"error": "not_found"})

    @property
    def description(self) -> Mapping[str, Any]:
        """What it says of itself."""
        ends = {"token_endpoint": "token", "authorization_endpoint": "authorize", "device_authorization_endpoint": "device"}
        return {"issuer": self.origin} | {name: f"{self.origin}/{end}" for name, end in ends.items()} | self.says

    @property
    def access(self) -> str:
        """The newest access token."""
        return f"access-{self.given}-canary/+="

    def _authorize(self, request: Received, connection: Connection) -> None:
        query = {key: values[0] for key, values in parse_qs(urlsplit(request.target).query).items()}
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = f"code-{len(self.codes)}-canary"
        self.codes[code] = Asked(query["client_id"], query["redirect_uri"], query["code_challenge"], query.get("scope", ""))
        back = {"error": "access_denied"} if self.denies else {"code": code}
        answer = urlencode({**back, "state": query["state"], "iss": self.origin})
        connection.send(302, "", {"Location": f"{query['redirect_uri']}?{answer}"})

    def _token(self, request: Received, form: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        if self._secret_of(request, form) != self.secret:
            return 401, {"error": "invalid_client", "error_description": f"not {form}"}
        match form["grant_type"]:
            case "authorization_code":
                asked = self.codes.pop(form["code"], None)
                proof = urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
                if asked is None or (proof, form["redirect_uri"]) != (asked.challenge, asked.redirect_uri):
                    return 400, {"error": "invalid_grant"}
            case "refresh_token":
                if form["refresh_token"] not in self.refreshable:
                    return 400, {"error": "invalid_grant", "error_description": f"{form['refresh_token']} was used before"}
                self.refreshable.clear()
            case grant if grant == DEVICE_CODE:
                if self.device:
                    return 400, {"error": self.device.pop(0)}
        self.given += 1
        refresh = f"refresh-{self.given}-canary/+="
        self.refreshable.add(refresh)
        return 200, {"access_token": self.access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": self.lives}

    def _secret_of(self, request: Received, form: Mapping[str, str]) -> str:
        header = request.headers.get("authorization", "")
        if not header:
            return form.get("client_secret", "")
        return unquote(b64decode(header.removeprefix("Basic ")).decode().partition(":")[2])
