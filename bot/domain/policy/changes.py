"""What an edit of the policy file changes, and whether it loosens a rule. Pure.

Patterns compete, so effective rules are compared: the rule before and the rule after for every two patterns between
which a model's name can pass. Roles count as the ids behind them. What can't be compared for certain loosens.
"""

from __future__ import annotations

from collections.abc import Iterator

from bot.domain.core.durations import show_duration
from bot.domain.core.numbers import counted
from bot.domain.core.sentence import Mention, say
from bot.domain.policy.model_patterns import covers, is_plain, share_a_name
from bot.domain.policy.policy import ApiClient, Policy
from bot.domain.policy.rule_changes import Change, ChangeKind, _gained_and_lost, _of_rules, _Side


def policy_changes(before: Policy, after: Policy) -> list[Change]:
    """Return every difference that matters, those that loosen a rule first."""
    found = [*_of_the_file(before, after), *_of_patterns(before, after)]
    for one, other in _passing(before, after):
        changes = _of_rules(_Side(before, one), _Side(after, other), f"models.{other}")
        found += [change for change in changes if change.loosens or one == other]
    once = {(change.path, change.kind, str(change.says)): change for change in found}
    return sorted(once.values(), key=lambda change: not change.loosens)


# -- which rules to compare ------------------------------------------------------------------------------------------


def _of_patterns(before: Policy, after: Policy) -> Iterator[Change]:
    for pattern in after.models:
        if pattern not in before.models:
            yield Change(f"models.{pattern}", ChangeKind.PATTERN, False, say("new pattern"))
    for pattern in before.models:
        if pattern not in after.models:
            yield Change(f"models.{pattern}", ChangeKind.PATTERN, False, say("pattern removed"))


def _passing(before: Policy, after: Policy) -> Iterator[tuple[str | None, str]]:
    """Yield the patterns that can hold for the same name, one before and one after; None where none held before.

    Names that no pattern holds for afterward are left out: nobody can promote those.
    """
    for new in after.models:
        for old in before.models:
            if old == new or _can_pass(before, after, old, new):
                yield old, new
        if new not in before.models and not any(covers(wide, new) for wide in before.models):
            yield None, new


def _can_pass(before: Policy, after: Policy, old: str, new: str) -> bool:
    """Tell whether there can be a name for which `old` held and `new` holds now."""
    if new in before.models and not _beats(before, old, new):
        return False
    if old in after.models and not _beats(after, new, old):
        return False
    if not share_a_name(old, new):
        return False
    return not (_is_hidden(before, old, new) or _is_hidden(after, new, old))


def _is_hidden(policy: Policy, pattern: str, other: str) -> bool:
    """Tell whether a third pattern wins over `pattern` for every name that it shares with `other`."""
    return any(
        _beats(policy, third, pattern) and (covers(third, other) or covers(third, pattern))
        for third in policy.models
        if third != pattern
    )


def _beats(policy: Policy, one: str, other: str) -> bool:
    """Tell whether `one` wins over `other` for the names that both match."""
    if is_plain(one) != is_plain(other):
        return is_plain(one)
    order = list(policy.models)
    return (len(one), order.index(other)) > (len(other), order.index(one))


# -- one model's rules -----------------------------------------------------------------------------------------------


# -- gates -----------------------------------------------------------------------------------------------------------


# -- what acts or stops without a person -------------------------------------------------------------------------------


# -- the rest of the file --------------------------------------------------------------------------------------------


def _of_the_file(before: Policy, after: Policy) -> Iterator[Change]:
    was, now = (frozenset(one.roles.get(Policy.ADMIN, [])) for one in (before, after))
    yield from _gained_and_lost(was, now, f"roles.{Policy.ADMIN}", ChangeKind.ADMINS, "do what admins can")
    yield from _of_operators(before, after)
    yield from _of_clients(before, after)
    yield from _of_sources(before, after)
    if before.edits.settle != after.edits.settle:
        old, new = before.edits.settle, after.edits.settle
        words = say("{old} → {new}", old=show_duration(old), new=show_duration(new))
        yield Change("policy.settle", ChangeKind.SETTLE, new < old, words)
    if before.max_auto != after.max_auto:
        words = say("{old} → {new} in 24 hours", old=before.max_auto, new=counted(after.max_auto, "automatic rollback"))
        yield Change("max_auto", ChangeKind.LIMITS, after.max_auto > before.max_auto, words)
    if before.anchor != after.anchor:
        yield Change("anchor", ChangeKind.ANCHOR, before.anchor is not None, say("changed"))
    if before.directions != after.directions:
        yield Change("directions", ChangeKind.DIRECTIONS, False, say("changed"))
    for key in ("channel", "notify", "serving"):
        if getattr(before, key) != getattr(after, key):
            yield Change(key, ChangeKind.OTHER, False, say("changed"))


def _of_operators(before: Policy, after: Policy) -> Iterator[Change]:
    """Yield changed operators. Losing one loosens too: it says whose requests a terminal's requests are."""
    for name in sorted({*before.operators, *after.operators}):
        was, now = before.operators.get(name), after.operators.get(name)
        if was != now:
            words = say("{old} → {new}", old=Mention(was) if was else "nobody", new=Mention(now) if now else "nobody")
            yield Change(f"operators.{name}", ChangeKind.OPERATORS, True, words)


def _of_clients(before: Policy, after: Policy) -> Iterator[Change]:
    for name in sorted({*before.clients, *after.clients}):
        was, now = before.clients.get(name), after.clients.get(name)
        if was == now:
            continue
        words = (
            say("client removed") if now is None else say("client can {may}", may=", ".join(now.may) or "do nothing")
        )
        yield Change(f"clients.{name}", ChangeKind.CLIENTS, now is not None and not _is_narrower(now, was), words)


def _is_narrower(now: ApiClient, was: ApiClient | None) -> bool:
    """Tell whether a client can do nothing new, and with the same token."""
    if was is None:
        return not now.may
    if not set(now.may) <= set(was.may):
        return False
    is_within = all(any(one == wide or covers(wide, one) for wide in was.models) for one in now.models)
    return is_within and (now.token_env, now.token_file) == (was.token_env, was.token_file)


def _of_sources(before: Policy, after: Policy) -> Iterator[Change]:
    """Yield changed sources: automatic rollbacks go by their figures, so that only a new one loosens nothing."""
    for name in sorted({*before.sources, *after.sources}):
        was, now = before.source(name), after.source(name)
        if was != now:
            yield Change(f"sources.{name}", ChangeKind.SOURCES, was is not None and now is not None, say("changed"))
