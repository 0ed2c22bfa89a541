// The page of `seq2seq serve`: translations as they are made, and what the model attends to.

const END = "</s>", FEW = 0.05, N_BEST = 5;
const FAINT = 0.5 / 255, GAP = 10, SCORES = 90, CELLS = [24, 21, 18, 16, 14];
const RTL = /^(ar|arc|ckb|dv|fa|he|iw|ks|ps|sd|syr|ug|ur|yi)\b/;
const BLANK = "(blank translation)";

const $ = id => document.getElementById(id);
const panels = [];
let models = [];

// --- elements and texts -----------------------------------------------------------------------------------------

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value !== undefined && value !== null) element.setAttribute(key, value);
  }
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

function offer(select, options, value) {
  select.replaceChildren(...options.map(([key, text]) => make("option", { value: key }, text)));
  select.value = value;
}

function complain(text) {
  $("alert").textContent = text;
}

const named = piece => piece === END ? "end" : piece.replaceAll("\u2581", " ").trim() || "\u00b7";
const joined = pieces => pieces.filter(piece => piece !== END).join("").replaceAll("\u2581", " ").trim();
const fixed = value => value.toFixed(2).replace("-", "\u2212");
const direction = language => RTL.test(language) ? "rtl" : "ltr";
const largest = values => values.reduce((best, value, i) => value > (values[best] ?? -Infinity) ? i : best, 0);
const descending = values => [...values.keys()].sort((a, b) => values[b] - values[a]);
const mean = rows => rows[0].map((_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length);
const total = values => values.reduce((sum, value) => sum + value, 0);
const upright = text => /^[\u1100-\u115f\u2e80-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]+$/u.test(text);

function percent(part) {
  return `${(100 * part).toFixed(part > 0 && part < 0.0995 ? 1 : 0)}\u00a0%`;
}

function likely(logarithm) {  // null stands for minus infinity
  return logarithm === null ? 0 : Math.exp(logarithm);
}

function languageName(code) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(code);
  } catch {
    return code;
  }
}

const ruler = document.createElement("canvas").getContext("2d");
const lengths = new Map();

function lengthOf(text) {  // at 1 pixel
  if (!lengths.has(text)) {
    ruler.font = "100px system-ui, sans-serif";
    lengths.set(text, ruler.measureText(text).width / 100);
  }
  return lengths.get(text);
}

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
      const fields = part.split("\n").map(line => /^(\w+): ?(.*)$/.exec(line)).filter(Boolean);
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
    this.element.setAttribute("aria-label", `Translation by ${model.name}`);
    ui.title.textContent = `${model.name}: ${languageName(model.source)} to ${languageName(model.target)}`;
    for (const part of [ui.text, ui.plain, ui.ranked]) part.lang = model.target;
    offer(ui.layers, Array.from({ length: model.layers }, (_, n) => [n + 1, n + 1]), this.layer);
    ui.layersLabel.hidden = model.layers < 2;
    ui.kindsLabel.hidden = !model.attends || model.members > 1;
    ui.edit.hidden = !model.editable;
    this.listen("change", {
      heads: () => { this.head = ui.heads.value; this.refresh(); },
      layers: () => { this.layer = Number(ui.layers.value); this.run(); },
      kinds: () => { this.kind = ui.kinds.value; this.kind === "posterior" && !this.posterior ? this.run() : this.refresh(); },
    });
    this.listen("click", {
      more: () => this.toggleTree(), undo: () => this.reset(), edit: () => this.toggleEdit(),
      explain: () => tour.open(this), heat: event => this.choose(this.cellAt(event)),
    });
    this.listen("pointermove", { heat: event => this.point(this.cellAt(event)) });
    this.listen("pointerleave", { heat: () => this.point(null) });
    this.prepareTokens(ui.sources, "source", model.source);
    this.prepareTokens(ui.targets, "target", model.target);
    rove(ui.sliders, "slider", { ArrowRight: at => at + 1, ArrowLeft: at => at - 1, Home: at => at, End: at => at });
    new ResizeObserver(() => this.refresh()).observe(ui.figure);
  }

  listen(type, actions) {
    for (const [part, action] of Object.entries(actions)) this.ui[part].addEventListener(type, action);
  }

  prepareTokens(list, side, language) {
    list.lang = language;
    list.dir = direction(language);
    const at = event => {
      const token = event.target.closest(".token");
      return token && { side, at: [...list.children].indexOf(token) };
    };
    list.addEventListener("focusin", event => this.choose(at(event)));
    list.addEventListener("click", event => event.target.closest(".token")?.focus());
    list.addEventListener("pointerover", event => this.point(at(event)));
    list.addEventListener("pointerleave", () => this.point(null));
    const onwards = list.dir === "rtl" ? -1 : 1;
    rove(list, "option", { ArrowRight: at => at + onwards, ArrowLeft: at => at - onwards });
  }

  // --- asking

  begin(text) {
    this.forget();
    this.q = text;
    this.ui.sources.replaceChildren();
    this.ui.targets.replaceChildren();
    this.ui.detail.hidden = true;
    return this.run();
  }

  async run() {
    if (this.q === undefined) return;
    this.stop?.abort();
    const { signal } = this.stop = new AbortController();
    complain("");
    this.element.setAttribute("aria-busy", "true");
    if (!this.ui.forest.hidden) this.grow(signal);
    try {
      const { name, source, target, layers } = this.model;
      const asked = {
        q: this.q, source, target, model: name, prefix: this.prefix, edits: Object.fromEntries(this.edits),
        layer: layers > 1 ? this.layer : null, posterior: this.kind === "posterior" && !this.edits.size, api_key: $("key").value,
      };
      const response = await ask("watch", asked, signal);
      this.steps = [];
      this.end = this.posterior = null;
      for (const token of this.ui.targets.children) token.classList.add("stale");
      for await (const [kind, told] of events(response)) {
        if (signal.aborted) return;
        this.hear(kind, told);
      }
      if (!this.end) throw new Refused("The connection broke before the translation ended.");
    } catch (error) {
      if (signal.aborted) return;
      complain(error instanceof Refused ? (panels.length > 1 ? `${this.title.textContent}: ` : "") + error.message : `${error}`);
    } finally {
      if (this.stop.signal === signal) {
        this.element.removeAttribute("aria-busy");
        this.trim();
      }
    }
  }

  hear(kind, told) {
    if (kind === "error") throw new Refused(told.error);
    if (kind === "source") {
      this.source = told.tokens;
      this.sourceWords = told.words;
      told.tokens.forEach((token, at) => this.place(this.ui.sources, at, token));
      this.ui.content.hidden = false;
    } else if (kind === "step") {
      this.steps.push(told);
      this.place(this.ui.targets, told.number, told.token);
    } else if (kind === "end") {
      this.end = told;
      this.trim();
      $("said").textContent = `${panels.length > 1 ? `${this.model.name}: ` : ""}${told.text || BLANK}`;
      panels.forEach(panel => panel.refresh());
    } else if (kind === "posterior") {
      this.posterior = told.weights;
    }
    this.refresh();
  }

  place(list, at, piece) {  // tokens stay where they are, so that the focus does too
    const token = list.children[at] ?? list.appendChild(make("div", { class: "token", role: "option", tabindex: at ? -1 : 0 }));
    token.textContent = named(piece);
    token.classList.remove("stale");
    token.classList.toggle("begins", piece.startsWith("\u2581") || piece === END);
    token.classList.toggle("special", piece === END);
    list.hidden = false;
  }

  trim() {  // what the last translation had more
    while (this.ui.targets.children.length > this.steps.length) this.ui.targets.lastChild.remove();
    this.ui.targets.hidden = !this.steps.length;
    if (this.step >= this.steps.length) this.step = Math.max(0, this.steps.length - 1);
    if (this.chosen.side === "target") this.chosen.at = Math.min(this.chosen.at, this.step);
    if (![...this.ui.targets.children].some(token => token.tabIndex === 0)) this.ui.targets.firstChild?.setAttribute("tabindex", 0);
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
    const focus = this.ui.undo === document.activeElement;
    this.prefix = [];
    this.edits.clear();
    this.base = null;
    if (focus) this.ui.more.focus();  // Reset is about to go
    return this.run();
  }

  show(kind) {
    this.kind = kind;
    return kind === "posterior" && !this.posterior ? this.run() : this.refresh();
  }

  // --- drawing

  refresh() {  // once a frame, however many events there are
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.draw();
    });
  }

  get posteriorShown() {
    return this.kind === "posterior" && this.posterior !== null;
  }

  draw() {
    const { model, steps } = this, heads = steps[0]?.weights?.length ?? 1;
    if (this.ui.heads.length !== heads + 1) {
      if (this.head >= heads) this.head = "mean";
      offer(this.ui.heads, [["mean", "mean"], ...Array.from({ length: heads }, (_, n) => [n, `head ${n + 1}`])], this.head);
    }
    this.headsLabel.hidden = heads < 2;
    this.ui.heads.disabled = this.posteriorShown;
    this.ui.kinds.disabled = this.edits.size > 0;
    this.matrix = steps.map(({ weights }, t) => {
      if (!weights) return null;
      if (this.posteriorShown && this.posterior[t]) return this.posterior[t];
      return this.head === "mean" ? mean(weights) : weights[this.head];
    });
    this.attended = this.matrix.some(Boolean);
    const peer = panels.find(panel => panel !== this)?.end, other = this.base ?? peer;
    this.differs = this.end && other ? differing(this.end, other) : new Set();
    this.ui.undo.hidden = !this.edits.size && !this.prefix.length;
    this.ui.text.textContent = this.end ? this.end.text || BLANK : joined(steps.map(step => step.token));
    this.ui.text.classList.toggle("blank", this.end !== null && !this.end.text);
    this.ui.before.replaceChildren(...this.base ? ["Without your edits: ", make("bdi", { lang: model.target }, this.base.text || BLANK)] : []);
    this.ui.facts.textContent = this.end ? `${this.end.tokens.length} tokens, log-probability ${fixed(this.end.score)}` : "";
    this.note.textContent = this.legend().join(" ");
    this.describeTokens();
    this.drawHeat();
    this.drawStep();
    this.light();
    if (tour.panel === this) tour.draw();
  }

  legend() {
    const told = [];
    if (!this.model.attends) {
      told.push("This model has no attention. It reads the whole sentence into one vector, so there are no weights to show.");
    } else if (this.steps.length && !this.attended) told.push("The model gives no weights for this translation.");
    if (this.differs.size) told.push(`Dashed underline: ${this.base ? "changed by your edits" : "differs from the other translation"}.`);
    if (this.steps.some((_, at) => this.isForced(at))) told.push("\u25bc: your choice, not the model\u2019s first.");
    if (this.edits.size) told.push("\u270e: a step whose attention you set. Posterior attention is for unedited translations.");
    if (this.posteriorShown && this.steps[0]?.weights?.length > 1) told.push("Posterior attention is one for all heads.");
    if (this.steps.some(step => step.window)) told.push("Orange: the window of source tokens that a step sees, with its centre.");
    return told;
  }

  isForced(at) {
    return at < this.prefix.length && at < this.steps.length && this.steps[at].token !== this.steps[at].candidates[0][0];
  }

  describeTokens() {
    const sources = this.source.map(named), targets = this.steps.map(step => named(step.token));
    targets.forEach((name, t) => {
      const token = this.ui.targets.children[t], row = this.matrix[t], facts = [name];
      if (row) facts.push(`attends mostly to ${sources[largest(row)]} ${percent(Math.max(...row))}`);
      const marks = { differs: this.differs.has(t), forced: this.isForced(t), edited: this.edits.has(t) };
      for (const [mark, is] of Object.entries(marks)) {
        token.classList.toggle(mark, is);
        if (is) facts.push(mark === "forced" ? "your choice" : mark);
      }
      token.setAttribute("aria-label", facts.join(", "));
    });
    sources.forEach((name, i) => {
      const column = this.matrix.map(row => row?.[i] ?? 0), best = largest(column), facts = [name];
      if (column[best] > 0) facts.push(`attended mostly by ${targets[best]} ${percent(column[best])}`);
      this.ui.sources.children[i].setAttribute("aria-label", facts.join(", "));
    });
  }

  choose(place) {
    if (!place) return;
    this.chosen = { side: place.side, at: place.at };
    if (place.side === "target" && place.at < this.steps.length) this.step = place.at;
    if (tour.panel && tour.panel !== this) tour.panel = this;
    this.drawStep();
    this.light();
    if (tour.panel) tour.draw();
  }

  point(place) {
    if (this.here?.side === place?.side && this.here?.at === place?.at && this.here?.column === place?.column) return;
    this.here = place;
    this.light();
  }

  light() {  // what goes with the token under the pointer, or else with the chosen one
    const active = this.here ?? this.chosen, ofTarget = active.side === "target";
    const { window } = ofTarget && this.steps[active.at] || {};
    [...this.ui.sources.children].forEach((token, i) => {
      const weight = ofTarget ? this.matrix[active.at]?.[i] ?? 0 : Number(i === active.at);
      token.style.setProperty("--weight", weight);
      token.setAttribute("aria-selected", String(this.chosen.side === "source" && this.chosen.at === i));
      token.classList.toggle("inside", Boolean(window) && window.first <= i && i <= window.last);
      token.classList.toggle("centre", Boolean(window) && Math.round(window.centre) === i);
    });
    [...this.ui.targets.children].forEach((token, t) => {
      const weight = ofTarget ? Number(t === active.at) : this.matrix[t]?.[active.at] ?? 0;
      token.style.setProperty("--weight", weight);
      token.setAttribute("aria-selected", String(this.chosen.side === "target" && this.chosen.at === t));
    });
    this.drawLinks(active);
    this.drawCross(active);
  }

  drawLinks(active) {
    const ends = [this.ui.sources, this.ui.targets].map(list => [...list.children].map(token => ({
      x: list.offsetLeft + token.offsetLeft + token.offsetWidth / 2,
      y: list.offsetTop + token.offsetTop + (list === this.ui.sources ? token.offsetHeight : 0),
    })));
    const oneLine = list => list.firstChild?.offsetTop === list.lastChild?.offsetTop;
    const all = oneLine(this.ui.sources) && oneLine(this.ui.targets);  // in several lines, all lines would be a tangle
    const [faint, strong] = [[], []];
    this.matrix.forEach((row, t) => row?.forEach((weight, i) => {
      const chosen = active.at === (active.side === "target" ? t : i);
      if (weight <= FEW || !(all || chosen) || !ends[0][i] || !ends[1][t]) return;
      const { x, y } = ends[0][i], to = ends[1][t], middle = (y + to.y) / 2;
      const d = `M${x},${y}C${x},${middle} ${to.x},${middle} ${to.x},${to.y}`;
      (chosen ? strong : faint).push(svg("path", {
        d, class: chosen ? "strong" : "", "stroke-opacity": (chosen ? 0.15 + 0.85 * weight : 0.5 * weight).toFixed(3),
      }));
    }));
    this.ui.links.replaceChildren(...faint, ...strong);
  }

  // --- the heat map, as in the pages of `translate`

  drawHeat() {
    this.ui.map.hidden = !this.attended;
    if (!this.attended) return;
    const { source, steps, matrix } = this, t = steps.length, s = source.length;
    const rows = steps.map(step => named(step.token)), columns = source.map(named);
    const room = this.element.clientWidth, most = longest(rows);
    const fits = cell => Math.max(s, t) * cell <= 1100 && most * cell * 0.75 + s * cell + SCORES + 20 <= room;
    const cell = CELLS.find(fits) ?? CELLS.at(-1), type = Math.min(13, cell * 0.75);
    const left = most * type + 12, top = longest(columns) * type + 14;
    const width = left + s * cell + SCORES, height = top + t * cell + 4;
    const root = svg("svg", {
      width, height, role: "img", "aria-label": `${t} target tokens in rows, ${s} source tokens in columns. The lists of tokens tell their weights.`,
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
      const shade = Math.max(1, Math.round(weight * 128)) / 128;
      shades.set(shade, (shades.get(shade) ?? "") + `M${i * cell + 0.5},${j * cell + 0.5}h${cell - 1}v${cell - 1}h${1 - cell}z`);
    }));
    const cells = svg("g", { class: "weights" }, panel);
    shades.forEach((path, shade) => svg("path", { d: path, "fill-opacity": shade }, cells));
    svg("rect", { class: "frame", width: s * cell, height: t * cell }, panel);
    svg("path", { class: "window", d: outlines(steps, cell) }, panel);
    steps.forEach(({ window }, j) => window && svg("circle", {
      class: "centre", cx: (window.centre + 0.5) * cell, cy: (j + 0.5) * cell, r: cell / 6,
    }, panel));
    const right = left + s * cell + 10;
    svg("text", { class: "small", x: right, y: top - 6 }, root, "log p");
    steps.forEach(({ score }, j) => {
      const y = top + (j + 0.5) * cell;
      svg("rect", { class: "bars", x: right, y: y - 3, width: Math.max(Math.min(-(score ?? -5), 5) * 8, 0), height: 6 }, root);
      svg("text", { class: "small", x: right + 44, y, "dominant-baseline": "central" }, root, score === null ? "\u2212\u221e" : fixed(score));
    });
    this.over = svg("g", { class: "here" }, root);
    this.view = { cell, left, top, width, t, s };
    this.ui.heat.replaceChildren(root);
  }

  cellAt(event) {
    const { cell, left, top, t, s } = this.view, corner = this.ui.heat.firstChild.getBoundingClientRect();
    const at = Math.floor((event.clientY - corner.top - top) / cell);
    const column = Math.floor((event.clientX - corner.left - left) / cell);
    if (at >= t) return null;
    if (at < 0) return column >= 0 && column < s ? { side: "source", at: column } : null;
    return { side: "target", at, column: column >= 0 && column < s ? column : null };
  }

  drawCross({ side, at, column }) {
    if (!this.attended || !this.view) return;
    const { cell, left, top, width, t } = this.view;
    this.under.replaceChildren();
    this.over.replaceChildren();
    this.ui.readout.textContent = "";
    if (side === "source") {
      svg("rect", { class: "row", x: left + at * cell, y: 0, width: cell, height: top + t * cell }, this.under);
      return;
    }
    svg("rect", { class: "row", x: 0, y: top + at * cell, width, height: cell }, this.under);
    if (column === undefined || column === null || !this.matrix[at]) return;
    svg("rect", { x: left + column * cell, y: top + at * cell, width: cell, height: cell }, this.over);
    this.ui.readout.append(make("bdi", {}, named(this.steps[at].token)), " \u2190 ", make("bdi", {}, named(this.source[column])),
      ` ${this.matrix[at][column].toFixed(3)}`);
  }

  // --- the chosen step

  drawStep() {
    const step = this.steps[this.step];
    if (!step) return;  // it comes: until then the old one keeps the focus
    this.ui.detail.hidden = false;
    const row = this.matrix[this.step], { target } = this.model;
    if (this.drawn?.step !== step || this.drawn.row !== row) {
      this.drawn = { step, row };
      this.ui.stepTitle.replaceChildren(`Step ${this.step + 1}: `, make("bdi", { lang: target }, named(step.token)));
      this.ui.stepFacts.replaceChildren(...this.factsOf(step, row));
      this.ui.candidates.replaceChildren(...step.candidates.map(([piece, score]) => {
        const button = make("button", {
          type: "button", "aria-current": piece === step.token ? "true" : null,
          click: () => {
            this.ui.targets.children[step.number]?.focus();
            this.force([...this.begun(step.number), piece]);
          },
        }, make("bdi", { lang: target }, named(piece)), ` ${percent(likely(score))}`);
        button.style.setProperty("--weight", likely(score));
        return make("li", {}, button);
      }));
    }
    this.ui.edit.disabled = !step.weights;
    this.drawSliders();
  }

  factsOf(step, row) {
    const name = i => make("bdi", { lang: this.model.source }, named(this.source[i]));
    const told = [`Probability ${percent(likely(step.score))}.`];
    if (row) {
      told.push(" Attends to ");
      const best = descending(row).filter((i, n) => n < 4 && row[i] >= 0.01);
      best.forEach((i, n) => told.push(n ? ", " : "", name(i), ` ${percent(row[i])}`));
      told.push(".");
    }
    if (step.window) told.push(" Window: ", name(step.window.first), " to ", name(step.window.last), `, centre ${step.window.centre.toFixed(1)}.`);
    return told;
  }

  toggleEdit() {
    this.editing = !this.editing;
    this.ui.edit.setAttribute("aria-expanded", String(this.editing));
    this.drawStep();
  }

  drawSliders() {
    const number = this.step, { weights } = this.steps[number];
    this.ui.editor.hidden = !this.editing || !weights;
    if (this.ui.editor.hidden || this.dragging) return;
    const sum = total(mean(weights)) || 1;
    this.bars = [...this.edits.get(number) ?? mean(weights).map(weight => Math.min(1, weight / sum))];
    const key = JSON.stringify([number, this.source]);
    if (this.ui.sliders.dataset.key !== key) {  // else they keep the focus
      this.ui.sliders.dataset.key = key;
      this.ui.sliders.setAttribute("aria-label", `Attention of step ${number + 1}`);
      this.ui.sliders.replaceChildren(...this.source.map((piece, i) => this.slider(piece, i)));
    }
    this.showBars();
  }

  slider(piece, i) {
    const bar = make("div", {
      class: "slider", role: "slider", tabindex: i ? -1 : 0, "aria-label": named(piece), "aria-orientation": "vertical",
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
    const drop = event => {
      if (this.dragging !== bar) return;
      this.dragging = null;
      if (event.type === "pointerup") this.commit();
      else this.drawSliders();
    };
    bar.addEventListener("pointerdown", event => {
      event.preventDefault();
      bar.focus();
      bar.setPointerCapture(event.pointerId);
      this.dragging = bar;
      follow(event);
    });
    bar.addEventListener("pointermove", event => this.dragging === bar && follow(event));
    bar.addEventListener("pointerup", drop);
    bar.addEventListener("pointercancel", drop);
    bar.addEventListener("keydown", event => {
      const value = {
        ArrowUp: this.bars[i] + 0.05, ArrowDown: this.bars[i] - 0.05, PageUp: this.bars[i] + 0.2, PageDown: this.bars[i] - 0.2,
        Home: 0, End: 1,
      }[event.key];
      if (value === undefined) return;
      event.preventDefault();
      set(value);
      clearTimeout(this.settling);  // a key that is held down asks the server once
      this.settling = setTimeout(() => this.commit(), 400);
    });
    return make("div", {}, make("small", { "aria-hidden": "true" }), bar,
      make("bdi", { lang: this.model.source, "aria-hidden": "true" }, named(piece)));
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
    this.base ??= this.end;
    this.prefix = this.begun(number);
    this.edits.set(number, this.bars);
    return this.run();
  }

  // --- the tree of alternatives

  toggleTree() {
    this.ui.forest.hidden = !this.ui.forest.hidden;
    this.ui.more.setAttribute("aria-expanded", String(!this.ui.forest.hidden));
    if (!this.ui.forest.hidden) this.grow(this.stop.signal);
  }

  async grow(signal) {
    const { name, source, target } = this.model;
    this.ui.more.setAttribute("aria-busy", "true");
    try {
      const asked = { q: this.q, source, target, model: name, prefix: this.prefix, n_best: N_BEST, api_key: $("key").value };
      const found = await (await ask("tree", asked, signal)).json();
      if (!signal.aborted) this.drawTree(found);
    } catch (error) {
      if (!signal.aborted) complain(`Alternatives: ${error.message}`);
    } finally {
      this.ui.more.removeAttribute("aria-busy");
    }
  }

  drawTree(found) {
    const { target } = this.model, nodes = [], focused = this.ui.canopy.contains(document.activeElement);
    const height = 52, gap = 22, tree = make("div", { role: "tree", "aria-label": "Alternatives, token by token" });
    const lines = svg("svg", { "aria-hidden": "true" });
    let rows = 0, width = 0;
    const draw = (node, x) => {  // the best goes straight on, the others below
      if (node.piece !== undefined) {
        const score = node.score === null ? "" : fixed(node.score);
        node.row = rows;
        node.x = x;
        node.width = Math.max(lengthOf(named(node.piece)) * 15, lengthOf(score) * 12) + 18;
        const siblings = node.parent.children;
        node.item = make("div", {
          role: "treeitem", tabindex: -1, "aria-level": node.path.length, "aria-setsize": siblings.length,
          "aria-posinset": siblings.indexOf(node) + 1, "aria-label": `${named(node.piece)} ${score}`,
          "aria-expanded": node.children.length ? "true" : null, "aria-selected": "false", click: () => this.force(node.path),
        }, make("bdi", { lang: target }, named(node.piece)), make("small", {}, score));
        Object.assign(node.item.style, { left: `${x}px`, top: `${node.row * height + 4}px`, width: `${node.width}px` });
        nodes.push(node);
        x += node.width + gap;
        width = Math.max(width, x);
      }
      node.children.forEach((child, n) => {
        if (n) rows++;
        draw(child, x);
        const y = child.row * height + 24, end = node.item ? x - gap : null;
        if (end !== null) svg("path", { d: `M${end},${node.row * height + 24}C${x - 6},${node.row * height + 24} ${end + 6},${y} ${x},${y}` }, lines);
      });
    };
    draw(trie(found), 4);
    tree.append(...nodes.map(node => node.item));
    tree.style.height = `${(rows + 1) * height}px`;
    for (const [side, size] of [["width", width], ["height", (rows + 1) * height]]) lines.setAttribute(side, size);
    this.nodes = nodes;
    const place = nodes.findIndex(node => node.path.length === this.prefix.length && node.path.every((piece, n) => piece === this.prefix[n]));
    const current = nodes[Math.max(place, 0)]?.item;
    current?.setAttribute("tabindex", 0);
    this.walkTree(tree);
    this.ui.canopy.replaceChildren(lines, tree);
    if (focused) current?.focus();
    this.ui.ranked.replaceChildren(...found.map(({ text, scores }) => make("li", {},
      make("bdi", {}, text || BLANK), make("span", { lang: "en" }, ` ${fixed(total(scores))}`))));
    this.treeNote.textContent = "The numbers are log-probabilities. Choose a token to go on from there."
      + (this.edits.size ? " The alternatives are those without your edits." : "");
  }

  walkTree(tree) {
    const { nodes } = this;
    const near = (at, rows) => {  // in the next row that has tokens, the nearest
      const there = nodes.filter(node => node.row === nodes[at].row + rows);
      const [best] = there.sort((a, b) => Math.abs(a.x - nodes[at].x) - Math.abs(b.x - nodes[at].x));
      return best ? nodes.indexOf(best) : at;
    };
    rove(tree, "treeitem", {
      ArrowRight: at => nodes[at].children.length ? nodes.indexOf(nodes[at].children[0]) : at,
      ArrowLeft: at => Math.max(nodes.indexOf(nodes[at].parent), 0),
      ArrowDown: at => near(at, 1), ArrowUp: at => near(at, -1),
    });
    tree.addEventListener("keydown", event => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.target.click();
    });
  }

  close() {
    this.stop?.abort();
    if (tour.panel === this) tour.close();
    this.element.remove();
  }
}

function outlines(steps, cell) {  // of neighbouring rows together: between two rows, where one sees and the other does not
  let path = "";
  steps.forEach(({ window }, j) => {
    if (!window) return;
    const side = [window.first, window.last + 1], at = y => y * cell;
    path += side.map(x => `M${x * cell},${at(j)}v${cell}`).join("");
    const edge = (other, y) => {
      const [a, b, c, d] = [...side, ...other].sort((x, z) => x - z);
      return other[0] >= side[1] || other[1] <= side[0] ? `M${at(side[0])},${at(y)}H${at(side[1])}`
        : `M${at(a)},${at(y)}H${at(b)}M${at(c)},${at(y)}H${at(d)}`;
    };
    const span = step => step?.window ? [step.window.first, step.window.last + 1] : [0, 0];
    path += edge(span(steps[j - 1]), j) + (steps[j + 1]?.window ? "" : edge([0, 0], j + 1));
  });
  return path;
}

function shared(weights, at, value) {  // one weight is set, the others keep their proportions
  const set = weights.length > 1 ? Math.min(1, Math.max(0, value)) : 1, others = total(weights) - weights[at];
  return weights.map((weight, i) => i === at ? set
    : Math.min(1, Math.max(0, others > 1e-6 ? weight * (1 - set) / others : (1 - set) / (weights.length - 1))));
}

function trie(found) {
  const root = { path: [], children: [] };
  for (const { tokens, scores } of found) {
    let node = root;
    tokens.forEach((piece, n) => {
      let next = node.children.find(child => child.piece === piece);
      if (!next) node.children.push(next = { piece, score: scores[n], path: [...node.path, piece], parent: node, children: [] });
      node = next;
    });
  }
  return root;
}

// --- the tour: one step, with its numbers -----------------------------------------------------------------------

const part = (name, ...children) => make(name, {}, ...children);
const figure = value => value.toLocaleString("en", { maximumSignificantDigits: 3 }).replace("-", "\u2212");
const written = id => $(id)?.content.cloneNode(true) ?? "";  // equations and sentences that index.html has

function table(head, rows) {
  const row = (cells, name) => part("tr", ...cells.map(cell => part(name, cell)));
  return make("table", { class: "numbers" }, part("thead", row(head, "th")), part("tbody", ...rows.map(cells => row(cells, "td"))));
}

const cards = {
  score({ t, word, energies, source, equations, place, order }) {
    return ["Score", part("p", "Step ", t, " wrote ", word(), ". First the decoder gave each source token a score."),
      make("p", { class: "formula" }, "e", part("sub", `${t},i`), " = F(h", part("sub", "i"), ", q) = ", written(`score-${equations.score}`)),
      part("p", "k is h", part("sub", "i"), `, the state of the ${equations.encoder} encoder at token i. `, written(`query-${place}`)),
      energies ? table(["source token", "score e"], order.slice(0, 5).map(i => [source(i), figure(energies[i])]))
        : written("score-unseen")];
  },

  weights({ t, step, energies, weights, source, equations, order }) {
    const told = ["Weights", written(`normaliser-${equations.normaliser}`)], { window } = step;
    if (energies && equations.normaliser === "softmax") {
      const seen = energies.filter(energy => energy !== null), most = Math.max(...seen), less = Math.abs(most) > 10 ? most : 0;
      const exp = i => Math.exp(energies[i] - less), sum = total(seen.map(energy => Math.exp(energy - less)));
      if (less) told.push(part("p", `For short numbers, ${figure(most)} is first taken from all scores. This changes no weight.`));
      told.push(part("p", "The exponentials of all scores add up to ", part("b", figure(sum)), "."));
      told.push(...order.slice(0, 2).map(i => part("p", source(i), ": exp(", figure(energies[i] - less), `) / ${figure(sum)} = `,
        `${figure(exp(i))} / ${figure(sum)} = `, part("b", percent(exp(i) / sum)),
        equations.window === "local_p" ? `, times the gain ${figure(weights[i] * sum / exp(i))} = ${percent(weights[i])}` : "")));
    } else {
      told.push(table(["source token", "weight \u03b1"], descending(weights).slice(0, 5).map(i => [source(i), percent(weights[i])])));
      if (!energies) told.push(written("score-unseen"));
    }
    if (window) {
      told.push(part("p", `Step ${t} sees only `, source(window.first), " to ", source(window.last), `, around p = ${figure(window.centre)} (the first token is 0). `,
        written(`window-${equations.window}`)));
    }
    return told;
  },

  context({ t, weights, source, heads, head }) {
    const best = descending(weights).filter((i, n) => n < 3 && weights[i] >= 0.005), rest = total(weights) - total(best.map(i => weights[i]));
    const terms = best.flatMap((i, n) => [n ? " + " : "", fixed(weights[i]), heads > 1 ? " V" : " h", part("sub", heads > 1 ? `${head + 1}` : source(i)),
      ...heads > 1 ? [" h", part("sub", source(i))] : []]);
    return ["Context", written(heads > 1 ? "context-heads" : "context-one"),
      make("p", { class: "formula" }, heads > 1 ? `head ${head + 1}: ` : part("span", "a", part("sub", t), " = "), ...terms, rest > 0.005 ? ` + ${fixed(rest)} of the others` : ""),
      part("p", "The largest weights count most: the context is mostly the state of ", source(best[0]), ".")];
  },

  none() {
    return ["No attention", written("place-bridge")];
  },

  placement({ t, step, word, target, equations, place }) {
    const [first, second] = step.candidates, other = first[0] === step.token ? second : first;
    return ["Word", written(`place-${place}`), equations.decoder === "recurrent" ? part("p", `RNN is ${equations.cell?.toUpperCase()} here.`) : "",
      part("p", `Then the decoder gives every token of its vocabulary a probability. Step ${t} wrote `, word(), " with ",
        part("b", percent(likely(step.score))), ". ",
        ...other ? [other === first ? "The model\u2019s own choice was " : "The runner-up was ", target(other[0]), ` with ${percent(likely(other[1]))}.`] : [])];
  },
};

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
    $("tour-title").focus();
  },

  draw() {
    const { panel } = this, { model } = panel, step = panel.steps[panel.step];
    if (!step) return;
    const { equations } = model, heads = step.weights?.length ?? 1, head = Number(panel.head) || 0;
    const weights = step.weights?.[head], energies = step.energies?.[head];
    const name = (piece, lang) => make("bdi", { lang }, named(piece));
    const finite = energies?.map(energy => energy ?? -Infinity);
    const facts = {
      step, weights, energies, equations, heads, head, t: step.number + 1, order: descending(finite ?? weights ?? []).filter(i => !finite || finite[i] > -Infinity),
      source: i => name(panel.source[i], model.source), target: piece => part("b", name(piece, model.target)),
      word: () => facts.target(step.token),
      place: equations.placement === "none" || equations.decoder === "recurrent" ? equations.placement : equations.decoder,
    };
    const shown = weights ? ["score", "weights", "context", "placement"] : ["none", "placement"];
    this.at = Math.min(this.at, shown.length - 1);
    const [title, ...content] = cards[shown[this.at]](facts);
    $("tour-title").textContent = `${this.at + 1} of ${shown.length}: ${title}`;
    $("tour-step").replaceChildren(`Step ${facts.t}, `, facts.word(), weights && heads > 1 ? `, head ${head + 1} of ${heads}` : "");
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

function arrange() {  // the panels for the chosen models; the sentence is translated again where its language stays
  const one = models[$("model").value], pairs = comparable(), second = pairs[$("compare").value];
  const wanted = [[one, null], ...second ? [second] : []], text = panels[0]?.q;
  const kept = text !== undefined && panels[0].model.source === one.source;
  panels.splice(0).forEach(panel => panel.close());
  panels.push(...wanted.map(([model, layer]) => new Panel(model, layer)));
  $("panels").replaceChildren(...panels.map(panel => panel.element));
  $("text").lang = one.source;
  if (kept) panels.forEach(panel => panel.begin(text));
}

function chooseModel() {
  const pairs = comparable();
  offer($("compare"), [["", "nothing"], ...pairs.map(([model, layer], n) => [n, layer ? `${model.name}, layer ${layer}` : model.name])], "");
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
$("theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  remembered(theme);
  paint(theme);
});
$("ask").addEventListener("submit", event => {
  event.preventDefault();
  translate();
});
$("text").addEventListener("keydown", event => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;  // Enter also ends the input of an ideograph
  event.preventDefault();
  translate();
});
$("model").addEventListener("change", chooseModel);
$("compare").addEventListener("change", arrange);
$("tour-back").addEventListener("click", () => tour.move(-1));
$("tour-next").addEventListener("click", () => tour.move(1));
$("tour-close").addEventListener("click", () => tour.close());
$("tour").addEventListener("keydown", event => event.key === "Escape" && tour.close());

try {
  const [listed, settings] = await Promise.all(["models", "frontend/settings"].map(async path => (await ask(path)).json()));
  models = listed;
  $("key-label").hidden = !settings.keyRequired;
  offer($("model"), models.map(({ name, source, target }, n) => [n, `${name} (${languageName(source)} to ${languageName(target)})`]), 0);
  chooseModel();
} catch (error) {
  complain(error.message);
}
