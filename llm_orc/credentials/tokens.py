"""Tokens: asked for, renewed, and written down as one secret."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from llm_orc.credentials.exchange import Answer, failed, post
from llm_orc.domain.message import FailedError, Kind
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.secret import remember, without_secrets

EARLY = 60.0
"""Seconds before its end in which a token is renewed."""
USUAL = 3600.0
"""How long a token lives if its issuer does not say."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: the user's own registration with an issuer."""

    id: str
    secret: str
    """Empty for a public client."""
    endpoint: str
    """Where its tokens come from, and where alone its secret and its tokens go."""
    basic: bool = False

    def __post_init__(self) -> None:
        remember(self.secret)

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Client({self.endpoint})"

    def ask(self, form: Mapping[str, str]) -> Answer:
        """Ask for tokens; raises FailedError where there is no answer."""
        if self.basic and self.secret:
            return post(self.endpoint, form, (self.id, self.secret))
        return post(self.endpoint, {**form, "client_id": self.id, **({"client_secret": self.secret} if self.secret else {})})


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login gave."""

    client: Client
    access: str
    refresh: str
    """Empty where it cannot be renewed."""
    renew_at: float
    ends_at: float

    def __post_init__(self) -> None:
        remember(self.refresh)
        remember(self.access)

    def __repr__(self) -> str:
        """Without the tokens."""
        return f"Tokens({self.client!r})"

    def renewed(self, now: float) -> "Tokens":
        """New ones; raises FailedError, `authentication` where the issuer does not let us in any more."""
        if not self.refresh:
            raise failed(Kind.AUTHENTICATION, "the login has ended, and its issuer gave no way to renew it", "")
        try:
            answer = self.client.ask({"grant_type": "refresh_token", "refresh_token": self.refresh})
        except FailedError:
            if now < self.ends_at:
                return replace(self, renew_at=self.ends_at)
            raise
        if answer.error:
            raise failed(Kind.AUTHENTICATION, f"{answer.host} does not renew the login: {said(answer)}", "")
        return tokens_of(answer, self.client, now, self.refresh)


def tokens_of(answer: Answer, client: Client, now: float, refresh: str = "") -> Tokens:
    """What an answer holds; `refresh` stays where it names no other. Raises FailedError."""
    if str(answer.said.get("token_type", "bearer")).lower() != "bearer":
        raise failed(Kind.MALFORMED, f"{answer.host} gave a token of another type than bearer", "use a key")
    lives = answer.number("expires_in", USUAL)
    new = answer.said.get("refresh_token")
    return Tokens(
        client,
        answer.text("access_token"),
        new if isinstance(new, str) and new else refresh,
        now + max(lives - EARLY, lives / 2),
        now + lives,
    )


def said(answer: Answer) -> str:
    """Why the issuer refused: its word for it alone, since its sentences may repeat what was sent."""
    word = without_secrets(answer.error)
    return word if len(word) <= 60 and all(letter.isalnum() or letter in "_ -" for letter in word) else f"status {answer.status}"


def written(tokens: Tokens) -> str:
    """As they are kept."""
    return json.dumps(asdict(tokens))


def read(text: str) -> Tokens:
    """As they were kept; raises ProblemError."""
    try:
        data = json.loads(text)
        return Tokens(**{**data, "client": Client(**data["client"])})
    except (ValueError, TypeError, KeyError):
        raise ProblemError(Problem("the kept login is broken", hint="log in again")) from None
