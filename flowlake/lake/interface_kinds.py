"""What a network interface is: the rules of interface_kinds.json applied to what EC2 says of it.

The rules are ordered and the first match wins; what none of them knows is "unclassified". A rule tells the kind, and
the name and ARNs of what the interface serves as far as its description names them; what takes other entities to know
(which database, which functions) is lake/resolve.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from flowlake.lake.arns import partition_of
from flowlake.lake.contracts import lake_data

UNCLASSIFIED = "unclassified"

_TEXTS = ("description", "requester_id", "instance_owner_id")
_PLACEHOLDER = re.compile(r"{(\w+)}")


class BadRule(ValueError):
    """A rule of interface_kinds.json says something that the engine does not know."""


@dataclass(frozen=True)
class InterfaceKind:
    """What an interface is. name and arns: of what it serves, as far as they are known from the interface alone.

    shared: arns are candidates. rule: the name of the rule that matched, "" for unclassified. listens_on: ports that
    all of this kind listen on.
    """

    type: str
    name: str | None = None
    arns: tuple[str, ...] = ()
    shared: bool = False
    rule: str = ""
    listens_on: tuple[int, ...] = ()


@dataclass(frozen=True)
class Template:
    """A text with {names} to be filled in."""

    text: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Template:
        return cls(text, tuple(_PLACEHOLDER.findall(text)))

    def filled(self, known: Mapping[str, str]) -> str | None:
        """The text; None where one of its names isn't known."""
        for name in self.names:
            if not known.get(name):
                return None
        return self.text.format_map(known)


@dataclass(frozen=True)
class Rule:
    """One compiled rule. starts: the first characters a description may have, None where any or none will do."""

    rule: str
    type: str
    texts: tuple[tuple[str, re.Pattern[str]], ...]
    interface_types: frozenset[str] | None
    instance: bool | None
    own_instance: bool
    requester_managed: tuple[bool | None, ...] | None
    tags: tuple[tuple[str, re.Pattern[str]], ...]
    name: Template | None
    arns: tuple[Template, ...]
    shared: bool
    listens_on: tuple[int, ...]
    starts: str | None


_SAID = {"rule", "type", "when", "name", "arns", "shared", "listens_on", "because"}
_CONDITIONS = {*_TEXTS, "interface_type", "instance", "own_instance", "requester_managed", "tags"}


def compile_rule(entry: Mapping[str, Any]) -> Rule:
    """A rule from its JSON. Raises BadRule, naming it."""
    named = entry.get("rule", "?")
    unknown = (entry.keys() - _SAID) | (entry.get("when", {}).keys() - _CONDITIONS)
    if unknown:
        raise BadRule(f"rule {named} says {', '.join(sorted(unknown))}")
    if not entry.get("when") or not entry.get("type"):
        raise BadRule(f"rule {named} lacks a type or a condition")
    when = entry["when"]
    try:
        texts = tuple((field, re.compile(when[field])) for field in _TEXTS if field in when)
        tags = tuple((key, re.compile(value)) for key, value in when.get("tags", {}).items())
    except re.error as error:
        raise BadRule(f"rule {named}: {error}") from error
    types = when.get("interface_type")
    managed = when.get("requester_managed")
    return Rule(
        rule=named,
        type=entry["type"],
        texts=texts,
        interface_types=None if types is None else frozenset(types),
        instance=when.get("instance"),
        own_instance=bool(when.get("own_instance", False)),
        requester_managed=None if managed is None else tuple(managed),
        tags=tags,
        name=Template.of(entry["name"]) if entry.get("name") else None,
        arns=tuple(Template.of(text) for text in entry.get("arns", ())),
        shared=bool(entry.get("shared", False)),
        listens_on=tuple(entry.get("listens_on", ())),
        starts=_starts(when.get("description")),
    )


def _starts(pattern: str | None) -> str | None:
    """The first character that every match of the pattern must begin with; None where that can't be told."""
    if pattern and re.match(r"\^\w(?![?*{|])", pattern) and "|" not in re.sub(r"\([^()]*\)", "", pattern):
        return pattern[1]
    return None


@cache
def rules() -> tuple[Rule, ...]:
    """The rules in their order."""
    return tuple(compile_rule(entry) for entry in lake_data("interface_kinds.json")["rules"])


@cache
def _rules_for(first_character: str, instance: bool, tagged: bool) -> tuple[Rule, ...]:
    """The rules that an interface may match whose description begins so, in their order."""
    return tuple(
        rule
        for rule in rules()
        if (rule.starts is None or rule.starts == first_character)
        and rule.instance in (None, instance)
        and (tagged or not rule.tags)
    )


@cache
def _tag_keys() -> tuple[frozenset[str], tuple[str, ...]]:
    """The tag keys that rules ask for: whole ones, and prefixes."""
    keys = {key for rule in rules() for key, _ in rule.tags}
    return frozenset(k for k in keys if not k.endswith("*")), tuple(k[:-1] for k in keys if k.endswith("*"))


def tells(tag_key: str) -> bool:
    """Whether any rule asks for a tag of this key."""
    keys, prefixes = _tag_keys()
    return tag_key in keys or tag_key.startswith(prefixes)


def classify(
    description: str | None,
    interface_type: str | None = None,
    requester_id: str | None = None,
    instance_owner_id: str | None = None,
    instance_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    account_id: str | None = None,
    region: str | None = None,
    requester_managed: bool | None = None,
) -> InterfaceKind:
    """What this interface is. account_id is its owner's; None (or "") anywhere says that the source did not tell.

    Only an instance_id of "" is more than that: EC2 told that it is attached to no instance of the account's own.
    """
    elsewhere = instance_id == "" and (instance_owner_id or "") not in ("", account_id)
    telling: tuple[tuple[str, str], ...] = ()
    if tags:
        keys, prefixes = _tag_keys()
        telling = tuple((k, v) for k, v in tags.items() if k in keys or k.startswith(prefixes))
    return _classify(
        description or "",
        interface_type or "",
        requester_id or "",
        instance_owner_id or "",
        instance_id or "",
        telling,
        account_id or "",
        region or "",
        requester_managed,
        elsewhere,
    )


@lru_cache(maxsize=65_536)
def _classify(
    description: str,
    interface_type: str,
    requester_id: str,
    instance_owner_id: str,
    instance_id: str,
    tags: tuple[tuple[str, str], ...],
    account_id: str,
    region: str,
    requester_managed: bool | None,
    elsewhere: bool,
) -> InterfaceKind:
    texts = {"description": description, "requester_id": requester_id, "instance_owner_id": instance_owner_id}
    for rule in _rules_for(description[:1], bool(instance_id), bool(tags)):
        if rule.interface_types is not None and interface_type not in rule.interface_types:
            continue
        if rule.requester_managed is not None and requester_managed not in rule.requester_managed:
            continue
        if rule.own_instance and elsewhere:
            continue
        groups = _groups(rule, texts, dict(tags))
        if groups is not None:
            return _kind(rule, groups, instance_id, instance_owner_id, account_id, region)
    return InterfaceKind(UNCLASSIFIED)


def _groups(rule: Rule, texts: Mapping[str, str], tags: Mapping[str, str]) -> dict[str, str | None] | None:
    """The named groups of the rule's expressions, or None where one of them does not match."""
    groups: dict[str, str | None] = {}
    for field, pattern in rule.texts:
        found = pattern.search(texts[field])
        if not found:
            return None
        if pattern.groups:
            groups.update(found.groupdict())
    for key, pattern in rule.tags:
        found = _tag(tags, key, pattern.search)
        if not found:
            return None
        groups.update(found.groupdict())
    return groups


def _tag(tags: Mapping[str, str], key: str, search: Callable[[str], re.Match[str] | None]) -> re.Match[str] | None:
    if not key.endswith("*"):
        return search(tags[key]) if key in tags else None
    return next((found for k, v in tags.items() if k.startswith(key[:-1]) and (found := search(v))), None)


def _kind(
    rule: Rule,
    groups: Mapping[str, str | None],
    instance_id: str,
    instance_owner_id: str,
    account_id: str,
    region: str,
) -> InterfaceKind:
    if not rule.arns and rule.name is None:
        return InterfaceKind(rule.type, None, (), rule.shared, rule.rule, rule.listens_on)
    known = {
        "partition": partition_of(region),
        "region": region,
        "account_id": account_id,
        "instance_id": instance_id,
        "instance_account_id": instance_owner_id if instance_owner_id.isdigit() else account_id,
    }
    known.update((name, value) for name, value in groups.items() if value)
    if instance_id:
        known["instance_id"] = instance_id  # the attachment is EC2's word, a description may be anybody's
    arns = tuple(arn for template in rule.arns if (arn := template.filled(known)))
    name = rule.name.filled(known) if rule.name else None
    return InterfaceKind(rule.type, name, arns, rule.shared, rule.rule, rule.listens_on)
