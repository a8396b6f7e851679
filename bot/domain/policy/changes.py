"""What an edit of the policy file changes, and whether it loosens a rule. Pure.

Several patterns can match a name, so this compares effective rules before and after, for every pair of patterns between
which a model's name can switch. Roles are replaced by the ids in them. If in doubt, a change counts as loosening.
"""

from __future__ import annotations

from collections.abc import Iterator

from bot.domain.core.durations import format_duration
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Mention, say
from bot.domain.policy.model_patterns import can_overlap, covers, is_literal
from bot.domain.policy.policy import ApiClient, Policy
from bot.domain.policy.rule_changes import ChangeKind, PolicyChange, PolicySide, model_rule_changes, people_changes


def policy_changes(before: Policy, after: Policy) -> list[PolicyChange]:
    """Return every relevant difference, those that loosen a rule first."""
    all_changes = [
        *_file_changes(before, after),
        *(_pattern_change(pattern, "new pattern") for pattern in after.models if pattern not in before.models),
        *(_pattern_change(pattern, "pattern removed") for pattern in before.models if pattern not in after.models),
    ]
    for old_pattern, new_pattern in _comparable_patterns(before, after):
        changes = model_rule_changes(
            PolicySide(before, old_pattern), PolicySide(after, new_pattern), f"models.{new_pattern}"
        )
        all_changes += [change for change in changes if change.loosens or old_pattern == new_pattern]
    once = {(change.path, change.kind, str(change.sentence)): change for change in all_changes}
    return sorted(once.values(), key=lambda change: not change.loosens)


def _pattern_change(pattern: str, what: str) -> PolicyChange:
    return PolicyChange(f"models.{pattern}", ChangeKind.PATTERN, False, say(what))


# -- which rules to compare ------------------------------------------------------------------------------------------


def _comparable_patterns(before: Policy, after: Policy) -> Iterator[tuple[str | None, str]]:
    """Yield pairs of patterns that can apply to the same name, before and after; None if none applied before.

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
    yield from people_changes(was, now, f"roles.{Policy.ADMIN_ROLE}", ChangeKind.ADMINS, "act as admin")
    yield from _operator_changes(before, after)
    yield from _client_changes(before, after)
    yield from _source_changes(before, after)
    if before.edits.settle != after.edits.settle:
        old, new = before.edits.settle, after.edits.settle
        words = say("{old} → {new}", old=format_duration(old), new=format_duration(new))
        yield PolicyChange("policy.settle", ChangeKind.SETTLE, new < old, words)
    if before.max_auto != after.max_auto:
        words = say(
            "{old} → {new} in 24 hours", old=before.max_auto, new=pluralize(after.max_auto, "automatic rollback")
        )
        yield PolicyChange("max_auto", ChangeKind.LIMITS, after.max_auto > before.max_auto, words)
    for key, kind, loosens in (
        ("anchor", ChangeKind.ANCHOR, before.anchor is not None),
        ("directions", ChangeKind.DIRECTIONS, False),
        ("channel", ChangeKind.OTHER, False),
        ("notify", ChangeKind.OTHER, False),
        ("serving", ChangeKind.OTHER, False),
    ):
        if getattr(before, key) != getattr(after, key):
            yield PolicyChange(key, kind, loosens, say("changed"))


def _operator_changes(before: Policy, after: Policy) -> Iterator[PolicyChange]:
    """Yield changed operators. Removing one loosens too, since it says who a terminal user is in Slack."""
    for name in sorted({*before.operators, *after.operators}):
        was, now = before.operators.get(name), after.operators.get(name)
        if was != now:
            words = say("{old} → {new}", old=Mention(was) if was else "no one", new=Mention(now) if now else "no one")
            yield PolicyChange(f"operators.{name}", ChangeKind.OPERATORS, True, words)


def _client_changes(before: Policy, after: Policy) -> Iterator[PolicyChange]:
    for name in sorted({*before.clients, *after.clients}):
        was, now = before.clients.get(name), after.clients.get(name)
        if now is None:
            yield PolicyChange(f"clients.{name}", ChangeKind.CLIENTS, False, say("client removed"))
        elif was != now:
            words = say("client can {acts}", acts=", ".join(now.may) or "do nothing")
            yield PolicyChange(f"clients.{name}", ChangeKind.CLIENTS, not _is_client_narrower(now, was), words)


def _is_client_narrower(new: ApiClient, old: ApiClient | None) -> bool:
    """Return whether a client gains no permissions and keeps the same token."""
    if old is None:
        return not new.may
    return (
        set(new.may) <= set(old.may)
        and all(any(pattern == wide or covers(wide, pattern) for wide in old.models) for pattern in new.models)
        and (new.token_env, new.token_file) == (old.token_env, old.token_file)
    )


def _source_changes(before: Policy, after: Policy) -> Iterator[PolicyChange]:
    """Yield changed sources. Automatic rollbacks rely on them, so any change but a new source counts as loosening."""
    for name in sorted({*before.sources, *after.sources}):
        was, now = before.source(name), after.source(name)
        if was != now:
            yield PolicyChange(
                f"sources.{name}", ChangeKind.SOURCES, was is not None and now is not None, say("changed")
            )
