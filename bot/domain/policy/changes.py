"""What an edit to the policy file changes, and whether it loosens a rule. Pure.

Several patterns can match a name, so this compares the effective rules before and after the edit, for every pair of
patterns that a model's name can switch between. Roles are replaced by the IDs in them. When in doubt, a change counts
as loosening.
"""

from __future__ import annotations

from collections.abc import Iterator

from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import Channel, Code, Mention, say
from bot.domain.policy.callers.api_clients import ApiClient
from bot.domain.policy.model_patterns import can_overlap, covers, is_literal
from bot.domain.policy.policy import Policy
from bot.domain.policy.rule_changes import (
    ChangeKind,
    PolicyChange,
    PolicySide,
    changed_settings,
    metric_changes,
    model_rule_changes,
    on_call_change,
    people_changes,
)


def policy_changes(before: Policy, after: Policy) -> list[PolicyChange]:
    """Return every relevant difference, with those that loosen a rule first."""
    all_changes = [
        *_file_changes(before, after),
        *(_pattern_change(pattern, "rule added") for pattern in after.models if pattern not in before.models),
        *(_pattern_change(pattern, "rule removed") for pattern in before.models if pattern not in after.models),
    ]
    for old_pattern, new_pattern in _comparable_patterns(before, after):
        changes = model_rule_changes(
            PolicySide(before, old_pattern), PolicySide(after, new_pattern), f"models.{new_pattern}"
        )
        all_changes += [change for change in changes if change.loosens or old_pattern == new_pattern]
    once = {(change.path, change.kind, str(change.sentence)): change for change in all_changes}
    return sorted(once.values(), key=lambda change: not change.loosens)


def _pattern_change(pattern: str, what: str) -> PolicyChange:
    place = say("{pattern}", pattern=Code(pattern))
    return PolicyChange(f"models.{pattern}", ChangeKind.PATTERN, False, say(what), place)


# -- which rules to compare ------------------------------------------------------------------------------------------


def _comparable_patterns(before: Policy, after: Policy) -> Iterator[tuple[str | None, str]]:
    """Yield pairs of patterns, before and after, that can apply to the same name; None if none applied before.

    Names without a pattern afterward are left out, since no one can promote those models.
    """
    for new in after.models:
        for old in before.models:
            if old == new or _can_change_pattern(before, after, old, new):
                yield old, new
        if new not in before.models and not any(covers(wide, new) for wide in before.models):
            yield None, new


def _can_change_pattern(before: Policy, after: Policy, old: str, new: str) -> bool:
    """Return whether there can be a name that `old` applied to and `new` applies to now."""
    return (
        (new not in before.models or _takes_precedence(before, old, new))
        and (old not in after.models or _takes_precedence(after, new, old))
        and can_overlap(old, new)
        and not _is_shadowed(before, old, new)
        and not _is_shadowed(after, new, old)
    )


def _is_shadowed(policy: Policy, pattern: str, other: str) -> bool:
    """Return whether a third pattern takes precedence over `pattern` for every name it shares with `other`."""
    return any(
        _takes_precedence(policy, third, pattern) and (covers(third, other) or covers(third, pattern))
        for third in policy.models
        if third != pattern
    )


def _takes_precedence(policy: Policy, first: str, second: str) -> bool:
    """Return whether `first` takes precedence over `second` for names that both match."""
    if is_literal(first) != is_literal(second):
        return is_literal(first)
    order = list(policy.models)
    return (len(first), order.index(second)) > (len(second), order.index(first))


# -- the rest of the file --------------------------------------------------------------------------------------------


def _file_changes(before: Policy, after: Policy) -> Iterator[PolicyChange]:
    was, now = (frozenset(policy.roles.get(Policy.ADMIN_ROLE, [])) for policy in (before, after))
    for loosens, sentence in people_changes(was, now, "admins"):
        yield PolicyChange(f"roles.{Policy.ADMIN_ROLE}", ChangeKind.ADMINS, loosens, sentence)
    yield from _identity_changes(before, after)
    yield from _client_changes(before, after)
    yield from _source_changes(before, after)
    if before.edits.settle != after.edits.settle:
        old, new = before.edits.settle, after.edits.settle
        words = say("settle time {old} → {new}", old=format_duration(old), new=format_duration(new))
        yield PolicyChange("policy.settle", ChangeKind.SETTLE, new < old, words)
    if before.max_auto != after.max_auto:
        words = say("maximum automatic rollbacks in 24 hours {old} → {new}", old=before.max_auto, new=after.max_auto)
        yield PolicyChange("max_auto", ChangeKind.LIMITS, after.max_auto > before.max_auto, words)
    for _, change in changed_settings({"": before.quotas}, {"": after.quotas}):
        loosens = any(number > getattr(before.quotas, name) for name, number in after.quotas)
        yield PolicyChange("quotas", ChangeKind.LIMITS, loosens, say("quotas {change}", change=change))
    for sentence in metric_changes(before, after):
        yield PolicyChange("metrics", ChangeKind.DIRECTIONS, False, sentence)
    yield from _setting_changes(before, after)


def _setting_changes(before: Policy, after: Policy) -> Iterator[PolicyChange]:
    """Yield changes to the anchor, to the audit stream, and to settings that grant no permissions."""
    if before.channel != after.channel:
        words = say("default channel {old} → {new}", old=Channel(before.channel), new=Channel(after.channel))
        yield PolicyChange("channel", ChangeKind.OTHER, False, words)
    for _, change in changed_settings({"": before.anchor}, {"": after.anchor}):
        words = say("anchor {change}", change=change)
        yield PolicyChange("anchor", ChangeKind.ANCHOR, before.anchor is not None, words)
    was, now = ({stream.key: stream for stream in [policy.audit.stream] if stream} for policy in (before, after))
    for key, change in changed_settings(was, now):
        words = say("audit stream {name} {change}", name=Code((now | was)[key].display_name), change=change)
        yield PolicyChange("audit.stream", ChangeKind.AUDIT_STREAM, True, words)
    old, new = ({endpoint.key: endpoint for endpoint in policy.notify} for policy in (before, after))
    for key, change in changed_settings(old, new):
        words = say("endpoint {name} {change}", name=Code((new | old)[key].display_name), change=change)
        yield PolicyChange("notify", ChangeKind.OTHER, False, words)
    if before.on_call != after.on_call:
        yield PolicyChange("on_call", ChangeKind.OTHER, False, on_call_change(before.on_call, after.on_call))
    for pattern, change in changed_settings(before.serving, after.serving):
        words = say("serving check of {pattern} {change}", pattern=Code(pattern), change=change)
        yield PolicyChange("serving", ChangeKind.OTHER, False, words)


def _identity_changes(before: Policy, after: Policy) -> Iterator[PolicyChange]:
    """Yield changed operators and people. All count as loosening, because they change who someone is in Slack."""
    sections = (
        ("operators", "operator", before.operators, after.operators),
        ("people.github", "GitHub login", before.people.github, after.people.github),
        ("people.gitlab", "GitLab login", before.people.gitlab, after.people.gitlab),
    )
    for path, what, was, now in sections:
        for name in sorted(name for name in {*was, *now} if was.get(name) != now.get(name)):
            old, new = (Mention(side[name]) if name in side else "no one" for side in (was, now))
            words = say("{what} {name} {old} → {new}", what=what, name=Code(name), old=old, new=new)
            yield PolicyChange(f"{path}.{name}", ChangeKind.OPERATORS, True, words)


def _client_changes(before: Policy, after: Policy) -> Iterator[PolicyChange]:
    """Yield changed clients. Removing one that acts for a person also loosens, since its requests are that person's."""
    for name, change in changed_settings(before.clients, after.clients):
        old, new = before.clients.get(name), after.clients.get(name)
        loosens = not _is_client_narrower(new, old) if new else old is not None and old.acts_for is not None
        words = say("client {name} {change}", name=Code(name), change=change)
        yield PolicyChange(f"clients.{name}", ChangeKind.CLIENTS, loosens, words)


def _is_client_narrower(new: ApiClient, old: ApiClient | None) -> bool:
    """Return whether a client gains no access and keeps its identity: its token or CI jobs, and who it acts for.

    A new client must have no permissions.
    """
    if old is None:
        return not new.may
    return (
        set(new.may) <= set(old.may)
        and all(any(pattern == wide or covers(wide, pattern) for wide in old.models) for pattern in new.models)
        and all(getattr(new, name) == getattr(old, name) for name in ("token_env", "token_file", "oidc", "acts_for"))
    )


def _source_changes(before: Policy, after: Policy) -> Iterator[PolicyChange]:
    """Yield changed sources. Automatic rollbacks rely on them, so changing an existing source counts as loosening.

    Adding or removing one doesn't.
    """
    names = sorted({*before.sources, *after.sources})
    old, new = ({name: policy.source(name) for name in names} for policy in (before, after))
    for name, change in changed_settings(old, new):
        words = say("source {name} {change}", name=Code(name), change=change)
        loosens = old[name] is not None and new[name] is not None
        yield PolicyChange(f"sources.{name}", ChangeKind.SOURCES, loosens, words)
