"""A one-line summary for each verb, in the groups of the help. It's quick to import: it loads no commands.

Commands take their summaries from here; those of two words, such as `monitor add`, have their own.
"""

from __future__ import annotations

QUERY_SUMMARIES = {
    "list": "List models and what's in Staging and Production",
    "show": "Show a model's versions, or one version's metadata card",
    "compare": "Compare versions by their metrics with the one in Production",
    "best": "Find the best version by one metric, and how far it leads",
    "validate": "Check a version against the gates, without a request",
    "requests": "List pending requests",
    "history": "Show what was in Production, when, by whom, and why",
}
REQUEST_SUMMARIES = {
    "promote": "Request a move to Staging or Production",
    "approve": "Approve a request",
    "reject": "Reject a request, with a reason",
    "withdraw": "Withdraw your approval of a pending request",
    "override": "Override the failed gates of a request, with a reason",
    "cancel": "Cancel a pending request",
    "review": "Review what someone moved by breaking the glass",
}
CHANGE_SUMMARIES = {
    "register": "Register a run's model as a new version",
    "describe": "Describe a version or a model",
    "tag": "Set a version's tags; an empty value removes a tag",
    "archive": "Archive a version that isn't in Production",
    "rollback": "Roll back Production to the previous version, or to another",
    "unblock": "Unblock a version that was rolled back as bad",
    "freeze": "Freeze Production of one model, or of all",
    "unfreeze": "Unfreeze Production",
}
POLICY_SUMMARIES = {
    "policy": "Show a model's rules: who decides, how many, which gates",
    "audit": "Show who did what to a model, and what was refused",
}
HELP_SUMMARIES = {"help": "List the commands, or explain one"}
SUMMARIES = QUERY_SUMMARIES | REQUEST_SUMMARIES | CHANGE_SUMMARIES | POLICY_SUMMARIES | HELP_SUMMARIES
