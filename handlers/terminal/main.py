"""The terminal's entry point: help, version, run, init, assess, doctor, demo, and the commands of handlers/terminal."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

from bot.domain.core.errors import RegistrarError
from bot.domain.registry.model import RegistryProduct, use_product
from bot.version import version
from handlers import logs
from handlers.errors import explain
from handlers.terminal.command_line.complete import COMPLETE, complete
from handlers.terminal.command_line.index import OWN_COMMANDS, VERIFY_EXIT_CODES, command_index
from handlers.terminal.init import write_policy_template

DOCTOR_EPILOG = """\
It checks Slack, MLflow, the ledger, and the policy, and changes nothing. With --live, it also creates,
transitions, and deletes a model in MLflow, and briefly opens a Socket Mode connection. A click at that
moment can be lost. It never posts, and it never prints a token or a password.

Exit codes:
  0  no errors; there can be warnings
  2  the configuration has an error
  3  the configuration is correct, but something isn't responding
"""

SETUP_EPILOG = (
    "It writes registrar.yml and .env in the current folder. To stop, press Ctrl-C; the next run continues. "
    "docs/get-started/workspace.md describes each step."
)

ASSESS_EPILOG = """\
It reads models, versions, and runs, and the files of versions in Production. It needs no Slack and no
settings, and changes nothing. For a login, set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.

Exit codes:
  0  the registry was read; there can be problems
  1  with --policy: a version in Production fails a gate or has no rule; or MLflow rejected a request
  2  the URL or the policy is wrong
  3  MLflow isn't responding
"""


VERIFY_EPILOG = """\
It compares the files' hashes with those in the passport that Registrar signed when the version was approved.
If a file was changed, or the version was rolled back or replaced since, it says so: don't load the files.
REGISTRAR_TOKEN is the token of a client that can read. docs/reference/exit-codes.md lists the codes in the JSON.

Exit codes:
  0  verified
""" + "".join(f"  {code}  {meaning}\n" for code, meaning in VERIFY_EXIT_CODES.items())

MCP_EPILOG = """\
An agent starts this command, and speaks MCP with it. Set REGISTRAR_URL to the bot's address, and REGISTRAR_TOKEN to
the token of a client in the policy. On the bot's own machine, you can omit REGISTRAR_URL. No tool approves, overrides,
or rolls back. docs/how-to/let-agents-ask.md describes the tools.
"""

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
HELP_FLAGS = ("help", "--help", "-h")
VERSION_FLAGS = ("--version", "-V")


def main(argv: Sequence[str] | None = None) -> int:
    """Execute the command line; return the exit code, such as 2 for usage or configuration, 3 for unreachable.

    0 is success, 1 a refusal or an unexpected error, 130 an interrupt, and 141 a closed pipe. The commands' help lists
    the other codes.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in HELP_FLAGS:
        words = [*(word for word in words if word not in HELP_FLAGS), "--help"]
    use_product(_load_product)
    try:
        if words in ([], ["--help"]):
            print(command_index(), end="", flush=True)
            return 0
        if words[0] in VERSION_FLAGS:
            print(f"registrar {version()}", flush=True)
            return 0
        if words[0] == COMPLETE:
            with suppress(RegistrarError):
                _set_up_environment(words)
            return complete(words[1:])
        _set_up_environment(words)
        return _run_own_command(words) if words[0] in OWN_COMMANDS else _run_model_command(words)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return _end_silently()
    except Exception as error:
        print(explain(error), file=sys.stderr)
        return error.exit_code if isinstance(error, RegistrarError) else 1


def _run_own_command(argv: Sequence[str]) -> int:
    arguments = _build_parser()[0].parse_args(argv)
    return int(arguments.act(arguments) or 0)


def _run_model_command(words: Sequence[str]) -> int:
    """Execute a model command. Raises SystemExit after printing help, like argparse."""
    from bot.domain.commands.help import Help
    from handlers.terminal.command_line import grammar

    invocation = grammar.parse_invocation(words, [*OWN_COMMANDS, *HELP_FLAGS, *VERSION_FLAGS])
    if isinstance(invocation.command, Help):
        print(grammar.help_text(invocation.command), end="")
        raise SystemExit(0)
    if invocation.command.verb == "audit evidence":
        from handlers.terminal.evidence.command import execute
    elif invocation.group == "audit" or invocation.command.verb == "replay":
        from handlers.terminal.audit import execute
    elif invocation.group == "db":
        from handlers.terminal.database import execute
    elif invocation.group == "keys":
        from handlers.terminal.passports.keys import execute
    elif invocation.group == "policy":
        from handlers.terminal.policy import execute
    else:
        from handlers.terminal.execute import execute
    return execute(invocation)


def _end_silently() -> int:
    """Discard further output, since a reader such as `head` has closed the pipe. Return 141, as a shell would."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _build_parser() -> tuple[argparse.ArgumentParser, Subparsers]:
    """Return the parser for the commands that aren't about models, and its subparsers."""
    parser = argparse.ArgumentParser(prog="registrar", allow_abbrev=False)
    verbs = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_command(verbs, "run", _run)
    _add_command(verbs, "worker", _run)
    init = _add_command(verbs, "init", lambda arguments: write_policy_template(arguments.file))
    init.add_argument(
        "file", nargs="?", type=Path, help="the file to write; default: REGISTRAR_POLICY, or registrar.yml"
    )
    _add_command(verbs, "setup", _setup).epilog = SETUP_EPILOG
    doctor = _add_command(verbs, "doctor", _doctor, DOCTOR_EPILOG)
    doctor.add_argument("--live", action="store_true", help="also test writes, and undo them")
    doctor.add_argument(
        "--json", action="store_true", help="print one JSON document with the keys healthy and findings"
    )
    assess = _add_command(verbs, "assess", _assess, ASSESS_EPILOG)
    assess.add_argument("url", nargs="?", metavar="URL", help="MLflow's address; default: MLFLOW_TRACKING_URI")
    assess.add_argument("--policy", type=Path, metavar="FILE", help="compare with this policy's rules for Production")
    assess.add_argument("--no-files", action="store_true", help="don't read signatures from the models' files")
    output = assess.add_mutually_exclusive_group()
    output.add_argument(
        "--json", action="store_true", help="print one JSON document; docs/how-to/adopt-a-registry.md lists its keys"
    )
    output.add_argument("--html", type=Path, metavar="FILE", help="write one HTML page that only you can read")
    _add_verify(verbs)
    _add_command(verbs, "mcp", _mcp, MCP_EPILOG)
    demo = _add_command(verbs, "demo", _demo)
    demo.add_argument("--play", action="store_true", help="run the demo automatically, with narration")
    demo.add_argument("--train", action="store_true", help="train the models instead of using pretrained ones")
    demo.add_argument("--port", type=int, default=0, help="the local workspace's port; default: a free one")
    completion = _add_command(verbs, "completion", _completion)
    completion.add_argument(
        "shell", choices=("bash", "zsh", "fish"), help='in bash: eval "$(registrar completion bash)"'
    )
    return parser, verbs


def _add_verify(verbs: Subparsers) -> None:
    verify = _add_command(verbs, "verify", _verify, VERIFY_EPILOG)
    verify.add_argument("files", metavar="MODEL_URI|FOLDER", help="such as models:/churn@champion, or a folder")
    verify.add_argument("--model", help="for a folder: the registered model's name")
    verify.add_argument("--version", type=int, help="for a folder: the version; default: the approved one")
    verify.add_argument("--stage", choices=("Staging", "Production"), help="default: the URI's, or else Production")
    verify.add_argument(
        "--key", action="append", type=Path, metavar="FILE", help="a trusted public key; default: all in REGISTRAR_KEYS"
    )
    verify.add_argument("--bundle", metavar="FILE", help="verify offline with this bundle instead of asking Registrar")
    verify.add_argument("--url", help="Registrar's address; default: REGISTRAR_URL")
    verify.add_argument(
        "--grace",
        metavar="TIME",
        type=_duration,
        default="0s",
        help="accept a status list that expired less than this ago, such as 2d",
    )
    verify.add_argument("--save-bundle", type=Path, metavar="FILE", help="save the bundle, to verify offline later")
    verify.add_argument("--download", type=Path, metavar="FOLDER", help="for a URI: put the files there once verified")
    verify.add_argument("--json", action="store_true", help="print one JSON document with the keys verified and code")


def _duration(text: str) -> timedelta:
    from bot.domain.core.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add_command(
    subparsers: Subparsers,
    name: str,
    run: Callable[[argparse.Namespace], int | None],
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    """Add one of the program's own commands. The lines of `epilog` stay as they are."""
    summary = OWN_COMMANDS[name]
    parser = subparsers.add_parser(
        name,
        help=summary,
        description=f"{summary}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter if epilog else argparse.HelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(act=run, verb=name)
    return parser


def _run(arguments: argparse.Namespace) -> None:
    from bot.settings import read_settings
    from handlers.startup_checks import run

    settings = read_settings()
    logs.set_up_logging(settings.secrets, log_format=settings.log_format)
    run(settings, lambda line: print(line, flush=True), is_worker=arguments.verb == "worker")


def _setup(arguments: argparse.Namespace) -> int:
    from handlers.setup.main import run_setup

    return run_setup()


def _doctor(arguments: argparse.Namespace) -> int:
    from handlers.terminal.doctor import run_doctor

    return run_doctor(live=arguments.live, as_json=arguments.json)


def _assess(arguments: argparse.Namespace) -> int:
    from handlers.terminal.assess.command import run_assess

    return run_assess(
        arguments.url,
        policy=arguments.policy,
        reads_files=not arguments.no_files,
        as_json=arguments.json,
        page=arguments.html,
    )


def _mcp(arguments: argparse.Namespace) -> int:
    from handlers.mcp import require_sdk

    require_sdk()
    from handlers.mcp.stdio import serve_stdio

    return serve_stdio()


def _verify(arguments: argparse.Namespace) -> int:
    from handlers.terminal.passports.verify import Verification, run_verify

    given = {name: value for name, value in vars(arguments).items() if name not in {"act", "verb"}}
    return run_verify(Verification(**given))


def _completion(arguments: argparse.Namespace) -> None:
    from handlers.terminal.command_line.completion import completion_script

    print(completion_script(arguments.shell, *_build_parser()))


def _demo(arguments: argparse.Namespace) -> int:
    from handlers.demo.main import run_demo

    return run_demo(play=arguments.play, train=arguments.train, port=arguments.port)


def _load_product() -> RegistryProduct:
    """Return the registry's product, for messages that come before the settings are read."""
    from bot.bootstrap.storage import load_adapter

    return load_adapter(os.environ.get("REGISTRAR_REGISTRY") or "mlflow").product


def _set_up_environment(words: Sequence[str]) -> None:
    """Read the environment file, and turn off MLflow's telemetry and URL printing unless the environment sets them.

    The demo has its own settings, and help needs none. Completion doesn't trust the folder, because someone could press
    TAB there before checking its contents. Raises Misconfigured.
    """
    from bot.bootstrap.env_file import load_env_file, load_local_env_file

    if file := os.environ.get("REGISTRAR_ENV_FILE"):
        load_env_file(Path(file))
    elif words[0] not in {"demo", COMPLETE} and not set(words) & set(HELP_FLAGS[1:]):
        load_local_env_file()
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"):
        os.environ.setdefault(name, "true")
