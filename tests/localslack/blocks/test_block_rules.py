"""Slack's rules for Block Kit: the maximum is accepted, and more is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localslack.blocks import message_problems, view_problems
from tests.localslack.block_builders import actions, button, home, modal, plain, text_input

JSON = dict[str, Any]


def mrkdwn(text: str) -> JSON:
    return {"type": "mrkdwn", "text": text}


def section(**fields: Any) -> JSON:
    return {"type": "section", **({"text": mrkdwn("x")} | fields)}


def option(text: str = "x", value: str = "v", **fields: Any) -> JSON:
    return {"text": plain(text), "value": value, **fields}


def options(count: int) -> list[JSON]:
    return [option(value=str(number)) for number in range(count)]


def select(**fields: Any) -> JSON:
    return {"type": "static_select", "action_id": "a", **({"options": options(1)} | fields)}


def element(kind: str, **fields: Any) -> JSON:
    return {"type": kind, "action_id": "a", **fields}


def picture(**slack_file: str) -> JSON:
    return {"type": "image", "alt_text": "x", "slack_file": slack_file}


def confirm(**fields: Any) -> JSON:
    return {"title": plain("t"), "text": plain("x"), "confirm": plain("y"), "deny": plain("n"), **fields}


def table(rows: int = 1, columns: int = 1, text: str = "x") -> JSON:
    return {"type": "table", "rows": [[{"type": "raw_text", "text": text}] * columns for _ in range(rows)]}


def raw_text(text: str) -> JSON:
    return {"type": "raw_text", "text": text}


def rich_text(*texts: str) -> JSON:
    runs = [{"type": "text", "text": text, "style": {"bold": True}} for text in texts]
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": runs}]}


def table_with_characters(cell: Callable[[str], JSON], characters: int) -> JSON:
    """A table of full cells, and one cell with the remaining characters."""
    full_cells, rest = divmod(characters, 1000)
    return {"type": "table", "rows": [[cell("x" * size)] for size in [1000] * full_cells + [rest] * bool(rest)]}


def input_block(element: JSON, **fields: Any) -> JSON:
    return {"type": "input", "block_id": "i", "label": plain("Label"), "element": element, **fields}


# What's counted, its limit, and a function that creates blocks with a given count.
LIMITS: list[tuple[str, int, Any]] = [
    ("blocks of a message", 50, lambda n: [{"type": "divider"}] * n),
    ("section text", 3000, lambda n: [section(text=mrkdwn("x" * n))]),
    ("section fields", 10, lambda n: [section(fields=[mrkdwn("x")] * n)]),
    ("a field", 2000, lambda n: [section(fields=[mrkdwn("x" * n)])]),
    ("header", 150, lambda n: [{"type": "header", "text": plain("x" * n)}]),
    ("context elements", 10, lambda n: [{"type": "context", "elements": [mrkdwn("x")] * n}]),
    ("actions", 25, lambda n: [actions(*[button("x", str(i)) for i in range(n)])]),
    ("button text", 75, lambda n: [actions(button("x" * n, "a"))]),
    ("button value", 2000, lambda n: [actions(button("x", "a", value="x" * n))]),
    ("button url", 3000, lambda n: [actions(button("x", "a", url="https://e.org/".ljust(n, "x")))]),
    ("action_id", 255, lambda n: [actions(button("x", "x" * n))]),
    ("block_id", 255, lambda n: [{"type": "divider", "block_id": "x" * n}]),
    ("option text", 75, lambda n: [actions(select(options=[option("x" * n)]))]),
    ("option value", 150, lambda n: [actions(select(options=[option(value="x" * n)]))]),
    ("option description", 75, lambda n: [actions(select(options=[option(description=plain("x" * n))]))]),
    ("select options", 100, lambda n: [actions(select(options=options(n)))]),
    ("placeholder", 150, lambda n: [actions(select(placeholder=plain("x" * n)))]),
    ("overflow options", 5, lambda n: [actions(element("overflow", options=options(n)))]),
    ("checkboxes", 10, lambda n: [actions(element("checkboxes", options=options(n)))]),
    ("radio buttons", 10, lambda n: [actions(element("radio_buttons", options=options(n)))]),
    ("confirm title", 100, lambda n: [actions(button("x", "a", confirm=confirm(title=plain("x" * n))))]),
    ("confirm text", 300, lambda n: [actions(button("x", "a", confirm=confirm(text=plain("x" * n))))]),
    ("confirm yes", 30, lambda n: [actions(button("x", "a", confirm=confirm(confirm=plain("x" * n))))]),
    ("confirm no", 30, lambda n: [actions(button("x", "a", confirm=confirm(deny=plain("x" * n))))]),
    ("image alt_text", 2000, lambda n: [{"type": "image", "image_url": "https://e.org", "alt_text": "x" * n}]),
    ("table rows", 100, lambda n: [table(rows=n)]),
    ("table columns", 20, lambda n: [table(columns=n)]),
    ("tables", 1, lambda n: [table()] * n),
    ("column settings", 20, lambda n: [table() | {"column_settings": [{"align": "right", "is_wrapped": True}] * n}]),
    ("characters in all cells", 10_000, lambda n: [table_with_characters(raw_text, n)]),
    ("characters in all rich cells", 10_000, lambda n: [table_with_characters(rich_text, n)]),
    ("markdown together", 12_000, lambda n: [{"type": "markdown", "text": "x" * (n // 2)}] * 2),
]
VIEW_LIMITS: list[tuple[str, int, Any]] = [
    ("blocks of a modal", 100, lambda n: modal(*[{"type": "divider"}] * n)),
    ("title", 24, lambda n: modal(title="x" * n)),
    ("submit", 24, lambda n: modal(submit=plain("x" * n))),
    ("close", 24, lambda n: modal(close=plain("x" * n))),
    ("private_metadata", 3000, lambda n: modal(private_metadata="x" * n)),
    ("callback_id", 255, lambda n: modal(callback_id="x" * n)),
    ("initial_value", 3000, lambda n: modal(text_input("r", "Reason", initial_value="x" * n))),
    ("max_length", 3000, lambda n: modal(text_input("r", "Reason", max_length=n))),
    ("label", 2000, lambda n: modal(text_input("r", "x" * n))),
]


HOME_LIMITS: list[tuple[str, int, Any]] = [
    ("blocks of a Home tab", 100, lambda n: home(*[{"type": "divider"}] * n)),
    ("private_metadata", 3000, lambda n: home(private_metadata="x" * n)),
    ("callback_id", 255, lambda n: home(callback_id="x" * n)),
    ("external_id", 255, lambda n: home(external_id="x" * n)),
]


@pytest.mark.parametrize(("description", "limit", "blocks"), LIMITS, ids=[description for description, _, _ in LIMITS])
def test_a_message_over_a_limit_is_refused(description: str, limit: int, blocks: Any) -> None:
    assert message_problems(blocks(limit)) == []
    beyond = message_problems(blocks(limit + 2 if description == "markdown together" else limit + 1))
    assert len(beyond) == 1
    assert "[json-pointer:/blocks" in beyond[0]


@pytest.mark.parametrize(
    ("description", "limit", "view"), VIEW_LIMITS, ids=[description for description, _, _ in VIEW_LIMITS]
)
def test_a_modal_over_a_limit_is_refused(description: str, limit: int, view: Any) -> None:
    assert view_problems(view(limit)) == []
    beyond = view_problems(view(limit + 1))
    assert len(beyond) == 1
    assert "[json-pointer:/view" in beyond[0]


@pytest.mark.parametrize(
    ("description", "limit", "view"), HOME_LIMITS, ids=[description for description, _, _ in HOME_LIMITS]
)
def test_a_home_tab_over_a_limit_is_refused(description: str, limit: int, view: Any) -> None:
    assert view_problems(view(limit), kind="home") == []
    beyond = view_problems(view(limit + 1), kind="home")
    assert len(beyond) == 1
    assert "[json-pointer:/view" in beyond[0]


NEWER_TABLE = {"type": "data_table", "caption": "x", "rows": [[raw_text("x")]] * 2}
# An invalid value, and a part of its problem.
REFUSED: list[tuple[str, list[Any], str]] = [
    ("a block type that does not exist", [{"type": "banner"}], "unsupported type: banner"),
    ("a block without a type", [{"text": plain("x")}], "missing required field: type"),
    ("a section with nothing in it", [{"type": "section"}], "must define either `text` or `fields`"),
    ("empty text", [section(text=mrkdwn(""))], "must be more than 0 characters"),
    ("a field nobody knows", [section(colour="red")], "invalid additional property: colour"),
    ("mrkdwn in a header", [{"type": "header", "text": mrkdwn("x")}], "unsupported type: mrkdwn"),
    ("mrkdwn on a button", [actions({**button("x", "a"), "text": mrkdwn("x")})], "unsupported type: mrkdwn"),
    ("verbatim plain text", [section(text={**plain("x"), "verbatim": True})], "additional property: verbatim"),
    ("a wrong style", [actions(button("x", "a", style="default"))], "must be one of: primary, danger"),
    ("a button in a context", [{"type": "context", "elements": [button("x", "a")]}], "not allowed here"),
    ("a text input in actions", [actions(element("plain_text_input"))], "not allowed here"),
    ("no actions", [actions()], "no fewer than 1 items"),
    ("a select without options", [actions(element("static_select"))], "`options` or `option_groups`"),
    ("an initial option not offered", [actions(select(initial_option=option("y")))], "one of the options"),
    ("an image without alt_text", [{"type": "image", "image_url": "https://e.org"}], "field: alt_text"),
    ("a bad date", [actions(element("datepicker", initial_date="1.2.2026"))], "YYYY-MM-DD"),
    ("two blocks of one id", [{"type": "divider", "block_id": "b"}] * 2, "block_id `b` must be unique"),
    ("two elements of one id", [actions(button("x", "a"), button("y", "a"))], "action_id `a` must be unique"),
    ("an empty cell", [table(text="")], "must be more than 0 characters"),
    ("an empty rich cell", [{"type": "table", "rows": [[rich_text()]]}], "must be more than 0 characters"),
    ("a cell that is missing", [{"type": "table", "rows": [[raw_text("x"), None]]}], "must provide an object"),
    ("a row without cells", [{"type": "table", "rows": [[]]}], "no fewer than 1 items"),
    ("another kind of cell", [{"type": "table", "rows": [[mrkdwn("x")]]}], "unsupported type: mrkdwn"),
    ("a number in a table", [{"type": "table", "rows": [[{"type": "raw_number", "value": 1}]]}], "not allowed here"),
    ("a justified column", [table() | {"column_settings": [{"align": "justify"}]}], "one of: left, center, right"),
    ("a column wrapped by a word", [table() | {"column_settings": [{"is_wrapped": "yes"}]}], "must provide a boolean"),
    ("a table and a newer one", [table(), NEWER_TABLE], "only_one_table_allowed"),
    ("a picture by id and address", [picture(id="F1", url="https://e.org")], "must not define both"),
    ("a picture by nothing", [picture()], "must define either `id` or `url`"),
    ("an alert in a message", [{"type": "alert", "text": plain("x")}], "alert is not allowed here"),
    ("two tables", [table(), table()], "only_one_table_allowed"),
    ("an unknown rich text", [{"type": "rich_text", "elements": [{"type": "rich_poem"}]}], "rich_poem"),
]


@pytest.mark.parametrize(
    ("description", "blocks", "problem"), REFUSED, ids=[description for description, _, _ in REFUSED]
)
def test_a_message_can_t_contain_this(description: str, blocks: list[Any], problem: str) -> None:
    problems = message_problems(blocks)
    assert len(problems) == 1
    assert problem in problems[0]


VIEWS_REFUSED: list[tuple[str, JSON, str]] = [
    ("an input without submit", modal() | {"submit": None}, "missing required field: submit"),
    ("no title", modal() | {"title": None}, "missing required field: title"),
    ("no blocks", modal() | {"blocks": []}, "no fewer than 1 items"),
    ("a table", modal(table()), "table is not allowed here"),
    ("markdown", modal({"type": "markdown", "text": "x"}), "markdown is not allowed here"),
    ("a mrkdwn title", modal() | {"title": mrkdwn("x")}, "unsupported type: mrkdwn"),
    ("another type", modal() | {"type": "home"}, "must be one of: modal"),
    ("two focused elements", modal(*[text_input(i, "x", focus_on_load=True) for i in "ab"]), "focus_on_load"),
    ("a button as input", modal(input_block(button("x", "a"))), "button is not allowed here"),
    ("crossed lengths", modal(text_input("a", "x", min_length=9, max_length=3)), "less than max_length"),
]


@pytest.mark.parametrize(
    ("description", "view", "problem"), VIEWS_REFUSED, ids=[description for description, _, _ in VIEWS_REFUSED]
)
def test_a_modal_can_t_contain_this(description: str, view: JSON, problem: str) -> None:
    problems = view_problems(view)
    assert len(problems) == 1
    assert problem in problems[0]


HOMES_REFUSED: list[tuple[str, JSON, str]] = [
    ("a table", home(table()), "table is not allowed here"),
    ("a newer table", home(NEWER_TABLE), "data_table is not allowed here"),
    ("markdown", home({"type": "markdown", "text": "x"}), "markdown is not allowed here"),
    ("an alert", home({"type": "alert", "text": plain("x")}), "alert is not allowed here"),
    ("a title", home(title=plain("x")), "invalid additional property: title"),
    ("submit", home(submit=plain("x")), "invalid additional property: submit"),
    ("close", home(close=plain("x")), "invalid additional property: close"),
    ("no blocks", home() | {"blocks": []}, "no fewer than 1 items"),
    ("another type", home() | {"type": "modal"}, "must be one of: home"),
    ("two blocks of one id", home(*[{"type": "divider", "block_id": "b"}] * 2), "block_id `b` must be unique"),
    ("a button as input", home(input_block(button("x", "a"))), "button is not allowed here"),
]


@pytest.mark.parametrize(
    ("description", "view", "problem"), HOMES_REFUSED, ids=[description for description, _, _ in HOMES_REFUSED]
)
def test_a_home_tab_can_t_contain_this(description: str, view: JSON, problem: str) -> None:
    problems = view_problems(view, kind="home")
    assert len(problems) == 1
    assert problem in problems[0]


def test_a_home_tab_can_have_an_input_without_submit() -> None:
    assert view_problems(home(text_input("r", "Reason")), kind="home") == []


def test_columns_can_be_default_and_cells_can_have_rich_text() -> None:
    settings = [None, {"align": "center"}, {"is_wrapped": True}]
    rows = [[raw_text("a"), rich_text("b", "c")], [rich_text(" "), raw_text(" ")]]
    assert message_problems([{"type": "table", "rows": rows, "column_settings": settings}]) == []


def test_the_problem_of_a_missing_picture_has_its_pointer() -> None:
    blocks = [{"type": "divider"}, section(accessory=element("image", alt_text="x", slack_file={"id": "F1"}))]
    del blocks[1]["accessory"]["action_id"]
    assert message_problems(blocks) == []
    assert message_problems(blocks, has_picture=lambda file: file["id"] != "F1") == [
        "invalid slack file [json-pointer:/blocks/1/accessory/slack_file]"
    ]


def test_only_modals_can_have_an_alert() -> None:
    assert view_problems(modal({"type": "alert", "text": plain("x"), "level": "warning"})) == []


@pytest.mark.parametrize(
    "inner",
    [
        element("multi_static_select", options=options(2)),
        element("multi_external_select"),
        element("multi_users_select"),
        element("multi_conversations_select"),
        element("multi_channels_select"),
        element("rich_text_input"),
    ],
    ids=lambda inner: str(inner["type"]),
)
def test_actions_can_contain_multi_selects_and_rich_text_inputs(inner: JSON) -> None:
    assert message_problems([actions(inner)]) == []


@pytest.mark.parametrize(("skin_tone", "is_one"), [(2, True), (6, True), (7, False), ("dark", False)])
def test_an_emoji_can_have_a_skin_tone(skin_tone: Any, is_one: bool) -> None:
    runs = [{"type": "emoji", "name": "wave", "skin_tone": skin_tone}]
    said = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": runs}]}
    assert (message_problems([said]) == []) is is_one


def test_another_block_can_have_the_same_action_id() -> None:
    assert message_problems([actions(button("x", "a"), block_id=block_id) for block_id in "bc"]) == []


def test_values_of_the_wrong_type_are_refused_without_a_crash() -> None:
    values: list[Any] = [None, 7, "x", [], {}, [None], [[]], {"type": []}]
    for value in values:
        assert message_problems([value]) != []
        assert message_problems([section(accessory=value)]) != [] or value is None
        assert view_problems(value) != []


def test_new_tables_and_charts_are_valid() -> None:
    chart = {"type": "data_visualization", "title": "x", "chart": {"type": "line"}}
    assert message_problems([NEWER_TABLE, chart]) == []


EVERY_ELEMENT = [
    input_block(element("plain_text_input", multiline=True)),
    input_block(element("number_input", is_decimal_allowed=False, min_value="1")),
    input_block(element("email_text_input")),
    input_block(element("url_text_input")),
    input_block(element("rich_text_input")),
    input_block(element("datepicker", initial_date="2026-01-31")),
    input_block(element("timepicker", initial_time="23:59")),
    input_block(element("datetimepicker", initial_date_time=1_700_000_000)),
    input_block(element("radio_buttons", options=options(2), initial_option=option(value="1"))),
    input_block(element("checkboxes", options=options(2), initial_options=[option(value="1")])),
    input_block(element("multi_static_select", options=options(2), max_selected_items=2)),
    input_block(select(options=None, option_groups=[{"label": plain("g"), "options": options(2)}])),
    *[input_block(element(f"{many}{kind}_select")) for many in ("", "multi_") for kind in ("users", "channels")],
    input_block(element("conversations_select", response_url_enabled=True, default_to_current_conversation=True)),
]


@pytest.mark.parametrize("block", EVERY_ELEMENT, ids=[block["element"]["type"] for block in EVERY_ELEMENT])
def test_every_input_element_is_valid(block: JSON) -> None:
    assert view_problems(modal(block)) == []


def test_the_rules_don_t_import_the_workspace() -> None:
    import localslack.blocks

    sources = [path.read_text() for path in Path(localslack.blocks.__file__).parent.glob("*.py")]
    imports = [line for source in sources for line in source.splitlines() if line.startswith("from localslack")]
    assert all(line.startswith("from localslack.blocks") for line in imports)
    assert json.dumps(message_problems([section()])) == "[]"
