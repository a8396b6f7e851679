"""`registrar init`: write a commented policy file."""

from __future__ import annotations

import os
from pathlib import Path

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, say

POLICY_TEMPLATE = """\
# Registrar's policy: who can promote which models, and where. `registrar run` reads it at startup and when it changes.
# To find a person's ID in Slack: profile → ⋮ → Copy member ID. IDs of user groups start with S.

channel: "#ml-models"          # where requests are posted; invite the bot there: /invite @registrar

roles:
  lead: []                     # such as [U02BOB, S01LEADS]: the people who approve
  admin: []                    # such as [U05ANN]: admins can cancel anyone's request

models:
  "*":                         # every model; a longer matching pattern such as "churn*" replaces all of these rules
    staging:
      approvers: [lead]
      required: 1              # how many different people must approve
      requester_may_approve: true
      expires_after: 7d
    production:
      approvers: [lead]
      required: 1
      requester_may_approve: false
      expires_after: 24h
      # tell_approvers: mention  # on the card; direct: a message to each approver; none: no notification
      # remind_after: 4h       # when to remind approvers; each later reminder waits twice as long
      # gates:                 # what a version must pass; `registrar policy check` validates this file
      #   - {metric: accuracy, at_least: 0.85}
      #   - {metric: f1, not_worse_than_incumbent_by: 0.01}
      #   - {card: [owner, use_case]}
      # override: [admin]      # who can override a failed gate with a reason
    # rollback: {by: [lead]}   # who can roll back immediately, without approval; default: approvers for Production
    # on_call: [S01ONCALL]     # who is mentioned in alerts about these models; default: on_call below
    # monitors:                # checks of the version in Production: docs/explanation/monitors.md
    #   - {name: accuracy, source: live, greater_than: 0.85, every: 5m, fail_after: 3, action: notify}

# sources:                     # where monitors get their values: push, Prometheus, MLflow
#   live: {type: push}
#   prom: {type: prometheus, url: "http://prometheus:9090"}
# clients:                     # programs that can push values, each with a token from the environment
#   serving: {token_env: REGISTRAR_CLIENT_SERVING, models: ["*"], may: [push]}

# on_call: [S01ONCALL]         # who is mentioned in alerts: roles, user IDs, or user groups; default: no one

# metrics:                     # how to show and compare metrics; differences below noise are ignored
#   latency_ms: {unit: ms, decimals: 0, direction: lower, noise: 2}

# policy: {settle: 30s}        # how long this file must stay unchanged before an edit that loosens a rule takes effect

# freeze:                      # recurring windows in which no version can enter or leave Production
#   - {cron: "0 18 * * 5", for: 62h, zone: Europe/Berlin, reason: weekend}
"""


def write_policy_template(path: Path | None) -> None:
    """Write the file, by default to the policy's path. Raises Misconfigured if it exists or can't be written."""
    file = path or Path(os.environ.get("REGISTRAR_POLICY") or "registrar.yml")
    create_policy_file(file, POLICY_TEMPLATE)
    print(f"Wrote {file}. Add your leads' Slack IDs to it, then start the bot: registrar run")


def create_policy_file(file: Path, text: str) -> None:
    """Write a new file. Raises Misconfigured if it exists or can't be written."""
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise Misconfigured(say("{file} already exists; nothing was changed.", file=Code(file))) from None
    except OSError as error:
        raise Misconfigured(say("Can't write {file}: {why}.", file=Code(file), why=error.strerror)) from error
