"""Write rules as Pigsty's ``pg_hba_rules``: by address where it can be said so, else as a raw line.

Their order is kept by ``order``, after the rules that Pigsty has of its own.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from migrator.manual.pigsty import is_plain
from migrator.manual.plain import Note
from migrator.manual.plain_hba import address, hba_notes, line, options, prefix_length, usable

if TYPE_CHECKING:
    from migrator.manual.inventory import Hba, Rule

# Pigsty's own rules have less; those that are to win over them would have less than 100.
FIRST = 1000
# How Pigsty calls a method, by the type of connection; the others it cannot say by address.
METHODS = {
    "local": {
        "trust": "trust",
        "reject": "deny",
        "md5": "md5",
        "scram-sha-256": "scram-sha-256",
        "peer": "peer",
    },
    "host": {
        "trust": "trust",
        "reject": "deny",
        "md5": "md5",
        "scram-sha-256": "scram-sha-256",
        "ident": "ident",
    },
    "hostssl": {"md5": "ssl-md5", "scram-sha-256": "ssl-sha", "cert": "cert"},
}


def hba_definition(hba: Hba) -> tuple[list[dict[str, Any]], list[Note]]:
    """Return ``pg_hba_rules`` in the order in which they are tried, and what they do not carry."""
    defined: list[dict[str, Any]] = []
    notes = []
    for number, rule in enumerate(filter(usable, hba.rules)):
        if is_plain(line(rule)):
            defined.append({"title": _title(rule), "order": FIRST + number, **_said(rule)})
        else:
            notes.append(Note(f"{rule.where}, which Ansible would take for a template", (line(rule),)))
    if any(rule.method == "reject" for rule in hba.rules):
        notes.append(
            Note("that rejects win over Pigsty's own rules, which come first: give those an order below 100")
        )
    return defined, [*notes, *hba_notes(hba)]


def _title(rule: Rule) -> str:
    return rule.where if is_plain(rule.where) and rule.where.isprintable() else f"line {rule.line}"


def _said(rule: Rule) -> dict[str, Any]:
    where = _where(rule)
    method = METHODS.get(rule.type or "", {}).get(rule.method or "")
    special = any(name.lstrip('"').startswith(("/", "$")) for name in (*rule.databases, *rule.users))
    if where is None or method is None or special or options(rule):
        return {"rules": [line(rule)]}
    return {"user": ",".join(rule.users), "db": ",".join(rule.databases), "addr": where, "auth": method}


def _where(rule: Rule) -> str | None:
    """Return the address as Pigsty takes it; None for what it does not."""
    if rule.type == "local":
        return "local"
    if rule.netmask is None:
        return "world" if rule.address == "all" else None
    is_v4 = rule.address is not None and ip_address(rule.address).version == 4
    return address(rule) if is_v4 and prefix_length(rule.netmask) is not None else None
