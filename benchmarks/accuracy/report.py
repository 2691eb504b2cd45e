"""The outcomes as tables in Markdown, and what they are held to."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.accuracy.measure import Outcome

BY_ADDRESS = ("interval", "attested", "assumed", "aws_service", "network", "public", "none")
MOST_UNATTRIBUTED = 0.01
MOST_LOSS_HELD = 0.1
MOST_WRONG = 0.001
"""Of client and server, tags, legs and ways out."""
MOST_UNKNOWN = {"places": 0.02, "resources": 0.03, "roles": 0.03, "ways": 0.1}
"""Several times what estates show whose events arrive; small estates show most."""
MOST_TAGS_MISSED = 0.03
"""Unknown, or those that it had before."""


def unattributed(outcome: Outcome) -> tuple[int, int, int]:
    """Of ends known by address only that an interface truly holds, on legs that count: bytes that name nobody though something told who it
    was; bytes that name nobody as nothing could tell; all."""
    nameless = outcome.total("nameless", counted=True, held=True)
    excused = outcome.total("untold", counted=True, held=True) + outcome.total("reused", counted=True, held=True)
    return nameless - excused, excused, outcome.total("bytes", BY_ADDRESS, counted=True, held=True)


def unsaid_outside(outcome: Outcome) -> tuple[int, int, int]:
    """Of ends that no interface holds, on legs that count: bytes of which nothing is said; bytes of services and known networks that are
    only said to be public; all."""
    nothing, only_public = (outcome.total(name, counted=True, held=False) for name in ("nameless", "only_public"))
    return nothing, only_public, outcome.total("bytes", counted=True, held=False)


def faults(outcome: Outcome) -> list[str]:
    """What the outcome fails of what accuracy is held to, in words."""
    found = _of_bytes(outcome) + _of_ends(outcome) + _of_columns(outcome)
    return [f"seed {outcome.seed}, {outcome.setting.words}: {fault}" for fault in found]


def _of_bytes(outcome: Outcome) -> list[str]:
    found = []
    wrong = outcome.total("wrong")
    if wrong:
        by = {how: n for how in ("interface", *BY_ADDRESS) if (n := outcome.total("wrong", (how,)))}
        found.append(f"{wrong:,} bytes are misattributed ({', '.join(f'{how} {n:,}' for how, n in by.items())})")
    held = outcome.sums["bytes"]
    for name in ("missing", "doubled", "invented"):
        if held[name]:
            found.append(f"{held[name]:,} bytes are {name}")
    if held["inexact_pairs"]:
        found.append(f"{held['inexact_pairs']:,} of {held['pairs']:,} pairs are not counted from one complete reporter")
    passing = outcome.sums["passing"]
    if passing["missing"]:
        found.append(f"{passing['missing']:,} of {passing['held']:,} bytes are missing on the legs hop and nat_outside")
    return found


def _of_ends(outcome: Outcome) -> list[str]:
    found = []
    lacking, _, known = unattributed(outcome)
    if outcome.setting.loss <= MOST_LOSS_HELD and lacking > MOST_UNATTRIBUTED * known:
        found.append(
            f"{lacking:,} of {known:,} bytes at ends known by address name nobody though something told who it was"
        )
    nothing, only_public, outside = unsaid_outside(outcome)
    if nothing + only_public > MOST_UNATTRIBUTED * outside:
        found.append(
            f"{nothing:,} of {outside:,} bytes at ends outside are said to be nobody's, {only_public:,} of services and known networks only public"
        )
    for name, words in (("places", "account, VPC, subnet or zone"), ("resources", "kind, ARNs or name")):
        if wrong := outcome.sums[name]["wrong"]:
            found.append(f"{words} of a named end are wrong in {wrong:,} of {outcome.sums[name].total():,} bytes")
    return found


def _of_columns(outcome: Outcome) -> list[str]:
    found = []
    told = outcome.setting.loss <= MOST_LOSS_HELD
    words = {"roles": "client and server", "tags": "tags", "legs": "legs", "ways": "ways out"}
    for name, what in words.items():
        sums = outcome.sums[name]
        # The leg is the inventory's to tell: which interface is a gateway's, and which address is behind one.
        if sums["wrong"] > MOST_WRONG * sums.total() and (told or name != "legs"):
            found.append(f"{what} are wrong in {sums['wrong']:,} of {sums.total():,} bytes")
    actions = outcome.sums["actions"]
    if actions["wrong"] or actions["unknown"]:
        found.append(f"action is wrong in {actions['wrong']:,} bytes and unknown in {actions['unknown']:,}")
    words |= {"places": "accounts, VPCs, subnets or zones", "resources": "kinds, ARNs or names"}
    for name, most in MOST_UNKNOWN.items():
        sums = outcome.sums[name]
        if told and sums["unknown"] > most * sums.total():
            found.append(f"{words[name]} are unknown in {sums['unknown']:,} of {sums.total():,} bytes")
    tags = outcome.sums["tags"]
    if told and tags["unknown"] + tags["late"] > MOST_TAGS_MISSED * tags.total():
        found.append(f"tags are unknown in {tags['unknown']:,} and late in {tags['late']:,} of {tags.total():,} bytes")
    return found


def tables(outcomes: Sequence[Outcome]) -> str:
    """All tables; a row is one setting, over all its seeds."""
    by_setting: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_setting.setdefault(outcome.setting.words, []).append(outcome)
    groups = list(by_setting.items())
    return "\n\n".join([_headline(groups), _ends(groups), _said(groups), _rest(groups), _others(groups)])


Groups = Sequence[tuple[str, Sequence[Outcome]]]


def _sum(group: Sequence[Outcome], name: str, measure: str) -> int:
    return sum(outcome.sums[name][measure] for outcome in group)


def _ends_sum(group: Sequence[Outcome], measure: str, hows: tuple[str, ...] | None = None, **where: bool) -> int:
    return sum(outcome.total(measure, hows, **where) for outcome in group)


def _table(title: str, head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in body]
    return f"{title}\n\n" + "\n".join(lines)


def _share(part: int, whole: int) -> str:
    """A share in per cent: never 0 for what is more than nothing, never 100 for what is less than all."""
    if part == 0 or whole == 0:
        return "0"
    share = 100 * part / whole
    if part == whole:
        return "100"
    if share < 0.001:
        return "<0.001"
    return f"{share:.3f}" if share < 99.9995 else ">99.999"


def _headline(groups: Groups) -> str:
    body = []
    for words, group in groups:
        lacking, excused, known = (sum(part) for part in zip(*(unattributed(o) for o in group), strict=True))
        nothing, only_public, outside = (sum(part) for part in zip(*(unsaid_outside(o) for o in group), strict=True))
        body.append(
            [
                words,
                f"{sum(o.records for o in group):,}",
                f"{_ends_sum(group, 'wrong'):,}",
                f"{_sum(group, 'bytes', 'missing'):,}",
                f"{_sum(group, 'bytes', 'doubled') + _sum(group, 'bytes', 'invented'):,}",
                _share(lacking, known),
                _share(excused, known),
                _share(nothing + only_public, outside),
                f"{sum(_sum(group, name, 'wrong') for name in ('actions', 'places', 'resources')):,}",
                _share(_sum(group, "roles", "wrong"), sum(o.sums["roles"].total() for o in group)),
            ]
        )
    head = [
        "Events and sweeps", "records", "bytes misattributed", "bytes missing", "bytes doubled", "unattributed, % of bytes",
        "unknowable, %", "outside unattributed, %", "action, place or resource wrong, bytes", "client/server wrong, %",
    ]  # fmt: skip
    return _table("**What it is held to.** One row is one setting, over all seeds and hours.", head, body)


def _ends(groups: Groups) -> str:
    body = []
    for words, group in groups:
        own, own_wrong = (_ends_sum(group, m, ("interface",), counted=True) for m in ("bytes", "wrong"))
        known = _ends_sum(group, "bytes", BY_ADDRESS, counted=True)
        shares = [_share(_ends_sum(group, "bytes", (how,), counted=True), known) for how in BY_ADDRESS]
        none = {m: _ends_sum(group, m, counted=True) for m in ("contested", "untold", "reused")}
        wrong = _ends_sum(group, "wrong", BY_ADDRESS, counted=True)
        outside = [sum(part) for part in zip(*(unsaid_outside(o) for o in group), strict=True)]
        body.append(
            [words, f"{own / 1e6:,.0f}", f"{own_wrong:,}", f"{known / 1e6:,.0f}", *shares]
            + [_share(none[m], known) for m in ("contested", "untold", "reused")]
            + [_share(part, known) for part in outside[:2]]
            + [f"{wrong:,}"]
        )
    head = [
        "Events and sweeps",
        "by own id, MB",
        "of it wrong, bytes",
        "by address, MB",
        *(f"{how}, %" for how in BY_ADDRESS),
    ]
    head += [
        "of none: contested, %",
        "nothing told, %",
        "changing hands, %",
        "outside, %",
        "only public, %",
        "wrong, bytes",
    ]
    return _table("**How ends are known,** in bytes at both ends of rows on the legs that count.", head, body)


def _said(groups: Groups) -> str:
    body = []
    for words, group in groups:
        cells = [words]
        for name in ("places", "resources"):
            whole = sum(_sum(group, name, part) for part in ("right", "unknown", "wrong"))
            cells += [_share(_sum(group, name, part), whole) for part in ("right", "unknown")]
            cells.append(f"{_sum(group, name, 'wrong'):,}")
        refused, wrong = _sum(group, "actions", "refused"), _sum(group, "actions", "wrong")
        held, missing = _sum(group, "passing", "held"), _sum(group, "passing", "missing")
        cells += [f"{refused:,}", f"{wrong:,}", f"{held / 1e6:,.0f}", f"{missing:,}"]
        body.append(cells)
    head = [
        "Events and sweeps", "account, VPC, subnet, zone right, %", "unknown, %", "wrong, bytes", "kind, ARNs, name right, %", "unknown, %",
        "wrong, bytes", "refused, bytes", "action wrong, bytes", "hop and nat_outside, MB", "of it missing, bytes",
    ]  # fmt: skip
    return _table("**What is said of named ends, actions and what passed,** on all legs.", head, body)


def _rest(groups: Groups) -> str:
    body = []
    for words, group in groups:
        cells = [words]
        for name, parts in (
            ("tags", ("right", "late", "unknown", "wrong")),
            ("roles", ("right", "unknown", "wrong")),
            ("legs", ("right", "wrong")),
            ("ways", ("right", "unknown", "wrong")),
        ):
            whole = sum(_sum(group, name, part) for part in ("right", "late", "unknown", "wrong"))
            cells += [_share(_sum(group, name, part), whole) for part in parts]
        cells.insert(3, f"{max(o.latest_tags_seconds for o in group) / 60:.0f}")
        held, lossy = _sum(group, "bytes", "held"), _sum(group, "bytes", "lossy_held")
        cells += [_share(_sum(group, "bytes", "published"), held), f"{lossy / 1e6:,.2f}"]
        cells.append(_share(_sum(group, "bytes", "lossy_published"), lossy))
        body.append(cells)
    head = [
        "Events and sweeps", "tags right, %", "late, %", "latest by, min", "unknown, %", "wrong, %", "client/server right, %",
        "unknown, %", "wrong, %", "leg right, %", "wrong, %", "way out right, %", "unknown, %", "wrong, %",
        "bytes counted of those held, %", "held by no complete reporter, MB", "counted of these, %",
    ]  # fmt: skip
    return _table("**Tags, roles, legs, ways out and bytes,** on the legs that count (legs: on all).", head, body)


def _others(groups: Groups) -> str:
    body = []
    for words, group in groups:
        cells = [words]
        for name in ("naive", "events_only"):
            parts = [_sum(group, name, part) for part in ("right", "unattributed", "wrong")]
            cells += [_share(part, sum(parts)) for part in parts]
        asked = sum(_sum(group, "naive", part) for part in ("right", "unattributed", "wrong"))
        nameless, wrong = _ends_sum(group, "nameless", counted=True, held=True), _ends_sum(group, "wrong", counted=True)
        cells += [_share(asked - nameless - wrong, asked), _share(nameless, asked), _share(wrong, asked)]
        body.append(cells)
    head = ["Events and sweeps"]
    head += [
        f"{who} {what}, %"
        for who in ("latest snapshot:", "events only:", "flowlake:")
        for what in ("right", "nobody", "wrong")
    ]
    title = (
        "**Beside it, on the same data:** far ends of the counted records that an interface holds, as the naive join with the latest "
        "snapshot and an inventory of events only would name them."
    )
    return _table(title, head, body)
