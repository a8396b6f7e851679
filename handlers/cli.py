"""The terminal: run, init, doctor, demo, and the verbs that handlers/terminal takes over from Slack."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bot.domain.errors import Misconfigured, RegistrarError
from bot.domain.text import Code, say
from handlers import logs
from handlers.errors import explain

POLICY = """\
# Registrar's policy: who may move which model where. `registrar run` reads it at its start.
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

# freeze:                      # times in which nothing moves in Production
#   - {cron: "0 18 * * 5", for: 62h, zone: Europe/Berlin, reason: weekend}
"""


DOCTOR = """\
It asks Slack, MLflow and the ledger, reads the policy, and changes nothing. With --live it makes a
model in MLflow, moves it and deletes it again, and opens a Socket Mode connection for a moment: a click
of that very moment may be lost. It never posts, and prints no token and no password.

Exit codes:
  0  nothing is wrong; there may be things to mind
  2  something is configured wrongly
  3  nothing is configured wrongly, and something does not answer
"""


OWN = ("run", "worker", "init", "doctor", "demo", "completion")


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code of spec: 0, 1, 2 usage or configuration, 3 unreachable."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    _quiet_libraries()
    try:
        return _verb(words) if words and words[0] not in OWN and words[0][:1] != "-" else _own(words)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return _hung_up()
    except RegistrarError as error:
        print(explain(error), file=sys.stderr)
        return error.exit_code
    except Exception as error:
        print(explain(error), file=sys.stderr)
        return 1


def _own(words: Sequence[str]) -> int:
    arguments = _parser().parse_args(words)
    return int(arguments.act(arguments) or 0)


def _verb(words: Sequence[str]) -> int:
    """Do what a verb says that Slack has, too. Raises SystemExit after its help, as argparse does."""
    from bot.domain.commands import Help
    from handlers.terminal import grammar

    asked = grammar.read(words, OWN)
    if isinstance(asked.command, Help):
        print(grammar.help_about(asked.command), end="")
        raise SystemExit(0)
    if asked.group == "audit":
        from handlers.terminal.audits import act
    elif asked.group == "db":
        from handlers.terminal.databases import act
    elif asked.group == "policy":
        from handlers.terminal.policies import act
    else:
        from handlers.terminal.acts import act
    return act(asked)


def _hung_up() -> int:
    """Say nothing more to a reader such as `head` that has read enough; 141 is what a shell makes of that."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _parser() -> argparse.ArgumentParser:
    from handlers.terminal.listed import GROUPS, LISTED

    parser = argparse.ArgumentParser(prog="registrar", description="Your team's model registry, run from Slack.")
    verbs = parser.add_subparsers(metavar="COMMAND", required=True)
    _add(verbs, "run", "serve your workspace, until Ctrl-C", _run)
    _add(verbs, "worker", "do background work beside those who run, on the same PostgreSQL", _run)
    init = _add(verbs, "init", "write a policy file with comments", _init)
    init.add_argument("file", nargs="?", type=Path, help="where; default: what REGISTRAR_POLICY says, registrar.yml")
    doctor = _add(verbs, "doctor", "say what is missing or wrong, and what to do about it", _doctor)
    doctor.formatter_class, doctor.epilog = argparse.RawDescriptionHelpFormatter, DOCTOR
    doctor.add_argument("--live", action="store_true", help="also try what needs writing, and take it back")
    doctor.add_argument("--json", action="store_true", help="one JSON document on standard output: healthy, findings")
    demo = _add(verbs, "demo", "live the whole story on this machine, without Slack", _demo)
    demo.add_argument("--play", action="store_true", help="let the story play by itself, and tell it")
    demo.add_argument("--port", type=int, default=0, help="the local workspace's port; default: a free one")
    completion = _add(verbs, "completion", "print what lets your shell complete these words", _completion)
    completion.add_argument("shell", choices=("bash", "zsh", "fish"), help='eval "$(registrar completion bash)"')
    for name, text in (LISTED | GROUPS).items():  # for the list of all; `main` has sent those that are typed elsewhere
        verbs.add_parser(name, help=text)
    return parser


def _add(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str,
    act: Callable[[argparse.Namespace], int | None],
) -> argparse.ArgumentParser:  # fmt: skip
    parser = verbs.add_parser(name, help=text, description=text[:1].upper() + text[1:] + ".")
    parser.set_defaults(act=act, verb=name)
    return parser


def _run(arguments: argparse.Namespace) -> None:
    from bot.settings import read_settings
    from handlers.serve import run

    settings = read_settings()
    logs.set_up(settings.secrets, form=settings.log)
    run(settings, lambda line: print(line, flush=True), is_worker=arguments.verb == "worker")


def _init(arguments: argparse.Namespace) -> None:
    file = arguments.file or Path(os.environ.get("REGISTRAR_POLICY") or "registrar.yml")
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(POLICY)
    except FileExistsError:
        raise Misconfigured(say("{file} is there already; nothing was changed.", file=Code(file))) from None
    except OSError as error:
        raise Misconfigured(say("{file} cannot be written: {why}.", file=Code(file), why=error.strerror)) from error
    print(f"Wrote {file}. Put your leads' Slack ids into it, then start: registrar run")


def _doctor(arguments: argparse.Namespace) -> int:
    from handlers.terminal.doctor import doctor

    return doctor(live=arguments.live, as_json=arguments.json)


def _completion(arguments: argparse.Namespace) -> None:
    from handlers.terminal.completion import script

    print(script(arguments.shell, [name for name in OWN if name != "completion"]), end="")


def _demo(arguments: argparse.Namespace) -> int:
    from handlers.demo import demo

    return demo(play=arguments.play, port=arguments.port)


def _quiet_libraries() -> None:
    """Ask MLflow not to phone home or print addresses; what the environment says already is left."""
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"):
        os.environ.setdefault(name, "true")
