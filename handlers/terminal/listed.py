"""The verbs with a line each, as the list of all commands shows them. Light: that list waits for no definitions.

A test compares them with the definitions.
"""

from __future__ import annotations

LISTED = {
    "list": "the registered models and what is in Staging and Production",
    "show": "a model's versions and stages, or one version's metadata card",
    "register": "make a new version out of a run",
    "describe": "write the description of a version, or of the model",
    "tag": "set tags of a version; an empty value takes one away",
    "archive": "take a version aside; never the one in Production",
    "compare": "compare versions by their metrics, against the one in Production",
    "best": "the version that is best by one metric, and how far ahead",
    "promote": "ask that a version move to Staging or Production",
    "validate": "what the gates say of a version, without asking for anything",
    "approve": "approve a request",
    "reject": "reject a request, with a reason",
    "withdraw": "take your approval back, while the request is not decided",
    "override": "let the failed gates of a request pass, with a reason",
    "cancel": "take a request back that you asked for",
    "requests": "the requests that wait for somebody",
    "history": "what was in Production, when, by whom and why",
    "rollback": "put the version before back into Production, or a named one, at once",
    "clear": "let a version be gone back to again that was rolled back as bad",
    "freeze": "let nothing move in Production, of one model or of all",
    "unfreeze": "let Production move again",
}
GROUPS = {  # verbs of two words
    "audit": "look at the audit, verify it, write it out",
    "policy": "look at a policy file, and check it",
    "monitor": "what watches the version in Production",
    "db": "the ledger's tables: how they are, upgrade, back up, move to PostgreSQL",
}
MEANT = {"audit": "show", "policy": "show", "monitor": "list", "db": "status"}  # where the second word is left out
