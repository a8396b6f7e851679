// Dialogs: the app's modals, and the confirmation before a risky click.
import { blocks } from "./blocks.js";
import { collect, withTyped } from "./elements.js";
import { freshId, h } from "./dom.js";
import { plain } from "./mrkdwn.js";

/** Show the dialog of a confirm object; resolves to true or false. */
export function confirmed(question, words) {
  return new Promise((answer) => {
    const title = freshId("confirm");
    const dialog = h(
      "dialog",
      { class: "confirm", "aria-labelledby": title, "data-testid": "confirm", onclose: () => { dialog.remove(); answer(dialog.returnValue === "yes"); } },
      h("h2", { id: title }, plain(question.title.text)),
      h("div", { class: "dialog-body" }, words(question.text)),
      h(
        "div",
        { class: "dialog-foot" },
        h("button", { type: "button", class: "button", onclick: () => dialog.close("no") }, plain(question.deny.text)),
        h("button", { type: "button", class: `button ${question.style ?? "primary"}`, autofocus: true, onclick: () => dialog.close("yes") }, plain(question.confirm.text)),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * The modal in front. `hands` has its actions: submit(view, answers) resolves to errors or null,
 * close(view, everything), act(view, block, element, answer, node, answers), suggest(view, block, element, typed).
 */
export class Modal {
  constructor(names, words, hands) {
    Object.assign(this, { names, words, hands, view: null, dialog: null, errors: {} });
  }

  /** Show this view, or nothing; typed text is kept in fields that still exist. */
  show(view) {
    if (view?.id === this.view?.id && view?.hash === this.view?.hash) return;
    const typed = view && this.view?.id === view.id && this.dialog ? collect(this.dialog) : {};
    const isSame = view && this.view?.id === view.id;
    this.view = view;
    this.errors = {};
    if (!isSame) this.#takeAway();
    if (view) this.#draw(typed);
  }

  #takeAway() {
    this.dialog?.remove();
    this.dialog = null;
  }

  #draw(typed = {}) {
    const { view } = this;
    const content = this.#content(view, typed);
    if (!this.dialog) {
      this.dialog = h("dialog", { class: "modal", "data-testid": "modal", oncancel: (event) => { event.preventDefault(); this.#close(true); } });
      document.body.append(this.dialog);
    }
    this.dialog.setAttribute("aria-labelledby", "modal-title");
    this.dialog.replaceChildren(content);
    if (!this.dialog.open) this.dialog.showModal();
    const first = this.dialog.querySelector("[aria-invalid]") ?? this.dialog.querySelector(".modal-body :is(input, textarea, select)");
    first?.focus();
  }

  #content(view, typed) {
    const state = withTyped(view.state.values, typed);
    const act = (block, item, answer, node) => this.hands.act(view, block, item, answer, node, collect(this.dialog));
    const suggest = (block, item, typed) => this.hands.suggest(view, block, item, typed);
    const submit = view.submit && h("button", { type: "submit", class: "button primary" }, plain(view.submit.text));
    const close = h("button", { type: "button", class: "button", onclick: () => this.#close(false) }, view.close ? plain(view.close.text) : "Cancel");
    const trouble = this.errors["*"] && h("p", { class: "complaint banner", role: "alert" }, this.errors["*"]);
    return h(
      "form",
      { novalidate: true, onsubmit: (event) => { event.preventDefault(); this.#submit(submit); } },
      h(
        "header",
        { class: "dialog-head" },
        h("h2", { id: "modal-title" }, plain(view.title.text)),
        h("button", { type: "button", class: "plain", "aria-label": "Close dialog", onclick: () => this.#close(true) }, "✕"),
      ),
      h("div", { class: "modal-body dialog-body" }, trouble, blocks(view.blocks, { names: this.names, state, act, suggest, errors: this.errors })),
      h("div", { class: "dialog-foot" }, close, submit),
    );
  }

  async #submit(button) {
    const answers = collect(this.dialog);
    const { view } = this;
    button?.setAttribute("aria-busy", "true");
    if (button) button.disabled = true;
    const errors = await this.hands.submit(view, answers);
    if (this.view !== view) return;
    this.errors = errors ?? {};
    if (errors) this.#draw(answers);
  }

  #close(everything) {
    this.hands.close(this.view, everything);
  }
}
