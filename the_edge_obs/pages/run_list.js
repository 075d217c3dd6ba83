// Lists that create their rows as they scroll into view.
const HEIGHT = 26, SPARE = 10;

class List {
  constructor(box, row, key) {
    Object.assign(this, { box, row, key, body: box.firstElementChild, items: [], chosen: -1, prefix: box.id });
    box.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()));
    new ResizeObserver(() => this.draw()).observe(box);
  }
  press(event) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / HEIGHT) - 1);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.items.length, End: this.items.length };
    if (event.key in moves) this.step(moves[event.key]);
    else if (!this.key(event.key)) return;
    event.preventDefault();
  }
  show(items, none) {
    this.items = items;
    this.body.style.height = `${items.length * HEIGHT}px`;
    this.box.setAttribute("aria-rowcount", items.length);
    this.box.querySelector(".none")?.remove();
    if (!items.length) this.box.append(make("p", "none", none));
    this.draw();
  }
  draw() {
    const { box, items } = this;
    const from = Math.max(0, Math.floor(box.scrollTop / HEIGHT) - SPARE);
    const to = Math.min(items.length, Math.ceil((box.scrollTop + box.clientHeight) / HEIGHT) + SPARE);
    const made = [];
    for (let place = from; place < to; place++) {
      const element = this.row(items[place]);
      element.id = `${this.prefix}-${items[place]}`;
      element.style.top = `${place * HEIGHT}px`;
      element.setAttribute("role", "row");
      element.setAttribute("aria-rowindex", place + 1);
      element.setAttribute("aria-selected", items[place] === this.chosen);
      for (const cell of element.children) cell.setAttribute("role", "gridcell");
      made.push(element);
    }
    this.body.replaceChildren(...made);
    const active = byId(`${this.prefix}-${this.chosen}`);
    if (active) box.setAttribute("aria-activedescendant", active.id);
    else box.removeAttribute("aria-activedescendant");
  }
  choose(item) {
    this.chosen = item;
    const place = this.items.indexOf(item), top = place * HEIGHT, { box } = this;
    if (place >= 0 && top < box.scrollTop) box.scrollTop = top;
    else if (top + HEIGHT > box.scrollTop + box.clientHeight) box.scrollTop = top + HEIGHT - box.clientHeight;
    this.draw();
  }
  step(by) {
    const { items } = this, at = items.indexOf(this.chosen);
    if (items.length) this.pick(items[Math.max(0, Math.min(items.length - 1, at < 0 ? (by < 0 ? items.length - 1 : 0) : at + by))]);
  }
}
