"""views.*: modals and Home tabs."""

from __future__ import annotations

import re

from localslack.api.arguments import Args
from localslack.api.method import JSON, Method
from localslack.backend import Core
from localslack.core.errors import SlackError, missing

USER_ID = re.compile(r"[UW][A-Z0-9]{2,}")


def open_(core: Core, args: Args) -> JSON:
    """views.open."""
    trigger, view = args.required("trigger_id"), _view(core, args)
    user = core.triggers.look(trigger).user
    shown = core.views.open(user, view)
    core.triggers.exchange(trigger)
    return {"view": shown}


def push(core: Core, args: Args) -> JSON:
    """views.push: needs a trigger from a modal."""
    trigger, view = args.required("trigger_id"), _view(core, args)
    held = core.triggers.look(trigger)
    if held.view is None:
        raise SlackError("not_found")
    shown = core.views.push(held.user, view)
    core.triggers.exchange(trigger)
    return {"view": shown}


def update(core: Core, args: Args) -> JSON:
    """views.update: by view_id or external_id, guarded by hash if given."""
    view_id, external_id = args.text("view_id"), args.text("external_id")
    if not view_id and not external_id:
        raise missing("view_id")
    user, held = core.views.owner(view_id=view_id or None, external_id=external_id or None)
    view = _view(core, args, held["type"])
    return {"view": core.views.update(user, held, view, args.text("hash") or None)}


def publish(core: Core, args: Args) -> JSON:
    """views.publish: the Home tab of one person, guarded by hash if given."""
    user, view = args.required("user_id"), _view(core, args, "home")
    if not USER_ID.fullmatch(user):
        raise SlackError("invalid_arguments", messages=["invalid `user_id`"])
    if not core.manifest.has_home:
        raise SlackError("not_enabled")
    if user not in core.space.people:
        raise SlackError("user_not_found")
    return {"view": core.views.publish(user, view, args.text("hash") or None)}


def _view(core: Core, args: Args, kind: str = "modal") -> JSON:
    view: JSON = args.decoded("view")
    core.views.check(view, kind)
    return view


# JSON support and tiers: slack-ruby/slack-api-ref, methods/views. None of them needs a scope.
METHODS = {
    "views.open": Method(open_, tier=4),
    "views.push": Method(push, tier=4),
    "views.update": Method(update, tier=4),
    "views.publish": Method(publish, tier=4),
}
