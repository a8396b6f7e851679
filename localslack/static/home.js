// The app's Home tab: the view that's published for this person, rendered like messages.
import { blocks } from "./blocks.js";
import { collect, withTyped } from "./elements.js";
import { h } from "./dom.js";
import { face } from "./messages.js";

const FOCUSABLE = "button, a, select, input, textarea, summary";

/** `context`: names, app() with id and name, act(view, block, element, answer, node, answers), suggest(view, block, element, typed). */
export class HomeTab {
  constructor(node, context) {
    Object.assign(this, { node, context, view: undefined });
  }

  /** Show this view, or that there's none; typed text and the focus are kept in fields that still exist. */
  show(view) {
    if (this.view !== undefined && this.view?.hash === view?.hash) return;
    const typed = collect(this.node);
    const held = this.#held();
    this.view = view;
    this.node.replaceChildren(view ? this.#content(view, typed) : this.#nothing());
    if (held) (this.#find(held) ?? this.node).focus();
  }

  forget() {
    this.view = undefined;
    this.node.replaceChildren();
  }

  #content(view, typed) {
    const act = (block, item, answer, node) => this.context.act(view, block, item, answer, node, collect(this.node));
    const suggest = (block, item, typed) => this.context.suggest(view, block, item, typed);
    const state = withTyped(view.state.values, typed);
    return h("div", { class: "blocks" }, blocks(view.blocks, { names: this.context.names, state, act, suggest }));
  }

  #nothing() {
    const { id, name } = this.context.app();
    return h(
      "div",
      { class: "nothing" },
      face(id, name),
      h("h2", {}, "Nothing here yet"),
      h("p", {}, `${name} has not put anything on your Home tab so far. Once it does, you will see it here by itself.`),
    );
  }

  /** The focused element, by block and action. */
  #held() {
    if (!this.node.contains(document.activeElement)) return null;
    return document.activeElement.closest("[data-action]")?.dataset;
  }

  #find({ block, action }) {
    const holders = [...this.node.querySelectorAll("[data-action]")];
    return holders.find((one) => one.dataset.block === block && one.dataset.action === action)?.querySelector(FOCUSABLE);
  }
}
