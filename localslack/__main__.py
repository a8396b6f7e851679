"""Run a local Slack workspace, and print the settings that an app needs to connect."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from localslack import manifest as manifests
from localslack.backend import Backend, BackendSettings
from localslack.web import server

DEFAULT_PORT = 8990
SECRETS = ("bot_token", "app_token", "signing_secret", "verification_token")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM.

    argv: the options; by default, the process's arguments. Returns the exit code: 2 if an option is invalid or can't be
    used, else 0.
    """
    options = _parser().parse_args(argv)
    try:
        manifest = manifests.load(options.manifest)
        if options.env_file:
            options.env_file.touch(mode=0o600)
        listening_socket = server.listen(options.port, options.host)
    except (OSError, OverflowError, ValueError) as error:
        cause = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else error
        print(f"localslack: {cause}", file=sys.stderr)
        return 2
    port = listening_socket.getsockname()[1]
    settings = BackendSettings(
        manifest=manifest,
        base_url=f"http://{options.host}:{port}/",
        state=options.state,
        request_url=options.request_url,
        secrets={name: os.environ.get(f"LOCALSLACK_{name.upper()}", "") for name in SECRETS},
        rate_limits=options.rate_limits,
        speed=options.speed,
    )
    uvicorn_server = server.build(
        settings, listening_socket, lambda backend: _print_settings(backend, options.env_file)
    )
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn_server.run(sockets=[listening_socket])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="localslack", description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="the app's manifest (YAML or JSON)")
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help="port (default: %(default)s; 0: any free port)",
    )
    parser.add_argument(
        "--host",
        default=server.LOOPBACK,
        help="IPv4 address to listen on (default: %(default)s); anyone who can connect can act as anyone",
    )
    parser.add_argument("--state", type=Path, help="save messages, people, and tokens in this file")
    parser.add_argument("--request-url", help="deliver to this URL over signed HTTP, not Socket Mode")
    parser.add_argument("--env-file", type=Path, help="write the app's settings to this file instead of printing them")
    parser.add_argument("--no-rate-limits", dest="rate_limits", action="store_false", help="turn off rate limits")
    parser.add_argument(
        "--speed", type=_positive_number, default=1.0, help="run rate limits and file checks N times faster"
    )
    return parser


def _positive_number(text: str) -> float:
    with contextlib.suppress(ValueError):
        if (number := float(text)) > 0:
            return number
    raise argparse.ArgumentTypeError("must be greater than 0")


def _print_settings(backend: Backend, env_file: Path | None) -> None:
    print(f"localslack: open {backend.base_url}", flush=True)
    variables = {
        "SLACK_API_URL": f"{backend.base_url}api/",
        "SLACK_BOT_TOKEN": backend.secrets.bot_token,
        "SLACK_APP_TOKEN": backend.secrets.app_token,
        "SLACK_SIGNING_SECRET": backend.secrets.signing_secret,
    }
    lines = [f"{name}={value}\n" for name, value in variables.items()]
    if env_file is None:
        print("".join(f"export {line}" for line in lines), end="", flush=True)
        return
    env_file.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
