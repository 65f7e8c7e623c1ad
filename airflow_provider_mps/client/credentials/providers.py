"""The sources of keys besides the connection itself, and the choice between them."""

from __future__ import annotations

import configparser
import json
import os
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from airflow_provider_mps.client.credentials.assume_role import (
    AssumedRole,
    NotConfigured,
    Sts,
    checked,
    failed,
    in_role,
    not_configured,
    sts_error,
)
from airflow_provider_mps.client.credentials.base import (
    CredentialProvider,
    Credentials,
    ExpiringCredentials,
    Network,
)
from airflow_provider_mps.client.credentials.sts import AssumeRole, AssumeRoleWithWebIdentity
from airflow_provider_mps.client.retry import may_pass
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsConfigError, MpsCredentialsError, MpsError, MpsTransportError

_ROLES_PATH = "/latest/meta-data/cam/security-credentials/"
_SYSTEM_FILE = Path("/etc/tencentcloud/credentials")


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment variables of Tencent's SDK and command line: keys, a token, a role to assume."""

    sts: Sts

    of_machine: ClassVar[bool] = True

    @property
    def title(self) -> str:
        return "environment variables"

    @property
    def identity(self) -> Hashable:
        return ("environment", os.environ.get("TENCENTCLOUD_SECRET_ID"), os.environ.get("TENCENTCLOUD_ROLE_ARN"))

    def fetch(self, network: Network) -> ExpiringCredentials:
        origin = self.title
        values = {name: os.environ.get(f"TENCENTCLOUD_{name}", "").strip() for name in ("SECRET_ID", "SECRET_KEY")}
        unset = [f"TENCENTCLOUD_{name}" for name, value in values.items() if not value]
        if unset:
            raise (not_configured if len(unset) == len(values) else failed)(origin, f"{' and '.join(unset)} not set")
        # The second name is Terraform's.
        token = os.environ.get("TENCENTCLOUD_TOKEN") or os.environ.get("TENCENTCLOUD_SECURITY_TOKEN")
        keys = checked(origin, values["SECRET_ID"], values["SECRET_KEY"], token)
        role, session = (os.environ.get(f"TENCENTCLOUD_ROLE_{name}", "").strip() for name in ("ARN", "SESSION_NAME"))
        return in_role(ExpiringCredentials(keys, origin), role, session, self.sts, network)


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """
    The files of Tencent's tools: ``~/.tencentcloud/credentials`` or ``/etc/tencentcloud/credentials`` of the
    SDKs (INI, a section each profile), and ``~/.tccli/<profile>.credential`` of the command line (JSON).
    """

    sts: Sts
    profile: str = "default"

    of_machine: ClassVar[bool] = True

    @property
    def title(self) -> str:
        return f"a credentials file with the profile {self.profile}"

    @property
    def identity(self) -> Hashable:
        return ("profile", self.profile)

    def fetch(self, network: Network) -> ExpiringCredentials:
        home = Path(os.path.expanduser("~"))  # unlike Path.home() it fails for no user
        tccli_file = home / f".tccli/{self.profile}.credential"
        paths = (home / ".tencentcloud/credentials", _SYSTEM_FILE, tccli_file)
        for path in paths:
            origin = f"profile {self.profile} of {path}"
            try:
                text = path.read_text(encoding="utf-8")
            except FileNotFoundError:
                continue
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                raise failed(origin, f"the file cannot be read: {reason}") from None
            if found := self._of_tccli(text, origin) if path == tccli_file else self._of_sdk(text, origin):
                return self._keys_of(found, origin, network)
        raise not_configured(self.title, f"no profile in {', '.join(map(str, paths))}")

    def _keys_of(self, found: Mapping[str, str], origin: str, network: Network) -> ExpiringCredentials:
        checked_keys = checked(origin, found.get("secret_id", ""), found.get("secret_key", ""), found.get("token"))
        expires = found.get("expires_at", "")
        expires_at = float(expires) if expires.isdecimal() else None
        keys = ExpiringCredentials(checked_keys, origin, expires_at).obtained_now(network.clock)
        if not keys.is_valid(keys.obtained_at):
            raise failed(origin, "its keys have expired; sign in again with the tool that wrote it (tccli auth login)")
        return in_role(keys, found.get("role_arn", ""), found.get("role_session_name", ""), self.sts, network)

    def _of_sdk(self, text: str, origin: str) -> Mapping[str, str]:
        parser = configparser.ConfigParser(interpolation=None, default_section="")
        try:
            parser.read_string(text)
        except configparser.Error as error:  # its text quotes the file
            raise failed(origin, f"the file is not in INI format ({type(error).__name__})") from None
        if not parser.has_section(self.profile):
            return {}
        # Tencent's own documentation shows the values in quotes.
        return {name: value.strip().strip("'\"") for name, value in parser.items(self.profile)}

    def _of_tccli(self, text: str, origin: str) -> Mapping[str, str]:
        try:
            written = json.loads(text)
        except ValueError:
            written = None
        if not isinstance(written, dict):
            raise failed(origin, "the file is not a JSON object")
        names = {
            "secret_id": "secretId",
            "secret_key": "secretKey",
            "token": "token",
            "expires_at": "expiresAt",
            "role_arn": "role-arn",
            "role_session_name": "role-session-name",
        }
        return {name: str(written[theirs]).strip() for name, theirs in names.items() if written.get(theirs)}


@dataclass(frozen=True, slots=True)
class InstanceRole:
    """
    The role of a CVM instance, read from its metadata service.

    :param endpoint: ``http://host`` of that service, which only the instance can reach.
    """

    endpoint: str

    of_machine: ClassVar[bool] = True

    @property
    def title(self) -> str:
        return "the role of this CVM instance"

    @property
    def identity(self) -> Hashable:
        return ("cvm_role",)

    def fetch(self, network: Network) -> ExpiringCredentials:
        origin = self.title
        try:
            roles = network.read_metadata(f"{self.endpoint}{_ROLES_PATH}").split()
            if not roles:
                raise not_configured(origin, "the instance has no role; bind one to it in the CVM console")
            answer = network.read_metadata(f"{self.endpoint}{_ROLES_PATH}{roles[0]}")
        except MpsTransportError as error:
            raise NotConfigured(
                f"{error} (is this machine a CVM instance?)", source=origin, category=error.category
            ) from None
        found: Any = None
        try:
            found = json.loads(answer)
            keys = ExpiringCredentials.from_answer(
                found, origin=f"{origin} ({roles[0]})", expires_at=found.get("ExpiredTime")
            )
        except (ValueError, AttributeError):  # no JSON, no object, no keys in it
            code = str(found.get("Code")) if isinstance(found, dict) else "no JSON object"
            why = f"the metadata service gave no keys of the role {roles[0]:.80} ({code:.80})"
            raise failed(origin, why, Category.NO_ANSWER) from None
        return keys.obtained_now(network.clock)


@dataclass(frozen=True, slots=True)
class WebIdentity:
    """The identity of a TKE pod: environment variables name a role, a provider, and a file with a token."""

    sts: Sts

    of_machine: ClassVar[bool] = True

    @property
    def title(self) -> str:
        return "the web identity of this TKE pod"

    @property
    def identity(self) -> Hashable:
        return ("tke_oidc", os.environ.get("TKE_ROLE_ARN"))

    def fetch(self, network: Network) -> ExpiringCredentials:
        origin = self.title
        names = ("TKE_REGION", "TKE_PROVIDER_ID", "TKE_WEB_IDENTITY_TOKEN_FILE", "TKE_ROLE_ARN")
        given = {name: os.environ.get(name, "").strip() for name in names}
        if unset := [name for name, value in given.items() if not value]:
            raise (not_configured if len(unset) == len(names) else failed)(
                origin, f"{', '.join(unset)} not set: the service account of the pod has to name a role"
            )
        try:
            # Read each time: Kubernetes replaces it about once an hour.
            token = Path(given["TKE_WEB_IDENTITY_TOKEN_FILE"]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise failed(origin, f"TKE_WEB_IDENTITY_TOKEN_FILE cannot be read: {reason}") from None
        try:
            action = AssumeRoleWithWebIdentity(
                provider_id=given["TKE_PROVIDER_ID"],
                web_identity_token=token,
                role_arn=given["TKE_ROLE_ARN"],
                role_session_name=self.sts.session_name,
                duration_seconds=self.sts.duration,
            )
            keys = network.assume(action, endpoint=self.sts.endpoint, region=given["TKE_REGION"], credentials=None)
        except MpsError as error:
            raise sts_error(origin, error, hidden=token) from None
        return replace(keys, origin=f"{origin} ({given['TKE_ROLE_ARN']})")


@dataclass(frozen=True, slots=True)
class ChainProvider:
    """The first provider that has keys. It is the default of a connection without keys."""

    providers: tuple[CredentialProvider, ...]

    of_machine: ClassVar[bool] = True

    @property
    def title(self) -> str:
        return "any of " + ", ".join(provider.title for provider in self.providers)

    @property
    def identity(self) -> Hashable:
        return tuple(provider.identity for provider in self.providers)

    def fetch(self, network: Network) -> ExpiringCredentials:
        failures: list[MpsCredentialsError] = []
        for provider in self.providers:
            try:
                return provider.fetch(network)
            except NotConfigured as failure:
                failures.append(failure)
        raise MpsCredentialsError(
            "; ".join(f"{failure.source}: {failure.why}" for failure in failures)
            + ". Fill in SecretId and SecretKey, or set credential_source to the one that you mean",
            source="any source of this machine",
            # If the metadata service was unavailable for a moment, a retry of the task may succeed.
            category=Category.FAILED if any(map(may_pass, failures)) else Category.PERMANENT,
        )


def provider_for(
    credentials: Credentials | None,
    *,
    name: str | None,
    sts: Sts,
    metadata_endpoint: str,
    profile: str = "default",
    role_arn: str | None = None,
    external_id: str | None = None,
) -> CredentialProvider:
    """
    Return the provider for a connection.

    :param credentials: the keys in the connection itself, if any.
    :param name: its ``credential_source``. The default is the keys in the connection, or else the first that are found.
    :raises MpsConfigError: the name is unknown, or the fields contradict each other.
    """
    machine: dict[str, CredentialProvider] = {
        "environment": Environment(sts),
        "profile": ProfileFile(sts, profile),
        "tke_oidc": WebIdentity(sts),
        "cvm_role": InstanceRole(metadata_endpoint),
    }
    if name not in {None, "static", *machine}:
        raise MpsConfigError(f"credential_source is {name!r:.40}; it can be static, {', '.join(machine)}, or empty.")
    if name in machine and credentials is not None:
        raise MpsConfigError(f"credential_source is {name}, but the connection holds keys as well. Remove one of them.")
    base: CredentialProvider = (
        machine[name] if name in machine else credentials or ChainProvider(tuple(machine.values()))
    )
    # Only for its checks: an invalid role is found before anything is sent.
    AssumeRole(
        role_arn=role_arn or "qcs::cam::uin/0:roleName/none",
        role_session_name=sts.session_name,
        duration_seconds=sts.duration,
        external_id=external_id,
    )
    if role_arn is None and external_id is not None:
        raise MpsConfigError("external_id is set, but no role_arn that it belongs to.")
    return base if role_arn is None else AssumedRole(base, role_arn, sts, external_id)
