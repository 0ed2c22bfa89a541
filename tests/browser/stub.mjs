// A stand-in for `seq2seq serve`: node stub.mjs [port]
import http from "node:http";
import fs from "node:fs";
const PAGE = `${import.meta.dirname}/../../seq2seq/serve/page/`, PORT = Number(process.argv[2] ?? 16056);
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'";
const eq = (o = {}) => ({ score: "additive", window: "global", normaliser: "softmax", placement: "before", heads: 1, cell: "gru", encoder: "recurrent", decoder: "recurrent", ...o });
const base = { source: "en", target: "de", members: 1, attends: true, editable: true, windows: false, layers: 1, layer: 1 };
const models = [
  { ...base, name: "bahdanau", equations: eq({ heads: 4 }) },
  { ...base, name: "luong-local", windows: true, equations: eq({ score: "general", window: "local_p", placement: "after", cell: "lstm" }) },
  { ...base, name: "transformer", layers: 3, layer: 2, equations: eq({ score: "scaled_dot", placement: "between", heads: 2, cell: null, encoder: "transformer", decoder: "transformer" }) },
  { ...base, name: "fixed-vector", attends: false, editable: false, equations: eq({ score: null, window: null, normaliser: null, placement: "none", heads: null }) },
  { ...base, name: "ensemble", members: 2, editable: false, equations: eq() },
  { ...base, name: "sparse", equations: eq({ score: "dot", normaliser: "sparsemax", placement: "between" }) },
  { ...base, name: "en-he", target: "he", equations: eq() },
  { ...base, name: "ar-en", source: "ar", target: "en", equations: eq() },
  { ...base, name: "ja-en", source: "ja", target: "en", equations: eq() },
  { ...base, name: "en-zh", target: "zh", equations: eq() },
];
const HE = ["▁בית", "▁קטן", "▁עומד", "▁ליד", "▁ה", "נהר", "▁ו", "ילדים", "▁משחקים", "▁שם"];
const ZH = ["▁", "一", "座", "小", "房子", "矗", "立", "在", "河", "边", "。"];
const DE = { the: ["▁das"], small: ["▁klein", "e"], house: ["▁Haus"], stands: ["▁steht"], by: ["▁am"], river: ["▁Fluss"], a: ["▁ein"], garden: ["▁Gart", "en"], children: ["▁Kind", "er"], play: ["▁spiel", "en"] };
const pieces = q => {
  const out = [];
  for (const word of q.split(/\s+/).filter(Boolean)) {
    if (/[\u3040-\u30ff\u4e00-\u9fff]/.test(word)) { out.push("▁", ...word); continue; }
    const [, body, tail] = /^(.*?)([.,!?]*)$/s.exec(word);
    if (body.length > 7) out.push("▁" + body.slice(0, 5), body.slice(5)); else if (body) out.push("▁" + body);
    if (tail) out.push(tail);
  }
  return [...out, "</s>"];
};
const spans = t => { const r = []; for (let i = 0; i < t.length;) { let j = i; while (j + 1 < t.length && !t[j + 1].startsWith("▁") && /^[\p{L}]+$/u.test(t[j + 1]) && !/[\u3040-\u9fff]/.test(t[j + 1])) j++; if (j > i) r.push([i, j]); i = j + 1; } return r; };
const rnd = seed => { let x = seed; return () => (x = (x * 16807 + 11) % 2147483647) / 2147483647; };
const plan = (model, src) => {  // [token, source index]
  if (src.join("").includes("!blank")) return [["</s>", src.length - 1]];
  if (model.target === "he") return [...HE.map((p, i) => [p, i % src.length]), ["</s>", src.length - 1]];
  if (model.target === "zh") return [...ZH.map((p, i) => [p, i % src.length]), [ "</s>", src.length - 1]];
  const out = [];
  src.slice(0, -1).forEach((p, i) => {
    const word = p.replace("▁", "");
    const made = DE[word.toLowerCase()] ?? [p.startsWith("▁") ? "▁" + (word ? [...word].reverse().join("") : "") : [...p].reverse().join("")];
    made.forEach(m => out.push([m, i]));
  });
  if (model.name !== "bahdanau" && out.length > 3) { out.splice(1, 3, ["▁kleine", out[1][1]], ["▁Gebäude", 2]); }
  return [...out, ["</s>", src.length - 1]];
};
const soft = e => { const m = Math.max(...e.filter(x => x !== null)); const x = e.map(v => v === null ? 0 : Math.exp(v - m)), s = x.reduce((a, b) => a + b); return x.map(v => v / s); };
const steps = (model, body) => {
  const src = pieces(body.q), out = [], prefix = body.prefix ?? [], edits = body.edits ?? {};
  const made = plan(model, src), random = rnd(7 + (body.layer ?? 0) * 13 + model.name.length);
  let changed = false;
  const end = Math.max(made.length, prefix.length + 1);
  for (let t = 0; t < end; t++) {
    let [token, at] = made[Math.min(t, made.length - 1)];
    const heads = model.equations.heads ?? 1, edit = edits[t];
    const p = Math.min(src.length - 1, at + 0.3), first = Math.max(0, Math.round(p) - 2), last = Math.min(src.length - 1, Math.round(p) + 2);
    const energies = Array.from({ length: heads }, (_, h) => src.map((_, i) => model.windows && (i < first || i > last) ? null : +(3.2 - Math.abs(i - at - (h === 3 ? 1 : 0)) * (0.8 + h * 0.5) + random()).toFixed(5)));
    let weights = energies.map(soft);
    if (model.windows) weights = weights.map(row => row.map((w, i) => w * Math.exp(-((i - p) ** 2) / 2)));
    if (model.equations.normaliser === "sparsemax") weights = weights.map(row => row.map((w, i) => i === at ? 0.75 : i === Math.min(at + 1, src.length - 2) ? 0.25 : 0));
    if (edit) {
      weights = energies.map(() => edit);
      const best = edit.indexOf(Math.max(...edit));
      const word = src[best].replace("▁", "");
      if (token !== "</s>" && best !== at) { token = (DE[word.toLowerCase()] ?? ["▁" + word.toUpperCase()])[0]; changed = true; }
    } else if (changed && t % 3 === 2 && token !== "</s>") token += "x";
    const own = token;
    if (t < prefix.length) token = prefix[t];
    const p1 = 0.55 + 0.4 * random();
    const candidates = [[own, Math.log(p1)], ["▁ein", Math.log((1 - p1) * 0.5)], ["▁Gebäude", Math.log((1 - p1) * .2)], ["▁kleine", Math.log((1 - p1) * .1)], ["</s>", Math.log((1 - p1) * .05)], ["▁", Math.log((1 - p1) * .03)], ["<unk>", null], [",", Math.log((1 - p1) * .01)]].map(([a, b]) => [a, b === null ? null : +b.toFixed(5)]);
    if (model.source === "x") candidates.length = 1;
    const score = (candidates.find(([c]) => c === token) ?? [0, -6])[1] ?? -9;
    const none = !model.attends;
    out.push({ number: t, token, score, weights: none ? null : weights, energies: none || edit || model.members > 1 ? null : energies, window: model.windows && !edit ? { first, last, centre: p } : null, candidates });
    if (token === "</s>") break;
  }
  return { src, out };
};
const text = tokens => tokens.filter(t => t !== "</s>").join("").replaceAll("▁", " ").trim();
const sleep = ms => new Promise(r => setTimeout(r, ms));
const TYPES = { "/": ["index.html", "text/html; charset=utf-8"], "/page.css": ["page.css", "text/css; charset=utf-8"], "/page.js": ["page.js", "text/javascript; charset=utf-8"] };
export const seen = [];
http.createServer(async (request, response) => {
  const path = request.url.split("?")[0];
  const json = (status, value, headers = {}) => { response.writeHead(status, { "Content-Type": "application/json", ...headers }); response.end(JSON.stringify(value)); };
  if (TYPES[path]) { response.writeHead(200, { "Content-Type": TYPES[path][1], "Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff" }); return response.end(fs.readFileSync(PAGE + TYPES[path][0])); }
  if (path === "/models") return json(200, models);
  if (path === "/frontend/settings") return json(200, { keyRequired: process.argv[3] === "key", charLimit: 5000 });
  if (path === "/seen") return json(200, seen.splice(0));
  let raw = ""; for await (const chunk of request) raw += chunk;
  const body = JSON.parse(raw || "{}"); seen.push({ path, ...body });
  if (process.argv[3] === "key" && body.api_key !== "sesame") return json(403, { error: "a valid API key is needed: give it as api_key" });
  const model = models.find(m => m.name === body.model);
  for (const code of ["413", "429", "503"]) if (body.q.includes("!" + code)) return json(+code, { error: { 413: "the request has 6,001 characters; at most 5,000 are allowed", 429: "too many requests; slow down", 503: "too many sentences are waiting; try again in a second" }[code] }, { "Retry-After": "1" });
  if (body.q.includes("!html")) { response.writeHead(502, { "Content-Type": "text/html" }); return response.end("<h1>Bad gateway</h1>"); }
  const { src, out } = steps(model, body);
  if (path === "/tree") {
    await sleep(30);
    const prefix = body.prefix ?? [], tokens = out.map(s => s.token), scores = out.map(s => s.score), found = [{ tokens, scores }];
    for (const [at, token] of [[2, "▁Gebäude"], [5, "▁neben"], [0, "▁ein"], [3, "▁stand"]]) {
      if (at < prefix.length || at >= tokens.length - 1) continue;
      const t = [...tokens], s = [...scores]; t[at] = token; s[at] = -2.3; found.push({ tokens: t, scores: s });
    }
    return json(200, found.slice(0, body.n_best).map((f, rank) => ({ text: text(f.tokens), ...f, rank })));
  }
  if (path !== "/watch") return json(404, { error: "Not Found" });
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  const send = (event, data) => { const whole = `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`; const half = whole.length >> 1; response.write(whole.slice(0, half)); response.write(whole.slice(half)); };
  let gone = false; response.on("close", () => { gone = true; if (!response.writableEnded) seen.push({ path: "aborted", q: body.q }); });
  send("source", { tokens: src, words: spans(src) });
  for (const step of out) {
    await sleep(body.q.includes("!slow") ? 150 : 4); if (gone) return;
    send("step", step);
    if (body.q.includes("!mid") && step.number === 2) { send("error", { error: "prefix: the target vocabulary has no piece '▁x'" }); return response.end(); }
    if (body.q.includes("!cut") && step.number === 2) return response.destroy();
  }
  const tokens = out.map(s => s.token);
  send("end", { text: text(tokens), tokens, words: spans(tokens), score: out.reduce((a, s) => a + s.score, 0) });
  if (body.posterior && model.attends && !Object.keys(body.edits ?? {}).length) send("posterior", { weights: out.map(s => s.weights[0].map((w, i, row) => w ** 2 / row.reduce((a, b) => a + b * b, 0))) });
  response.end();
}).listen(PORT, "127.0.0.1", () => console.log("ready", PORT));
