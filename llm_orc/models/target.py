"""One profile's server, and the key that it may be sent."""

from dataclasses import dataclass, field

from llm_orc.domain.message import Failure, Kind
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.models.address import Address, address
from llm_orc.models.base import Reach
from llm_orc.models.presets import PRESETS, Preset, base_url_of


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes, with which key, or why it must not go."""

    preset: Preset
    address: Address
    key: str | None = field(default=None, repr=False)
    withheld: bool = False
    """Whether there is a key that this host is not trusted with."""
    refusal: Failure | None = None

    @property
    def identity(self) -> str:
        """Server and key, without showing the key."""
        return f"{self.address.url} {self.preset.key}" if self.key else self.address.url

    @property
    def endpoint(self) -> Endpoint:
        """What limits belong to."""
        return Endpoint(
            self.identity,
            self.address.label,
            max_parallel=self.preset.max_parallel,
            one_model=self.preset.one_model,
            local=self.address.local,
        )


def aim(profile: Profile, reach: Reach) -> Target:
    """Find a profile's server and decide about its key; raises ProblemError for a missing or unusable base_url."""
    preset = PRESETS[profile.provider]
    base_url = profile.base_url or base_url_of(profile.provider, reach.env)
    if base_url is None:
        what = f"profile '{profile.name}' says not where its server listens"
        raise ProblemError(Problem(what, hint="add base_url: http://HOST:PORT/v1"))
    server = address(base_url)
    own = preset.base_url is not None and address(preset.base_url).origin == server.origin
    named = _unbracketed(server.origin) in map(_unbracketed, reach.trusted_hosts)
    key = (reach.env.get(preset.key, "").strip() or None) if preset.key else None
    trusted = own or named
    refusal = _refusal(preset, server, key if trusted else None, own=own, named=named)
    return Target(preset, server, key if trusted else None, withheld=key is not None and not trusted, refusal=refusal)


def _unbracketed(origin: str) -> str:
    # An IPv6 address is written with brackets or without.
    return origin.replace("[", "").replace("]", "")


def _refusal(preset: Preset, server: Address, key: str | None, *, own: bool, named: bool) -> Failure | None:
    if own and preset.needs_key and not key:
        return Failure(Kind.AUTHENTICATION, f"{preset.key} is not set", f"set it, or choose a local model: export {preset.key}=...")
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        return Failure(Kind.AUTHENTICATION, f"{preset.key} holds characters that no key has", "set it again, without quotes or line ends")
    if server.scheme == "https" or server.local:
        return None
    if key:
        hint = "use https://, or tunnel it to localhost"
        return Failure(Kind.PERMISSION, f"{preset.key} would travel unencrypted to {server.label}", hint)
    if not named:
        hint = f"use https://, or name {server.origin} in trusted_hosts of your own config.yaml"
        return Failure(Kind.PERMISSION, f"the request would travel unencrypted to {server.label}", hint)
    return None
