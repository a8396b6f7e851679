"""Write reports for GitHub: the comment on a pull request, and the text of a release.

    report.py training FOLDER          print a Markdown report from the JSON files that earlier steps wrote there
    report.py promoted < request.json  pass the promoted version and its request to later jobs
    report.py card < show.json         print a Markdown model card from `registrar show MODEL VERSION --json`
    report.py comment NUMBER < text    comment on a pull request, or update the earlier comment

It needs only Python and, for the comment, `gh`.
"""

import argparse
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MARK = "<!-- registrar: what came of the training -->"  # the next push finds this push's comment by it
LONGEST = 60_000  # characters; GitHub accepts 65,536
Document = dict[str, Any]


# -- the comment -------------------------------------------------------------------------------------------------------


def training(folder: Path, environ: Mapping[str, str]) -> str:
    """Return the comment for a pull request. A missing document means that its step didn't finish."""
    registered, validated, gates, comparison = (
        _read(folder / f"{name}.json") for name in ("registered", "validated", "gates", "comparison")
    )
    if registered is None:
        parts = ["### Nothing was registered", "The training or the registration failed. See the log."]
    else:
        parts = [f"### {plain(registered['model'])} v{registered['version']}, {plain(registered['semver'])}"]
        parts += [plain(comparison["sentence"])] if comparison else []
        parts += [metrics_table(comparison, registered["version"])] if comparison else []
        parts += [files(validated), policy(gates), f"Semver: {plain(registered['why'])}."]
        is_well = all(one is not None and one["passed"] for one in (validated, gates))
        parts += [what_next(registered, environ, is_well=is_well)]
    return "\n\n".join([MARK, *parts, *_run(environ)])[:LONGEST] + "\n"


def metrics_table(comparison: Document, version: int) -> str:
    """Return a table with the version's metrics and those of the version in Production."""
    rows = {row["version"]: row for row in comparison["versions"]}
    incumbent = comparison["incumbent"]
    ours, theirs = rows[version], rows.get(incumbent, {"metrics": {}})
    serves = f"Production (v{incumbent})" if incumbent else "Production (none)"
    lines = [f"| metric | v{version} | {serves} | difference | |", "|---|--:|--:|--:|---|"]
    for metric in comparison["metrics"]:
        name = metric["name"]
        gap = ours["deltas"].get(name) if incumbent != version else None
        lines.append(
            f"| {plain(name)} | {_number(ours['metrics'].get(name))} | {_number(theirs['metrics'].get(name))} "
            f"| {_number(gap, sign=True)} | {_verdict(gap, metric['direction'])} |"
        )
    return "\n".join(lines)


def files(validated: Document | None) -> str:
    """Return whether the registered files perform as measured in training."""
    if validated is None:
        return "❌ **Registered files**: couldn't be loaded and scored. See the log."
    return f"{_mark(validated['passed'])} **Registered files**: {plain(validated['sentence'])}"


def policy(gates: Document | None) -> str:
    """Return the results of the policy's gates; each failed gate has its bound."""
    if gates is None:
        return "❌ **Gates**: couldn't be checked. See the log."
    failed = [
        f"- {plain(gate['name'])} is {plain(gate['value'])}, required: {plain(gate['bound'])}"
        for gate in gates["gates"]
        if not gate["passed"]
    ]
    return "\n".join([f"{_mark(gates['passed'])} **Gates**: {plain(gates['sentence'])}", *failed])


def what_next(registered: Document, environ: Mapping[str, str], *, is_well: bool) -> str:
    """Return the next step for the version."""
    if environ.get("IS_SHARED") == "false":
        return (
            "This was a test on the runner: without access to the team's registry, nothing was registered there. "
            "Pull requests from forks never have access. For other pull requests, docs/how-to/promote-from-ci.md "
            "explains the setup."
        )
    if not is_well:
        return "The version is registered, but shouldn't be promoted."
    asked = f"/model promote {registered['model']} {registered['version']} production"
    return f"To request a promotion, run {code(asked)} in Slack, or start the workflow *Promote a model*."


# -- the model card ----------------------------------------------------------------------------------------------------


def card(document: Document, request: Document) -> str:
    """Return a version's metadata card as a table; missing values are marked.

    MLflow doesn't have the approval, so it comes from the request that the workflow waited for.
    """
    fields = {name: value for name, value in document.items() if name not in {"missing", "completeness"}}
    rows = [f"| {plain(name)} | {_cell(value)} |" for name, value in (fields | decided(request)).items()]
    said = [plain(request["sentence"]), ""] if request else []
    return "\n".join([*said, "| field | value |", "|---|---|", *rows])[:LONGEST] + "\n"


def decided(request: Document) -> Document:
    """Return the card's fields that come from a completed request."""
    if not request:
        return {}
    return {
        "deployed_by": request["decided_by"],
        "deployment_date": request["decided_at"],
        "approval_status": f"approved_{request['to'].lower()}",
        "approver": [vote["by"] for vote in request["votes"] if vote["choice"] == "approve" and vote["counts"]],
        "approval_date": request["decided_at"],
        "request_reason": request["reason"],
    }


def _cell(value: object) -> str:
    if value in (None, "", [], {}):
        return "*missing*"
    if isinstance(value, dict):
        return "<br>".join(f"{plain(name)} = {plain(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "<br>".join(map(plain, value))
    return plain(value)


# -- GitHub ------------------------------------------------------------------------------------------------------------


def comment(number: int, text: str, environ: Mapping[str, str]) -> str:
    """Comment on the pull request, or update the comment that has this workflow's mark; return its address."""
    repository = environ["GITHUB_REPOSITORY"]
    here = f"repos/{repository}/issues/{number}/comments"
    mine = [one["id"] for one in documents(gh("api", "--paginate", f"{here}?per_page=100")) if is_ours(one)]
    body = json.dumps({"body": text})
    method, there = ("PATCH", f"repos/{repository}/issues/comments/{mine[0]}") if mine else ("POST", here)
    said = gh("api", "--method", method, there, "--input", "-", given=body)
    return str(json.loads(said)["html_url"])


def is_ours(one: Document) -> bool:
    """Return whether this workflow wrote the comment: a person might quote the mark."""
    return one["user"]["type"] == "Bot" and str(one["body"]).startswith(MARK)


def documents(text: str) -> Iterator[Document]:
    """Yield the items of all pages: some versions of gh print one array per page, with nothing in between."""
    reads = json.JSONDecoder()
    while text := text.lstrip():
        page, end = reads.raw_decode(text)
        yield from page
        text = text[end:]


def gh(*words: str, given: str | None = None) -> str:
    """Run GitHub's own command, which is on every runner. Raises CalledProcessError after gh has printed the reason."""
    done = subprocess.run(["gh", *words], input=given, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603, S607
    return done.stdout


# -- words -------------------------------------------------------------------------------------------------------------


def plain(value: object) -> str:
    """Return the text escaped for a Markdown table, with no mentions or references."""
    text = " ".join(str(value).split())
    for sign, instead in {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "@\u200b", "#": "#\u200b"}.items():
        text = text.replace(sign, instead)
    return "".join(f"\\{sign}" if sign in "\\`*_[]|~" else sign for sign in text)


def code(text: str) -> str:
    return f"`{' '.join(text.split()).replace('`', '')}`"


def _number(value: float | None, *, sign: bool = False) -> str:
    return "–" if value is None else f"{value:+.4g}" if sign and value else f"{value:.4g}"


def _verdict(gap: float | None, direction: str) -> str:
    if not gap:
        return "" if gap is None else "same"
    return "better" if (gap > 0) == (direction == "higher") else "worse"


def _mark(passed: bool) -> str:
    return "✅" if passed else "❌"


def _run(environ: Mapping[str, str]) -> list[str]:
    """Return a link to the workflow run."""
    run, repository = environ.get("GITHUB_RUN_ID"), environ.get("GITHUB_REPOSITORY")
    if not run or not repository:
        return []
    address = f"{environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{repository}/actions/runs/{run}"
    return [f"<sub>[The run]({address}), commit {environ.get('HEAD_SHA') or environ.get('GITHUB_SHA', '')}</sub>"]


def show_in_summary(text: str, environ: Mapping[str, str]) -> None:
    """Show a text on the run's page, if this runs in GitHub Actions."""
    if summary := environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as out:
            out.write(text)


def tell_later_jobs(environ: Mapping[str, str], **texts: str) -> None:
    """Pass texts to later steps and jobs, if this runs in GitHub Actions."""
    if outputs := environ.get("GITHUB_OUTPUT"):
        end = f"end-{uuid.uuid4()}"  # a line that can't be in the texts
        with Path(outputs).open("a", encoding="utf-8") as out:
            out.writelines(f"{name}<<{end}\n{text.rstrip()}\n{end}\n" for name, text in texts.items())


def _read(file: Path) -> Document | None:
    """Return the document; None if the step that writes it didn't get that far."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write reports for GitHub about a training run and a promotion.")
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("training", help="the comment on a pull request").add_argument("folder", type=Path)
    kinds.add_parser("promoted", help="pass a promotion to later jobs, from registrar promote --wait --json")
    kinds.add_parser("card", help="a model card, from registrar show --json on standard input")
    kinds.add_parser("comment", help="comment on a pull request with standard input").add_argument("number", type=int)
    chosen = parser.parse_args(arguments)
    if chosen.kind == "training":
        text = training(chosen.folder, os.environ)
        show_in_summary(text, os.environ)
        tell_later_jobs(os.environ, report=text)
        print(text, end="")
    elif chosen.kind == "promoted":
        request = json.load(sys.stdin)
        tell_later_jobs(os.environ, version=str(request["version"]), request=json.dumps(request))
    elif chosen.kind == "card":
        print(card(json.load(sys.stdin), json.loads(os.environ.get("REQUEST") or "{}")), end="")
    else:
        print(comment(chosen.number, sys.stdin.read(), os.environ))
    return 0


if __name__ == "__main__":
    sys.exit(main())
