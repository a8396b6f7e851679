"""`registrar init`: the policy file that it writes, with comments."""

from __future__ import annotations

import os
from pathlib import Path

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, say

POLICY_TEMPLATE = """\
# Registrar's policy: who may move which model where. `registrar run` reads it at its start and whenever it changes.
# Slack shows a person's id under their profile → ⋮ → Copy member ID; a user group's begins with S.

channel: "#ml-models"          # where requests are posted; invite the bot there: /invite @registrar

roles:
  lead: []                     # such as [U02BOB, S01LEADS]: those who decide
  admin: []                    # such as [U05ANN]: may cancel anybody's request

models:
  "*":                         # every model; a longer pattern such as "churn*" wins whole over this one
    staging:
      approvers: [lead]
      required: 1              # how many different people have to approve
      requester_may_approve: true
      expires_after: 7d
    production:
      approvers: [lead]
      required: 1
      requester_may_approve: false
      expires_after: 24h
      # tell_approvers: mention  # on the card; or direct, one message each; or none
      # remind_after: 4h       # reminds those who can decide; each pause is twice the one before
      # gates:                 # what a version must show; `registrar policy check` reads this file before it is live
      #   - {metric: accuracy, at_least: 0.85}
      #   - {metric: f1, not_worse_than_incumbent_by: 0.01}
      #   - {card: [owner, use_case]}
      # override: [admin]      # who may let a failed gate pass, with a reason
    # rollback: {by: [lead]}   # who may roll back alone, at once; without: those who approve for Production
    # monitors:                # what watches the version in Production: docs/monitoring.md
    #   - {name: accuracy, source: live, greater_than: 0.85, every: 5m, fail_after: 3, action: notify}

# sources:                     # where their figures come from: pushed, Prometheus, MLflow
#   live: {type: push}
#   prom: {type: prometheus, url: "http://prometheus:9090"}
# clients:                     # who may push, with a token that stands in the environment
#   serving: {token_env: REGISTRAR_CLIENT_SERVING, models: ["*"], may: [push]}

# policy: {settle: 30s}        # how long this file must stay unchanged before an edit that loosens a rule applies

# freeze:                      # times in which nothing moves in Production
#   - {cron: "0 18 * * 5", for: 62h, zone: Europe/Berlin, reason: weekend}
"""


def write_policy_template(path: Path | None) -> None:
    """Write the file, by default where the policy is read. Raises Misconfigured if it exists or can't be written."""
    file = path or Path(os.environ.get("REGISTRAR_POLICY") or "registrar.yml")
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(POLICY_TEMPLATE)
    except FileExistsError:
        raise Misconfigured(say("{file} is there already; nothing was changed.", file=Code(file))) from None
    except OSError as error:
        raise Misconfigured(say("{file} cannot be written: {why}.", file=Code(file), why=error.strerror)) from error
    print(f"Wrote {file}. Put your leads' Slack ids into it, then start: registrar run")
