// The page of `seq2seq serve`: translations as they are made, and what the model attends to.

const END = "</s>", FEW = 0.05, N_BEST = 5;
const FAINT = 0.5 / 255, SCORES = 100, CELLS = [24, 21, 18, 16, 14], ROW = 52;
const RTL = /^(ar|arc|ckb|dv|fa|he|iw|ks|ps|sd|syr|ug|ur|yi)\b/;
const BLANK = "(blank translation)", BROKEN = "The connection broke before the translation ended.";

const $ = id => document.getElementById(id);
const panels = [];
let models = [];

// --- elements and texts -----------------------------------------------------------------------------------------

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function svg(name, attributes, parent, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
}

function listen(element, actions) {
  for (const [type, action] of Object.entries(actions)) element.addEventListener(type, action);
}

function offer(select, options, value) {
  select.replaceChildren(...options.map(([key, text]) => make("option", { value: key }, text)));
  select.value = value;
}

const complain = text => { $("alert").textContent = text; };
const named = piece => piece === END ? "end" : piece.replaceAll("\u2581", " ").trim() || "\u00b7";
const joined = pieces => pieces.filter(piece => piece !== END).join("").replaceAll("\u2581", " ").trim();
const fixed = value => value === null ? "\u2212\u221e" : value.toFixed(2).replace("-0.00", "0.00").replace("-", "\u2212");
const languages = new Intl.DisplayNames(["en"], { type: "language" });
const languageName = code => /^([a-z]{2,3}|[a-z]{5,8})$/i.test(code) ? languages.of(code) : code;
const likely = logarithm => logarithm === null ? 0 : Math.exp(logarithm);
const direction = language => RTL.test(language) ? "rtl" : "ltr";
const largest = values => values.reduce((best, value, i) => value > (values[best] ?? -Infinity) ? i : best, 0);
const descending = values => [...values.keys()].sort((a, b) => values[b] - values[a]);
const mean = rows => rows[0].map((_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length);
const total = values => values.reduce((sum, value) => sum + value, 0);
const rounded = part => part < 0.0005 ? "<\u00a00.1" : (100 * part).toFixed(part < 0.0995 ? 1 : 0);
const percent = part => `${part > 0 ? rounded(part) : 0}\u00a0%`;
// Writing that stays upright in columns, as in heatmaps.html
const upright = text => /^[\u1100-\u115f\u2e80-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]+$/u.test(text);

const ruler = document.createElement("canvas").getContext("2d");
ruler.font = "100px system-ui, sans-serif";
const lengthOf = text => ruler.measureText(text).width / 100;  // at 1 pixel
const longest = texts => texts.reduce((most, text) => Math.max(most, lengthOf(text)), 0);

// --- the server -------------------------------------------------------------------------------------------------

class Refused extends Error {}

async function ask(path, body, signal) {
  const request = body && { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  let response;
  try {
    response = await fetch(path, { ...request, signal });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Refused("The server does not answer.");
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  throw new Refused(told.error ?? `The server answers with status ${response.status}.`);
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const fields = part.split("\n").map(line => /^(\w+): ?(.*)$/s.exec(line)).filter(Boolean);
      const of = name => fields.filter(([, key]) => key === name).map(([, , text]) => text).join("\n");
      if (of("data")) yield [of("event"), JSON.parse(of("data"))];
    }
  }
}

// --- keys that move within a list -------------------------------------------------------------------------------

function rove(list, role, moves) {  // one item can be reached with Tab; `moves` maps keys to places
  const items = () => [...list.querySelectorAll(`[role=${role}]`)];
  list.addEventListener("keydown", event => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const all = items(), at = all.indexOf(event.target.closest(`[role=${role}]`));
    const keys = { Home: () => 0, End: () => all.length - 1, ...moves };
    if (at < 0 || !(event.key in keys)) return;
    event.preventDefault();
    all[Math.min(Math.max(keys[event.key](at, all), 0), all.length - 1)]?.focus();
  });
  list.addEventListener("focusin", event => items().forEach(item => {
    item.tabIndex = item === event.target ? 0 : -1;
  }));
}

// --- words that differ ------------------------------------------------------------------------------------------

function wordsOf({ tokens, words }) {  // `words` has those of several tokens
  const found = [];
  for (let at = 0; at < tokens.length; at = found.at(-1).last + 1) {
    const [first, last] = words.find(([begin]) => begin === at) ?? [at, at];
    found.push({ first, last, text: tokens.slice(first, last + 1).join("") });
  }
  return found;
}

function differing(one, other) {  // the tokens of `one` outside the longest common subsequence of words
  const a = wordsOf(one), b = wordsOf(other);
  const common = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i][j] = a[i].text === b[j].text ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const marked = new Set();
  for (let i = 0, j = 0; i < a.length;) {
    if (j < b.length && a[i].text === b[j].text) { i++; j++; }
    else if (j < b.length && common[i][j + 1] >= common[i + 1][j]) j++;
    else {
      for (let at = a[i].first; at <= a[i].last; at++) marked.add(at);
      i++;
    }
  }
  return marked;
}

// --- a model and its translation --------------------------------------------------------------------------------

class Panel {
  constructor(model, layer) {
    this.model = model;
    this.layer = layer ?? model.layer;
    this.heads = 1;
    this.head = "mean";
    this.kind = "prior";
    this.editing = false;
    this.forget();
    this.build();
  }

  forget() {  // all about the last sentence
    this.source = [];
    this.sourceWords = [];
    this.steps = [];
    this.matrix = [];  // [t][s], null for a step without attention
    this.end = this.posterior = this.base = this.here = null;
    this.prefix = [];
    this.edits = new Map();
    this.chosen = { side: "target", at: 0 };
    this.step = 0;
  }

  build() {
    const { model } = this, ui = this.ui = {};
    this.element = $("panel").content.firstElementChild.cloneNode(true);
    for (const part of this.element.querySelectorAll("[data-part]")) ui[part.dataset.part] = part;
    for (const part of [ui.text, ui.plain, ui.ranked]) part.lang = model.target;
    offer(ui.layers, Array.from({ length: model.layers }, (_, n) => [n + 1, n + 1]), this.layer);
    ui.layersLabel.hidden = model.layers < 2;
    ui.kindsLabel.hidden = !model.attends || model.members > 1;
    ui.edit.hidden = !model.editable;
    listen(ui.heads, { change: () => { this.head = ui.heads.value; this.refresh(); } });
    listen(ui.layers, { change: () => { this.layer = Number(ui.layers.value); this.run(); } });
    listen(ui.kinds, { change: () => { this.kind = ui.kinds.value; this.posterior ? this.refresh() : this.run(); } });
    listen(ui.more, { click: () => this.toggleTree() });
    listen(ui.undo, { click: () => this.reset() });
    listen(ui.edit, { click: () => this.toggleEdit() });
    listen(ui.explain, { click: () => tour.open(this) });
    listen(ui.heat, {
      pointermove: event => this.point(this.cellAt(event)), click: event => this.choose(this.cellAt(event)),
      pointerleave: () => this.point(null),
    });
    this.prepareTokens(ui.sources, "source", model.source);
    this.prepareTokens(ui.targets, "target", model.target);
    rove(ui.sliders, "slider", { ArrowRight: at => at + 1, ArrowLeft: at => at - 1, Home: at => at, End: at => at });
    new ResizeObserver(() => this.refresh()).observe(ui.figure);
  }

  prepareTokens(list, side, language) {
    list.lang = language;
    list.dir = direction(language);
    const at = event => {
      const token = event.target.closest(".token");
      return token && { side, at: [...list.children].indexOf(token) };
    };
    listen(list, {
      focusin: event => this.choose(at(event)), pointerover: event => this.point(at(event)),
      pointerleave: () => this.point(null),
    });
    const onwards = list.dir === "rtl" ? -1 : 1;
    rove(list, "option", { ArrowRight: at => at + onwards, ArrowLeft: at => at - onwards });
  }

  // --- asking

  begin(text) {
    const { ui } = this;
    this.forget();
    this.q = text;
    for (const list of [ui.sources, ui.targets]) list.replaceChildren();
    for (const part of [ui.sources, ui.targets, ui.detail, ui.content]) part.hidden = true;
    return this.run();
  }

  get name() {
    return this.model.layers > 1 ? `${this.model.name}, layer ${this.layer}` : this.model.name;
  }

  get request() {
    const { name, source, target } = this.model;
    return { q: this.q, source, target, model: name, prefix: this.prefix, api_key: $("key").value };
  }

  async run() {
    this.stop?.abort();
    clearTimeout(this.settling);
    this.settling = null;
    const { signal } = this.stop = new AbortController();
    complain("");
    this.ui.more.removeAttribute("aria-busy");
    this.element.setAttribute("aria-busy", "true");
    if (!this.ui.forest.hidden) this.grow(signal);
    try {
      const edits = Object.fromEntries(this.edits), posterior = this.kind === "posterior" && !this.edits.size;
      const layer = this.model.layers > 1 ? this.layer : null;
      const response = await ask("watch", { ...this.request, edits, layer, posterior }, signal);
      [this.steps, this.matrix, this.end, this.posterior] = [[], [], null, null];
      for (const token of this.ui.targets.children) token.classList.add("stale");
      for await (const [kind, told] of events(response)) {
        if (signal.aborted) return;
        this.hear(kind, told);
      }
      if (!this.end) throw new Refused(BROKEN);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Refused)) console.error(error);
      complain(`${panels.length > 1 ? `${this.name}: ` : ""}${error instanceof Refused ? error.message : BROKEN}`);
    } finally {
      if (!signal.aborted) {
        this.element.removeAttribute("aria-busy");
        this.trim();
      }
    }
  }

  hear(kind, told) {
    const { ui } = this;
    if (kind === "error") throw new Refused(told.error);
    if (kind === "source") {
      this.source = told.tokens;
      this.sourceWords = told.words;
      told.tokens.forEach((token, at) => this.place(ui.sources, at, token));
      ui.content.hidden = false;
    } else if (kind === "step") {
      this.steps.push(told);
      this.place(ui.targets, told.number, told.token);
    } else if (kind === "end") {
      this.end = told;
      const ended = panels.filter(panel => panel.end), nameOf = panel => ended.length > 1 ? `${panel.name}: ` : "";
      $("said").textContent = ended.map(panel => nameOf(panel) + (panel.end.text || BLANK)).join("\n");
      panels.forEach(panel => panel.refresh());
    } else if (kind === "posterior") this.posterior = told.weights;
    this.refresh();
  }

  place(list, at, piece) {  // tokens stay where they are, so that the focus does too
    const token = list.children[at]
      ?? list.appendChild(make("div", { class: "token", role: "option", tabindex: at ? -1 : 0 }));
    token.textContent = named(piece);
    token.classList.remove("stale");
    token.classList.toggle("begins", piece.startsWith("\u2581") || piece === END);
    token.classList.toggle("special", piece === END);
    list.hidden = false;
  }

  trim() {  // the tokens that the translation before had more
    const { targets } = this.ui, count = this.steps.length;
    while (targets.children.length > count) targets.lastChild.remove();
    targets.hidden = !count;
    this.step = Math.max(0, Math.min(this.step, count - 1));
    if (this.chosen.side === "target") this.chosen.at = this.step;
    if (count && ![...targets.children].some(token => token.tabIndex === 0)) targets.children[this.step].tabIndex = 0;
    this.refresh();
  }

  begun(count) {  // the first tokens, also where the translation is not there yet
    return this.steps.length >= count ? this.steps.slice(0, count).map(step => step.token) : this.prefix.slice(0, count);
  }

  force(pieces) {
    this.prefix = pieces;
    for (const number of this.edits.keys()) if (number >= pieces.length) this.edits.delete(number);
    if (!this.edits.size) this.base = null;
    this.choose({ side: "target", at: pieces.length - 1 });
    return this.run();
  }

  reset() {
    this.prefix = [];
    this.edits.clear();
    this.base = null;
    this.ui.more.focus();  // the button for this is about to go
    return this.run();
  }

  // --- drawing

  refresh() {  // once a frame, however many events there are
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.draw();
    });
  }

  draw() {
    const { ui, steps, end, base, model } = this;
    this.element.setAttribute("aria-label", `Translation by ${this.name}`);
    ui.title.textContent = `${this.name}: ${languageName(model.source)} to ${languageName(model.target)}`;
    const heads = this.heads = steps.find(step => step.weights)?.weights.length ?? this.heads;
    if (ui.heads.length !== heads + 1) {
      if (this.head >= heads) this.head = "mean";
      offer(ui.heads, [["mean", "mean"], ...Array.from({ length: heads }, (_, n) => [n, `head ${n + 1}`])], this.head);
    }
    const posterior = this.kind === "posterior" ? this.posterior : null;
    ui.headsLabel.hidden = heads < 2;
    ui.heads.disabled = posterior !== null;
    ui.kinds.disabled = this.edits.size > 0;
    ui.kinds.value = this.edits.size ? "prior" : this.kind;
    const prior = step => this.head === "mean" ? step.mean ??= mean(step.weights) : step.weights[this.head];
    this.matrix = steps.map((step, t) => step.weights && (posterior?.[t] ?? prior(step)));
    this.attended = this.matrix.some(Boolean);
    const other = base ?? panels.find(panel => panel !== this)?.end;
    this.differs = end && other ? differing(end, other) : new Set();
    this.forced = new Set([...this.prefix.keys()].filter(t => steps[t] && steps[t].token !== steps[t].candidates[0][0]));
    ui.undo.hidden = !this.edits.size && !this.prefix.length;
    ui.text.textContent = end ? end.text || BLANK : joined(steps.map(step => step.token));
    ui.text.classList.toggle("blank", end !== null && !end.text);
    ui.before.hidden = !base;
    ui.plain.textContent = base?.text || BLANK;
    ui.facts.textContent = end ? `${end.tokens.length} tokens, log-probability ${fixed(end.score)}` : "";
    const legend = {
      none: !model.attends, differs: this.differs.size && !base, changed: this.differs.size && base,
      forced: this.forced.size, edited: this.edits.size, unedited: this.edits.size, posterior: posterior && heads > 1,
      window: steps.some(step => step.window),
    };
    for (const text of this.element.querySelectorAll("[data-legend]")) text.hidden = !legend[text.dataset.legend];
    this.nameTokens();
    this.drawHeat();
    this.drawStep();
    this.light();
    this.markTree();
    if (tour.panel === this) tour.draw();
  }

  nameTokens() {
    const sources = this.source.map(named), targets = this.steps.map(step => named(step.token)), { ui } = this;
    targets.forEach((name, t) => {
      const token = ui.targets.children[t], row = this.matrix[t], facts = [name];
      if (row) facts.push(`attends mostly to ${sources[largest(row)]} ${percent(Math.max(...row))}`);
      for (const [mark, text] of [["differs", "differs"], ["forced", "your choice"], ["edits", "edited"]]) {
        token.classList.toggle(mark, this[mark].has(t));
        if (this[mark].has(t)) facts.push(text);
      }
      token.setAttribute("aria-label", facts.join(", "));
    });
    sources.forEach((name, i) => {
      const column = this.matrix.map(row => row?.[i] ?? 0), best = largest(column), facts = [name];
      if (column[best] > 0) facts.push(`attended mostly by ${targets[best]} ${percent(column[best])}`);
      ui.sources.children[i].setAttribute("aria-label", facts.join(", "));
    });
  }

  choose(place) {
    if (!place) return;
    this.chosen = { side: place.side, at: place.at };
    if (place.side === "target") this.step = place.at;
    this.drawStep();
    this.light();
    if (!tour.panel) return;
    tour.panel = this;
    tour.draw();
  }

  point(place) {
    this.here = place;
    this.light();
  }

  light() {  // what goes with the token under the pointer, or else with the chosen one
    const active = this.here ?? this.chosen, ofTarget = active.side === "target";
    const { window } = ofTarget && this.steps[active.at] || {};
    const show = (list, side, weightOf) => [...list.children].forEach((token, n) => {
      token.style.setProperty("--weight", side === active.side ? Number(n === active.at) : weightOf(n) ?? 0);
      token.setAttribute("aria-selected", String(this.chosen.side === side && this.chosen.at === n));
      if (side === "target") return;
      token.classList.toggle("inside", Boolean(window) && window.first <= n && n <= window.last);
      token.classList.toggle("centre", Boolean(window) && Math.round(window.centre) === n);
    });
    show(this.ui.sources, "source", i => this.matrix[active.at]?.[i]);
    show(this.ui.targets, "target", t => this.matrix[t]?.[active.at]);
    this.drawLinks(active);
    this.drawCross(active);
  }

  drawLinks(active) {
    const { sources, targets, links } = this.ui, faint = [], strong = [];
    const ends = [sources, targets].map(list => [...list.children].map(token => ({
      x: list.offsetLeft + token.offsetLeft + token.offsetWidth / 2,
      y: list.offsetTop + token.offsetTop + (list === sources ? token.offsetHeight : 0),
    })));
    const oneLine = list => list.firstChild?.offsetTop === list.lastChild?.offsetTop;
    const all = oneLine(sources) && oneLine(targets);  // between rows of several lines they would be a tangle
    this.matrix.forEach((row, t) => row?.forEach((weight, i) => {
      const chosen = active.at === (active.side === "target" ? t : i);
      if (weight <= FEW || !(all || chosen) || !ends[0][i] || !ends[1][t]) return;
      const { x, y } = ends[0][i], to = ends[1][t], middle = (y + to.y) / 2;
      (chosen ? strong : faint).push(svg("path", {
        d: `M${x},${y}C${x},${middle} ${to.x},${middle} ${to.x},${to.y}`, class: chosen ? "strong" : "",
        "stroke-opacity": (chosen ? 0.15 + 0.85 * weight : 0.5 * weight).toFixed(3),
      }));
    }));
    links.replaceChildren(...faint, ...strong);
  }

  // --- the heat map, as in the pages of `translate`

  drawHeat() {
    const { source, steps, matrix, ui } = this, t = steps.length, s = source.length;
    ui.map.hidden = !this.attended;
    if (!this.attended) return;
    const rows = steps.map(step => named(step.token)), columns = source.map(named);
    const room = this.element.clientWidth, widest = longest(rows);
    const fits = cell => Math.max(s, t) * cell <= 1100 && widest * cell * 0.75 + s * cell + SCORES + 20 <= room;
    const cell = CELLS.find(fits) ?? CELLS.at(-1), type = Math.min(13, cell * 0.75);
    const left = widest * type + 12, top = longest(columns) * type + 14;
    const width = left + s * cell + SCORES, height = top + t * cell + 4, right = left + s * cell + 10;
    const root = svg("svg", {
      width, height, role: "img",
      "aria-label": `${t} target tokens in rows, ${s} source tokens in columns. The tokens above tell their weights.`,
    });
    this.under = svg("g", {}, root);
    rows.forEach((text, j) => svg("text", {
      x: left - 8, y: top + (j + 0.5) * cell, "text-anchor": "end", "dominant-baseline": "central", "font-size": type,
      lang: this.model.target,
    }, root, text));
    svg("path", { class: "words", d: (this.end?.words ?? []).map(([first, last]) =>
      `M${left - 4},${top + first * cell + 3}V${top + (last + 1) * cell - 3}`).join("") }, root);
    const panel = svg("g", { transform: `translate(${left},${top})` }, root);
    columns.forEach((text, i) => {
      const x = (i + 0.5) * cell, place = upright(text)
        ? { class: "upright", x, y: -6, "text-anchor": "end" }
        : { transform: `translate(${x},-6) rotate(-90)`, "dominant-baseline": "central" };
      svg("text", { ...place, "font-size": type, lang: this.model.source }, panel, text);
    });
    svg("path", { class: "words", d: this.sourceWords.map(([first, last]) =>
      `M${first * cell + 3},-3.5H${(last + 1) * cell - 3}`).join("") }, panel);
    const shades = new Map();
    matrix.forEach((row, j) => row?.forEach((weight, i) => {
      if (weight <= FAINT) return;
      const shade = Math.max(1, Math.round(weight * 128)) / 128, square = `h${cell - 1}v${cell - 1}h${1 - cell}z`;
      shades.set(shade, (shades.get(shade) ?? "") + `M${i * cell + 0.5},${j * cell + 0.5}${square}`);
    }));
    const cells = svg("g", { class: "weights" }, panel);
    shades.forEach((path, shade) => svg("path", { d: path, "fill-opacity": shade }, cells));
    svg("rect", { class: "frame", width: s * cell, height: t * cell }, panel);
    svg("path", { class: "window", d: outlines(steps.map(step => step.window), cell) }, panel);
    svg("text", { class: "small", x: right, y: top - 6 }, root, "log p");
    steps.forEach(({ score, window }, j) => {
      const y = top + (j + 0.5) * cell, length = Math.max(0, Math.min(-(score ?? -5), 5) * 8);
      if (window) svg("circle", { class: "centre", cx: left + (window.centre + 0.5) * cell, cy: y, r: cell / 6 }, root);
      svg("rect", { class: "bars", x: right, y: y - 3, width: length, height: 6 }, root);
      svg("text", { class: "small", x: right + 44, y, "dominant-baseline": "central" }, root, fixed(score));
    });
    this.over = svg("g", { class: "here" }, root);
    this.view = { cell, left, top, width, t, s };
    ui.heat.replaceChildren(root);
  }

  cellAt(event) {
    const { cell, left, top, t, s } = this.view, corner = this.ui.heat.firstChild.getBoundingClientRect();
    const at = Math.floor((event.clientY - corner.top - top) / cell);
    const column = Math.floor((event.clientX - corner.left - left) / cell), inside = column >= 0 && column < s;
    if (at < 0) return inside ? { side: "source", at: column } : null;
    return at < t ? { side: "target", at, column: inside ? column : undefined } : null;
  }

  drawCross({ side, at, column }) {
    if (!this.attended) return;
    const { cell, left, top, width, t } = this.view, { readout } = this.ui;
    readout.textContent = "";
    this.over.replaceChildren();
    const place = side === "source" ? { x: left + at * cell, y: 0, width: cell, height: top + t * cell }
      : { x: 0, y: top + at * cell, width, height: cell };
    this.under.replaceChildren(svg("rect", { class: "row", ...place }));
    const weight = this.matrix[at]?.[column];
    if (weight === undefined) return;
    svg("rect", { x: left + column * cell, y: top + at * cell, width: cell, height: cell }, this.over);
    const [from, to] = [this.source[column], this.steps[at].token].map(piece => make("bdi", {}, named(piece)));
    readout.append(to, " \u2190 ", from, ` ${weight.toFixed(3)}`);
  }

  // --- the chosen step

  drawStep() {
    const { ui, model: { target } } = this, step = this.steps[this.step], row = this.matrix[this.step];
    if (!step) return;  // it comes: until then the old one keeps the focus
    ui.detail.hidden = false;
    ui.edit.disabled = !step.weights;
    this.drawSliders();
    if (this.drawn?.step === step && this.drawn.row === row) return;
    this.drawn = { step, row };
    ui.stepTitle.replaceChildren(`Step ${this.step + 1}: `, make("bdi", { lang: target }, named(step.token)));
    ui.stepFacts.replaceChildren(...this.factsOf(step, row));
    ui.candidates.replaceChildren(...step.candidates.map(([piece, score]) => {
      const button = make("button", { type: "button", "aria-current": String(piece === step.token) },
        make("bdi", { lang: target }, named(piece)), ` ${percent(likely(score))}`);
      button.style.setProperty("--weight", likely(score));
      listen(button, {
        click: () => {
          ui.targets.children[step.number].focus();
          this.force([...this.begun(step.number), piece]);
        },
      });
      return make("li", {}, button);
    }));
  }

  factsOf(step, row) {
    const { window } = step, name = i => make("bdi", { lang: this.model.source }, named(this.source[i]));
    const best = row ? descending(row).filter((i, n) => n < 4 && row[i] >= 0.01) : [];
    const attended = best.flatMap((i, n) => [n ? ", " : " Attends to ", name(i), ` ${percent(row[i])}`]);
    return [`Probability ${percent(likely(step.score))}.`, ...attended, best.length ? "." : "",
      ...window ? [" Window: ", name(window.first), " to ", name(window.last), `, centre ${window.centre.toFixed(1)}.`] : []];
  }

  toggleEdit() {
    this.editing = !this.editing;
    this.ui.edit.setAttribute("aria-expanded", String(this.editing));
    this.drawStep();
  }

  drawSliders() {
    const number = this.step, { weights } = this.steps[number], { editor, sliders } = this.ui;
    editor.hidden = !this.editing || !weights;
    if (editor.hidden || this.dragging || this.settling) return;
    const own = mean(weights), sum = total(own) || 1;
    this.bars = this.edits.get(number) ?? own.map(weight => Math.min(1, weight / sum));
    const key = JSON.stringify([number, this.source]);
    if (sliders.dataset.key !== key) {  // else they keep the focus
      sliders.dataset.key = key;
      sliders.setAttribute("aria-label", `Attention of step ${number + 1}`);
      sliders.replaceChildren(...this.source.map((piece, i) => this.slider(named(piece), i)));
    }
    this.showBars();
  }

  slider(name, i) {
    const bar = make("div", {
      class: "slider", role: "slider", tabindex: i ? -1 : 0, "aria-label": name, "aria-orientation": "vertical",
      "aria-valuemin": 0, "aria-valuemax": 100,
    }, make("i"));
    const set = value => {
      this.bars = shared(this.bars, i, value);
      this.showBars();
    };
    const follow = event => {
      const { bottom, height } = bar.getBoundingClientRect();
      set((bottom - event.clientY) / height);
    };
    const drop = commit => {
      if (this.dragging !== bar) return;
      this.dragging = null;
      if (commit) this.commit();
      else this.drawSliders();
    };
    listen(bar, {
      pointerdown: event => {
        event.preventDefault();
        bar.focus();
        bar.setPointerCapture(event.pointerId);
        this.dragging = bar;
        follow(event);
      },
      pointermove: event => this.dragging === bar && follow(event),
      pointerup: () => drop(true),
      pointercancel: () => drop(false),
      keydown: event => {
        const by = { ArrowUp: 0.05, ArrowDown: -0.05, PageUp: 0.2, PageDown: -0.2, Home: -1, End: 1 }[event.key];
        if (by === undefined) return;
        event.preventDefault();
        set(this.bars[i] + by);
        clearTimeout(this.settling);  // a key that is held down asks the server once
        this.settling = setTimeout(() => this.commit(), 400);
      },
    });
    return make("div", {}, make("small", { "aria-hidden": "true" }), bar,
      make("bdi", { lang: this.model.source, "aria-hidden": "true" }, name));
  }

  showBars() {
    [...this.ui.sliders.children].forEach((column, i) => {
      const [number, bar] = column.children, part = Math.round(100 * this.bars[i]);
      number.textContent = `${part}\u00a0%`;
      bar.setAttribute("aria-valuenow", part);
      bar.setAttribute("aria-valuetext", `${part}\u00a0%`);
      bar.firstChild.style.height = `${100 * this.bars[i]}%`;
    });
  }

  commit() {
    const [number] = JSON.parse(this.ui.sliders.dataset.key);
    this.settling = null;
    this.base ??= this.end;
    if (!this.base) return this.drawSliders();  // the translation to compare with is still on its way
    this.prefix = this.begun(number);
    this.edits.set(number, this.bars);
    return this.run();
  }

  // --- the tree of alternatives

  toggleTree() {
    const { forest, more } = this.ui;
    forest.hidden = !forest.hidden;
    more.setAttribute("aria-expanded", String(!forest.hidden));
    if (!forest.hidden) this.grow(this.stop.signal);
  }

  async grow(signal) {
    const { more } = this.ui;
    more.setAttribute("aria-busy", "true");
    try {
      const found = await (await ask("tree", { ...this.request, n_best: N_BEST }, signal)).json();
      if (!signal.aborted) this.drawTree(found);
    } catch (error) {
      if (!signal.aborted) complain(`Alternatives: ${error.message}`);
    } finally {
      if (!signal.aborted) more.removeAttribute("aria-busy");
    }
  }

  drawTree(found) {
    const { canopy, ranked } = this.ui, focused = canopy.contains(document.activeElement);
    const tree = make("div", { role: "tree", "aria-label": "Alternatives, token by token" });
    const lines = svg("svg", { "aria-hidden": "true" }), nodes = this.nodes = trie(found), middle = ROW / 2;
    for (const node of nodes) {
      const { path, parent } = node, name = named(node.piece), score = fixed(node.score);
      node.width = Math.max(lengthOf(name) * 15, lengthOf(score) * 12) + 18;
      node.x = parent ? parent.x + parent.width + 22 : 4;
      node.item = make("button", {
        type: "button", role: "treeitem", tabindex: -1, "aria-level": path.length, "aria-setsize": node.siblings,
        "aria-posinset": node.place, "aria-expanded": node.children.length ? "true" : null, "aria-label": `${name} ${score}`,
      }, make("bdi", { lang: this.model.target }, name), make("small", {}, score));
      Object.assign(node.item.style, { left: `${node.x}px`, top: `${node.row * ROW + 4}px`, width: `${node.width}px` });
      listen(node.item, { click: () => this.force(path) });
      tree.append(node.item);
      if (!parent) continue;
      const from = parent.x + parent.width, y = parent.row * ROW + middle, to = node.row * ROW + middle;
      svg("path", { d: `M${from},${y}C${node.x - 6},${y} ${from + 6},${to} ${node.x},${to}` }, lines);
    }
    const width = Math.max(...nodes.map(node => node.x + node.width)) + 4, height = ((nodes.at(-1)?.row ?? -1) + 1) * ROW;
    tree.style.height = `${height}px`;
    for (const [side, size] of Object.entries({ width, height })) lines.setAttribute(side, size);
    const start = JSON.stringify(this.prefix);
    const item = (nodes.find(({ path }) => JSON.stringify(path) === start) ?? nodes[0])?.item;
    item?.setAttribute("tabindex", 0);
    this.walkTree(tree);
    canopy.replaceChildren(...item ? [lines, tree] : []);
    canopy.scrollLeft = (nodes.find(node => node.children.length > 1)?.x ?? 0) - canopy.clientWidth / 3;
    if (focused) item?.focus();
    ranked.replaceChildren(...found.map(({ text, scores }) =>
      make("li", {}, make("bdi", {}, text || BLANK), make("span", { lang: "en" }, ` ${fixed(total(scores))}`))));
    this.markTree();
  }

  walkTree(tree) {
    const { nodes } = this;
    const beside = (at, rows) => {  // the nearest token of a row
      const far = node => Math.abs(node.x - nodes[at].x), row = nodes.filter(node => node.row === nodes[at].row + rows);
      return row.length ? nodes.indexOf(row.reduce((a, b) => far(b) < far(a) ? b : a)) : at;
    };
    rove(tree, "treeitem", {
      ArrowRight: at => nodes[at].children.length ? nodes.indexOf(nodes[at].children[0]) : at,
      ArrowLeft: at => Math.max(nodes.indexOf(nodes[at].parent), 0),
      ArrowDown: at => beside(at, 1), ArrowUp: at => beside(at, -1),
    });
  }

  markTree() {  // the nodes of the translation that is shown
    for (const node of this.nodes ?? []) {
      node.shown = node.parent?.shown !== false && this.steps[node.path.length - 1]?.token === node.piece;
      node.item.setAttribute("aria-current", String(node.shown));
    }
  }

  close() {
    this.stop?.abort();
    if (tour.panel === this) tour.close();
    this.element.remove();
  }
}

function outlines(windows, cell) {  // lines where a cell sees and its neighbour does not
  const span = window => window ? [window.first, window.last + 1] : [0, 0];
  const across = (y, from, to) => from < to ? `M${from * cell},${y * cell}H${to * cell}` : "";
  let path = "";
  for (let y = 0; y <= windows.length; y++) {
    const [a, b] = span(windows[y - 1]), [c, d] = span(windows[y]);
    const parts = Math.max(a, c) < Math.min(b, d) ? [[a, c], [c, a], [b, d], [d, b]] : [[a, b], [c, d]];
    path += parts.map(([from, to]) => across(y, from, to)).join("");
    if (windows[y]) path += `M${c * cell},${y * cell}v${cell}M${d * cell},${y * cell}v${cell}`;
  }
  return path;
}

function shared(weights, at, value) {  // one weight is set, the others keep their proportions
  const set = weights.length > 1 ? Math.min(1, Math.max(0, value)) : 1, others = total(weights) - weights[at];
  return weights.map((weight, i) => i === at ? set
    : Math.min(1, others > 1e-6 ? weight * (1 - set) / others : (1 - set) / (weights.length - 1)));
}

function trie(found) {  // its nodes, each after its parent; the first child stands in its parent's row
  const nodes = [], root = { path: [], children: [] };
  for (const { tokens, scores } of found) {
    let node = root;
    tokens.forEach((piece, n) => {
      let next = node.children.find(child => child.piece === piece);
      if (!next) node.children.push(next = { piece, score: scores[n], path: [...node.path, piece], children: [] });
      node = next;
    });
  }
  let row = 0;
  const walk = (node, parent) => node.children.forEach((child, n) => {
    if (n) row++;
    nodes.push(Object.assign(child, { parent, row, place: n + 1, siblings: node.children.length }));
    walk(child, child);
  });
  walk(root, null);
  return nodes;
}

// --- the tour: one step, with its numbers -----------------------------------------------------------------------

const say = (texts, ...values) => make("p", {}, ...texts.flatMap((text, n) => [text, values[n] ?? ""]).flat());
const strong = (...children) => make("b", {}, ...children);
const sub = (...children) => make("sub", {}, ...children);
const figure = value => value.toLocaleString("en", { maximumSignificantDigits: 3 }).replace("-", "\u2212");
const written = id => $(id)?.content.cloneNode(true) ?? "";  // equations and sentences that index.html has

function table(head, rows) {
  const row = (cells, name) => make("tr", {}, ...cells.map(cell => make(name, {}, cell)));
  return make("table", { class: "numbers" },
    make("thead", {}, row(head, "th")), make("tbody", {}, ...rows.map(cells => row(cells, "td"))));
}

const cards = {
  score({ t, word, energies, source, equations, place, order }) {
    const best = order.slice(0, 5);
    const scored = energies && table(["source token", "score e"], best.map(i => [source(i), fixed(energies[i])]));
    const formula = say`e${sub(`${t},i`)} = F(h${sub("i")}, q) = ${written(`score-${equations.score}`)}`;
    formula.className = "formula";
    return ["Score", say`Step ${t} wrote ${word()}. First the decoder gave each source token a score.`, formula,
      say`k is h${sub("i")}, the state of the ${equations.encoder} encoder at token i. ${written(`query-${place}`)}`,
      scored ?? written("score-unseen")];
  },

  weights({ t, step, energies, weights, source, equations, order }) {
    const told = ["Weights", written(`normaliser-${equations.normaliser}`)], { window } = step;
    const best = descending(weights).slice(0, 5);
    if (energies && equations.normaliser === "softmax") told.push(...worked({ energies, weights, source, equations, order }));
    else told.push(table(["source token", "weight \u03b1"], best.map(i => [source(i), percent(weights[i])])));
    if (!energies) told.push(written("score-unseen"));
    if (window) {
      told.push(say`Step ${t} sees only ${source(window.first)} to ${source(window.last)}, around p = ${fixed(window.centre)}.
        The first token is 0. ${written(`window-${equations.window}`)}`);
    }
    return told;
  },

  context({ t, weights, source, heads, head }) {
    const best = descending(weights).filter((i, n) => n < 3 && weights[i] >= 0.005);
    const rest = total(weights) - total(best.map(i => weights[i])), state = () => heads > 1 ? ["V", sub(head + 1), " h"] : ["h"];
    const terms = best.flatMap((i, n) => [n ? " + " : "", `${fixed(weights[i])} `, ...state(), sub(source(i))]);
    const sum = heads > 1 ? `head ${head + 1}: ` : ["a", sub(t), " = "];
    const formula = say`${sum}${terms}${rest > 0.005 ? ` + ${fixed(rest)} of the others` : ""}`;
    formula.className = "formula";
    return ["Context", written(heads > 1 ? "context-heads" : "context-one"), formula,
      say`The largest weights count most. Here the context is mostly the state of ${source(best[0])}.`];
  },

  none: () => ["No attention", written("place-bridge")],

  placement({ t, step, word, target, equations, place }) {
    const [first, second] = step.candidates, other = first[0] === step.token ? second : first;
    const told = other === first ? "The model\u2019s own choice was" : "The runner-up was";
    return ["Word", written(`place-${place}`),
      equations.decoder === "recurrent" && equations.cell ? say`RNN is ${equations.cell.toUpperCase()} here.` : "",
      say`Then the decoder gave every token of its vocabulary a probability. Step ${t} wrote ${word()} with
        ${strong(percent(likely(step.score)))}.`,
      other ? say`${told} ${target(other[0])} with ${percent(likely(other[1]))}.` : ""];
  },
};

function worked({ energies, weights, source, equations, order }) {  // the softmax, for the two largest scores
  const most = energies[order[0]], less = Math.abs(most) > 10 ? most : 0;
  const lowered = energies.map(energy => energy === null ? -Infinity : energy - less);
  const exp = lowered.map(Math.exp), sum = total(exp);
  const told = less ? [say`For short numbers, ${fixed(most)} is first taken from all scores. This changes no weight.`] : [];
  told.push(say`The exponentials of all scores add up to ${strong(figure(sum))}.`);
  return told.concat(order.slice(0, 2).map(i => {
    const part = exp[i] / sum, gain = `, times the gain ${figure(weights[i] / part)} = ${percent(weights[i])}`;
    return say`${source(i)}: exp(${fixed(lowered[i])}) / ${figure(sum)} = ${figure(exp[i])} / ${figure(sum)} =
      ${strong(percent(part))}${equations.window === "local_p" ? gain : ""}`;
  }));
}

const tour = {
  panel: null, at: 0,

  open(panel) {
    this.panel = panel;
    this.at = 0;
    $("tour").hidden = false;
    this.draw();
    $("tour-title").focus();
  },

  close() {
    const { panel } = this;
    this.panel = null;
    $("tour").hidden = true;
    panel?.ui.explain.focus();
  },

  move(by) {
    this.at += by;
    this.draw();
    $("said").textContent = $("tour-title").textContent;
    if (document.activeElement === document.body || document.activeElement.disabled) $("tour-title").focus();
  },

  draw() {
    const { model, source, steps, step: number, head: chosen } = this.panel, step = steps[number];
    if (!step) return;
    const { equations } = model, heads = step.weights?.length ?? 1, head = Number(chosen) || 0;
    const weights = step.weights?.[head], energies = step.energies?.[head];
    const scores = energies ?? weights ?? [];
    const order = descending(scores.map(value => value ?? -Infinity)).filter(i => scores[i] !== null);
    const name = (piece, lang) => strong(make("bdi", { lang }, named(piece))), target = piece => name(piece, model.target);
    const facts = {
      step, weights, energies, equations, heads, head, order, target, t: number + 1, word: () => target(step.token),
      source: i => name(source[i], model.source),
      place: equations.decoder === "recurrent" || equations.placement === "none" ? equations.placement : equations.decoder,
    };
    const shown = weights ? ["score", "weights", "context", "placement"] : ["none", "placement"];
    this.at = Math.min(this.at, shown.length - 1);
    const [title, ...content] = cards[shown[this.at]](facts);
    $("tour-title").textContent = `${this.at + 1} of ${shown.length}: ${title}`;
    const ofHead = heads > 1 ? `, head ${head + 1} of ${heads}` : "";
    $("tour-step").replaceChildren(`Step ${number + 1}, `, facts.word(), ofHead);
    $("tour-card").replaceChildren(...content);
    $("tour-back").disabled = this.at === 0;
    $("tour-next").disabled = this.at === shown.length - 1;
  },
};

// --- the page ---------------------------------------------------------------------------------------------------

function comparable() {  // what can stand beside the first model: [model, layer]
  const one = models[$("model").value];
  const others = models.filter(model => model !== one && model.source === one.source && model.target === one.target);
  const layers = Array.from({ length: one.layers }, (_, n) => n + 1).filter(layer => layer !== one.layer);
  return [...others.map(model => [model, null]), ...one.attends ? layers.map(layer => [one, layer]) : []];
}

function arrange() {  // the panels for the chosen models; a sentence stays where its language does
  const one = models[$("model").value], second = comparable()[$("compare").value], text = panels[0]?.q;
  const stays = panels[0]?.model.source === one.source;
  const first = panels[0]?.model === one ? panels.shift() : new Panel(one);
  panels.splice(0).forEach(panel => panel.close());
  panels.push(first, ...second ? [new Panel(...second)] : []);
  $("panels").replaceChildren(...panels.map(panel => panel.element));
  $("text").lang = one.source;
  for (const panel of panels) if (panel.q) panel.refresh(); else if (text && stays) panel.begin(text);
}

function chooseModel() {
  const pairs = comparable();
  const options = pairs.map(([model, layer], n) => [n, layer ? `${model.name}, layer ${layer}` : model.name]);
  offer($("compare"), [["", "nothing"], ...options], "");
  $("compare-label").hidden = !pairs.length;
  arrange();
}

function translate() {
  const text = $("text").value.trim();
  if (text) return panels.forEach(panel => panel.begin(text));
  complain("Type a sentence first.");
  $("text").focus();
}

function paint(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").setAttribute("aria-pressed", String(theme === "dark"));
}

function remembered(theme) {  // storage may be forbidden
  try {
    if (theme) localStorage.setItem("theme", theme);
    return localStorage.getItem("theme");
  } catch {
    return theme;
  }
}

const system = matchMedia("(prefers-color-scheme: dark)");
const preferred = () => remembered() ?? (system.matches ? "dark" : "light");
paint(preferred());
system.addEventListener("change", () => paint(preferred()));
listen($("theme"), {
  click: () => {
    paint(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    remembered(document.documentElement.dataset.theme);
  },
});
listen($("ask"), {
  submit: event => {
    event.preventDefault();
    translate();
  },
});
listen($("text"), {
  keydown: event => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;  // of an input method
    event.preventDefault();
    translate();
  },
});
listen($("model"), { change: chooseModel });
listen($("compare"), { change: arrange });
listen($("tour-back"), { click: () => tour.move(-1) });
listen($("tour-next"), { click: () => tour.move(1) });
listen($("tour-close"), { click: () => tour.close() });
listen($("tour"), { keydown: event => event.key === "Escape" && tour.close() });

try {
  const [listed, settings] = await Promise.all(["models", "frontend/settings"].map(async path => (await ask(path)).json()));
  models = listed;
  $("key-label").hidden = !settings.keyRequired;
  const fullName = ({ name, source, target }) => `${name} (${languageName(source)} to ${languageName(target)})`;
  offer($("model"), models.map((model, n) => [n, fullName(model)]), 0);
  chooseModel();
} catch (error) {
  complain(error.message);
}
