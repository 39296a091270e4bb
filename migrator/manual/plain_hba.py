"""Write rules as lines of pg_hba.conf, and say what the server does not show of them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import quote

from migrator.manual.hba_tokens import plain_or_in_quotes
from migrator.manual.plain import Note
from migrator.pg.redact import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.manual.inventory import Hba, Rule

FLAGS = ("include_realm", "ldaptls", "delegate_ident_mapping")
# By method, options that are known only where the file was read too.
NOT_SHOWN = {
    "ldap": "ldapscheme",
    "pam": "pam_use_hostname",
    "sspi": "compat_realm and upn_username",
}
# The part of a directory that ldap searches, as ldap.h numbers it; of an option only the last is the default.
SCOPES = {"0": "base", "1": "one", "2": "sub"}
IN_LDAP_URL = ("ldapserver", "ldapport", "ldapbasedn", "ldapsearchattribute", "ldapscope", "ldapsearchfilter")


def usable(rule: Rule) -> bool:
    """Return whether the server understands the line, be it that it complains of it."""
    return rule.type is not None and rule.method is not None


def hba_lines(hba: Hba) -> list[str]:
    """Return the rules as lines, in the order in which they are tried."""
    return [line(rule) for rule in hba.rules if usable(rule)]


def line(rule: Rule) -> str:
    """Return a rule as a line of pg_hba.conf."""
    words = [rule.type or "", ",".join(rule.databases), ",".join(rule.users)]
    if rule.type != "local":
        words.append(address(rule))
    said = [plain_or_in_quotes(f"{name}={value}") for name, value in options(rule).items()]
    return " ".join([*words, rule.method or "", *said])


def address(rule: Rule) -> str:
    """Return the address with the length of its prefix, or a host's name, or a keyword."""
    if rule.address is None or rule.netmask is None:
        return plain_or_in_quotes(rule.address or "")
    length = prefix_length(rule.netmask)
    return f"{rule.address} {rule.netmask}" if length is None else f"{rule.address}/{length}"


def prefix_length(netmask: str) -> int | None:
    """Return how many bits lead a netmask; None where others follow."""
    mask = ip_address(netmask)
    length = int(mask).bit_count()
    leading = ((1 << length) - 1) << (mask.max_prefixlen - length)
    return length if int(mask) == leading else None


def options(rule: Rule) -> dict[str, str]:
    """Return the options of a rule as pg_hba.conf takes them; the server shows some in other words."""
    shown = dict(option.partition("=")[::2] for option in rule.options)
    if rule.method in ("gss", "sspi"):
        # On unless it is said, and shown only where it is on.
        shown.setdefault("include_realm", "0")
    if rule.method == "cert":
        # Implied, and each version shows it in another way.
        shown.pop("clientcert", None)
    elif shown.get("clientcert") == "true":
        shown["clientcert"] = "verify-ca"
    for flag in FLAGS:
        if shown.get(flag) == "true":
            shown[flag] = "1"
    if shown.get("ldapscope") in ("0", "1"):
        return _with_ldap_url(shown)
    shown.pop("ldapscope", None)
    return shown


def _with_ldap_url(shown: dict[str, str]) -> dict[str, str]:
    """Return the options of an ldap rule with what only an url can say in one."""
    server, port, base, attribute, scope, pattern = (shown.pop(name, "") for name in IN_LDAP_URL)
    scheme = shown.pop("ldapscheme", "ldap")
    where = f"{server}:{port}" if port else server
    parts = [quote(base), quote(attribute), SCOPES[scope], quote(pattern, safe="()=")]
    return {"ldapurl": f"{scheme}://{where}/{'?'.join(parts)}", **shown}


def hba_notes(hba: Hba) -> Iterator[Note]:
    """Yield what the lines leave out or may say amiss."""
    rules = [rule for rule in hba.rules if usable(rule)]
    if hba.pending:
        yield Note("what is in force, perhaps: the file was changed after the server had loaded it")
    if maps := sorted({options(rule)["map"] for rule in rules if "map" in options(rule)}):
        yield Note(f"pg_ident.conf, whose maps are named: {', '.join(map(plain_or_in_quotes, maps))}")
    if blind := [rule.where for rule in rules if not rule.complete]:
        yield Note(
            f'quotes around keywords, such as "all", which the server does not show: {", ".join(blind)}'
        )
    for rule in hba.rules:
        yield from _rule_notes(rule)


def _rule_notes(rule: Rule) -> Iterator[Note]:
    if not usable(rule):
        yield Note(f"{rule.where}, which the server does not understand: {rule.error}")
        return
    if hidden := [name for name, value in options(rule).items() if HIDDEN in value]:
        yield Note(f"{rule.where}: {', '.join(hidden)}, without --with-passwords")
    if rule.method in NOT_SHOWN and not rule.complete:
        yield Note(f"{rule.where}: {NOT_SHOWN[rule.method]}, which the server does not show")
    if not rule.file and any(name.lstrip('"').startswith("/") for name in (*rule.databases, *rule.users)):
        yield Note(f"{rule.where}: a name that begins with a slash, which is a regular expression as of 16")
