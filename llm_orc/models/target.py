"""One profile's server, and the key that it may be sent."""

from dataclasses import dataclass, field

from llm_orc.domain.credential import Credential
from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.domain.secret import remember
from llm_orc.models.address import Address, address
from llm_orc.models.base import Reach
from llm_orc.models.presets import PRESETS, Preset, base_url_of


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes, with which key, or why it must not go."""

    provider: str
    preset: Preset
    address: Address
    credential: Credential | None = field(default=None, repr=False)
    """The key that this host may be sent."""
    withheld: Credential | None = field(default=None, repr=False)
    """A key that there is, and that this host is not trusted with."""
    refusal: Failure | None = None

    @property
    def identity(self) -> str:
        """Server and key, without showing the key."""
        return f"{self.address.url} {self.credential.identity}" if self.credential else self.address.url

    @property
    def endpoint(self) -> Endpoint:
        """What limits belong to."""
        return Endpoint(
            self.identity,
            self.address.label,
            max_parallel=self.preset.max_parallel,
            one_model=self.preset.one_model,
            local=self.address.local,
            address=f"{self.preset.wire or self.provider} {self.address.url}",
        )

    async def key(self) -> str | None:
        """The key to send now; raises FailedError where there is one that cannot be had or sent."""
        if self.credential is None:
            return None
        key = (await self.credential.secret()).get_secret_value()
        remember(key)
        if not key or not (key.isascii() and key.isprintable() and " " not in key):
            what = f"the key of {self.provider} ({self.credential.origin}) holds characters that no key has"
            hint = f"set it again, without quotes or line ends: llm-orc auth add {self.provider}"
            raise FailedError(Failure(Kind.AUTHENTICATION, what, hint), usage=NO_USAGE)
        return key


def aim(profile: Profile, reach: Reach) -> Target:
    """Find a profile's server and decide about its key; raises ProblemError for a missing or unusable base_url."""
    preset = PRESETS[profile.provider]
    base_url = profile.base_url or base_url_of(profile.provider, reach.env, reach.base_urls)
    if base_url is None:
        what = (
            f"profile '{profile.name}' says not where its server listens"
            if profile.name
            else f"{profile.provider} has no address of its own"
        )
        raise ProblemError(Problem(what, hint=f"{'add' if profile.name else 'say it in a profile:'} base_url: http://HOST:PORT/v1"))
    server = address(base_url)
    own = preset.base_url is not None and address(preset.base_url).origin == server.origin
    # A base_url in a profile may be a project's; the user's environment is the user's own word.
    trusted = own or not profile.base_url or _unbracketed(server.origin) in map(_unbracketed, reach.trusted_hosts)
    found = reach.credential(profile.provider, preset.key, profile.credential)
    refusal = _missing(profile, preset, found, own=own) or _unencrypted(profile, server, found if trusted else None)
    return Target(profile.provider, preset, server, found if trusted else None, None if trusted else found, refusal)


def refuse_unencrypted(target: Target) -> None:
    """Raises ProblemError where nothing may be sent there; a key that is lacking is told when it is needed, as another model may answer."""
    refusal = target.refusal
    if refusal is not None and refusal.kind is Kind.PERMISSION:
        raise ProblemError(Problem(refusal.what, hint=refusal.hint))


def _unbracketed(origin: str) -> str:
    # An IPv6 address is written with brackets or without.
    return origin.replace("[", "").replace("]", "")


def _missing(profile: Profile, preset: Preset, found: Credential | None, *, own: bool) -> Failure | None:
    if found:
        return None
    add = f"llm-orc auth add {profile.provider}"
    if profile.credential:
        what = f"no key '{profile.credential}' is kept for {profile.provider}"
        return Failure(Kind.AUTHENTICATION, what, f"add it: {add} --name {profile.credential}")
    if own and preset.needs_key:
        hint = f"export {preset.key}=..., or keep it: {add}; or choose a local model"
        return Failure(Kind.AUTHENTICATION, f"{preset.key} is not set", hint)
    return None


def _unencrypted(profile: Profile, server: Address, key: Credential | None) -> Failure | None:
    if server.scheme == "https" or server.local or profile.insecure:
        return None
    what = f"the key of {profile.provider} ({key.origin})" if key else "the request"
    hint = "use https://, tunnel it to localhost, or say insecure: true in the profile"
    return Failure(Kind.PERMISSION, f"{what} would travel unencrypted to {server.label}", hint)
