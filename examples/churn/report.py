"""Write for GitHub what came of a training: the comment on a pull request, and the text of a release.

    report.py training FOLDER         from the JSON documents that the steps before have left there, as Markdown
    report.py promoted < request.json  tell the jobs to come which version was promoted, and who decided it
    report.py card < show.json        from `registrar show MODEL VERSION --json`: the model card, as Markdown
    report.py comment NUMBER < text   put the text under a pull request: once, and from then on into the same comment

It needs nothing but Python, and `gh` for the comment.
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

MARK = "<!-- registrar: what came of the training -->"  # by which the next push finds the comment of this one
LONGEST = 60_000  # characters; GitHub takes 65,536
Document = dict[str, Any]


# -- the comment -------------------------------------------------------------------------------------------------------


def training(folder: Path, environ: Mapping[str, str]) -> str:
    """Return what a pull request shows. A document that is missing tells that its step did not come to an end."""
    registered, validated, gates, comparison = (
        _read(folder / f"{name}.json") for name in ("registered", "validated", "gates", "comparison")
    )
    if registered is None:
        parts = ["### Nothing was registered", "The training or the registration failed; the log says where."]
    else:
        parts = [f"### {plain(registered['model'])} v{registered['version']}, {plain(registered['semver'])}"]
        parts += [plain(comparison["sentence"])] if comparison else []
        parts += [metrics_table(comparison, registered["version"])] if comparison else []
        parts += [files(validated), policy(gates), f"Its semver: {plain(registered['why'])}."]
        is_well = all(one is not None and one["passed"] for one in (validated, gates))
        parts += [what_next(registered, environ, is_well=is_well)]
    return "\n\n".join([MARK, *parts, *_run(environ)])[:LONGEST] + "\n"


def metrics_table(comparison: Document, version: int) -> str:
    """Return the version's metrics beside those of what serves."""
    rows = {row["version"]: row for row in comparison["versions"]}
    incumbent = comparison["incumbent"]
    ours, theirs = rows[version], rows.get(incumbent, {"metrics": {}})
    serves = f"Production (v{incumbent})" if incumbent else "nothing serves"
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
    """Return whether the registered files do what was measured."""
    if validated is None:
        return "❌ **The registered files** could not be loaded and scored; the log says why."
    return f"{_mark(validated['passed'])} **The registered files**: {plain(validated['sentence'])}"


def policy(gates: Document | None) -> str:
    """Return what the policy's gates say, each that fails with its bound."""
    if gates is None:
        return "❌ **The gates** could not be asked; the log says why."
    failed = [
        f"- {plain(gate['name'])} is {plain(gate['value'])}, and has to be {plain(gate['bound'])}"
        for gate in gates["gates"]
        if not gate["passed"]
    ]
    return "\n".join([f"{_mark(gates['passed'])} **The gates**: {plain(gates['sentence'])}", *failed])


def what_next(registered: Document, environ: Mapping[str, str], *, is_well: bool) -> str:
    """Return what can be done with it now."""
    if environ.get("IS_SHARED") == "false":
        return (
            "This was tried out on the runner and is registered nowhere: the run has no access to the team's registry. "
            "Pull requests from forks never have; elsewhere docs/workflows.md says what to set up."
        )
    if not is_well:
        return "It is registered, and should not be promoted as it is."
    asked = f"/model promote {registered['model']} {registered['version']} production"
    return f"To ask for it: {code(asked)} in Slack, or the workflow *Promote a model*."


# -- the model card ----------------------------------------------------------------------------------------------------


def card(document: Document, request: Document) -> str:
    """Return a version's metadata card as a table; what is missing says so.

    What the ledger knows of the approval is not in MLflow, but in the request that was waited for.
    """
    fields = {name: value for name, value in document.items() if name not in {"missing", "completeness"}}
    rows = [f"| {plain(name)} | {_cell(value)} |" for name, value in (fields | decided(request)).items()]
    said = [plain(request["sentence"]), ""] if request else []
    return "\n".join([*said, "| field | value |", "|---|---|", *rows])[:LONGEST] + "\n"


def decided(request: Document) -> Document:
    """Return the card's fields that a request which has ended well tells."""
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
    """Put the text under the pull request: into the comment that bears our mark, or a new one. Return its address."""
    repository = environ["GITHUB_REPOSITORY"]
    here = f"repos/{repository}/issues/{number}/comments"
    mine = [one["id"] for one in documents(gh("api", "--paginate", f"{here}?per_page=100")) if is_ours(one)]
    body = json.dumps({"body": text})
    method, there = ("PATCH", f"repos/{repository}/issues/comments/{mine[0]}") if mine else ("POST", here)
    said = gh("api", "--method", method, there, "--input", "-", given=body)
    return str(json.loads(said)["html_url"])


def is_ours(one: Document) -> bool:
    """Tell whether a workflow wrote the comment, and this one: a person may quote the mark."""
    return one["user"]["type"] == "Bot" and str(one["body"]).startswith(MARK)


def documents(text: str) -> Iterator[Document]:
    """Yield what all pages list: some versions of gh print one array for each page, without anything in between."""
    reads = json.JSONDecoder()
    while text := text.lstrip():
        page, end = reads.raw_decode(text)
        yield from page
        text = text[end:]


def gh(*words: str, given: str | None = None) -> str:
    """Ask GitHub's own command, which is on every runner. Raises CalledProcessError; it has said why."""
    done = subprocess.run(["gh", *words], input=given, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603, S607
    return done.stdout


# -- words -------------------------------------------------------------------------------------------------------------


def plain(value: object) -> str:
    """Return a text in which Markdown finds nothing to read, no end of a cell, and nobody to be told."""
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
    """Return where it was done."""
    run, repository = environ.get("GITHUB_RUN_ID"), environ.get("GITHUB_REPOSITORY")
    if not run or not repository:
        return []
    address = f"{environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{repository}/actions/runs/{run}"
    return [f"<sub>[The run]({address}), commit {environ.get('HEAD_SHA') or environ.get('GITHUB_SHA', '')}</sub>"]


def show_in_summary(text: str, environ: Mapping[str, str]) -> None:
    """Show a text on the run's page, where GitHub Actions runs us."""
    if summary := environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as out:
            out.write(text)


def tell_later_jobs(environ: Mapping[str, str], **texts: str) -> None:
    """Hand texts to the steps and jobs after this one, where GitHub Actions runs us."""
    if outputs := environ.get("GITHUB_OUTPUT"):
        end = f"end-{uuid.uuid4()}"  # a line that nothing in the texts can be
        with Path(outputs).open("a", encoding="utf-8") as out:
            out.writelines(f"{name}<<{end}\n{text.rstrip()}\n{end}\n" for name, text in texts.items())


def _read(file: Path) -> Document | None:
    """Return the document; None where the step that writes it did not get so far."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write for GitHub what came of a training.")
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("training", help="the comment on a pull request").add_argument("folder", type=Path)
    kinds.add_parser("promoted", help="what a promotion tells the jobs to come, from registrar promote --wait --json")
    kinds.add_parser("card", help="a model card, from registrar show --json on standard input")
    kinds.add_parser("comment", help="write standard input under a pull request").add_argument("number", type=int)
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
