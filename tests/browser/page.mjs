// Tests the page of serve in Chromium against stub.mjs: bash scripts/test_page.sh [NAME...]
import { chromium } from "playwright-core";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import fs from "node:fs";
const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PORT = 16100 + Math.floor(Math.random() * 800), URL = `http://127.0.0.1:${PORT}/`;
const SENTENCE = "The small house stands by the river in a beautiful garden.";
const LONG = Array.from({ length: 8 }, (_, n) => `The small house number ${n} stands by the river in a beautiful garden`).join(", ") + ".";
const only = process.argv.slice(2);
let failures = 0, checks = 0;
const ok = (condition, what, more = "") => { checks++; if (!condition) { failures++; console.log("FAIL", what, more); } };
const same = (a, b, what) => ok(JSON.stringify(a) === JSON.stringify(b), what, `${JSON.stringify(a)} != ${JSON.stringify(b)}`);
const start = (port, ...more) => new Promise(done => { const child = spawn("node", ["stub.mjs", port, ...more], { cwd: import.meta.dirname }); child.stdout.once("data", () => done(child)); child.stderr.on("data", d => console.log("stub:", `${d}`)); });
const stub = await start(PORT), keyed = await start(PORT + 1, "key");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"] });
const SHOTS = process.env.SHOTS;
fs.mkdirSync(SHOTS, { recursive: true });

let page, noise;
async function open({ width = 1200, height = 900, dark = false, url = URL, reduced = true } = {}) {
  await page?.context().close();
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light", reducedMotion: reduced ? "reduce" : "no-preference", bypassCSP: false });
  page = await context.newPage();
  noise = [];
  page.on("console", m => m.type() === "error" && !/status of (4|5)\d\d|ERR_INCOMPLETE|ERR_CONN|network error|TypeError/.test(m.text()) && noise.push(m.text()));
  page.on("pageerror", e => noise.push(e.stack));
  await page.goto(url);
  await page.waitForSelector("#model option", { state: "attached" });
  await fetch(url + "seen");
}
const choose = async name => { const value = await page.$$eval("#model option", (options, name) => options.find(o => o.textContent.startsWith(name + " ")).value, name); await page.selectOption("#model", value); };
const idle = async () => { await page.waitForFunction(() => !document.querySelector("[aria-busy]")); await page.waitForTimeout(80); };
const translate = async (text, wait = true) => { await page.fill("#text", text); await page.press("#text", "Enter"); if (wait) { await page.waitForTimeout(30); await idle(); } };
const seen = async (url = URL) => (await fetch(url + "seen")).json();
const nb = text => text?.replaceAll(/\s+/g, " ");
const texts = selector => page.$$eval(selector, found => found.map(e => e.textContent));
const shot = name => page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: true });
const wide = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
async function audit(what) {
  const found = await page.evaluate(async source => {
    // The policy forbids inline scripts; this runs through the debugger.
    if (!window.axe) (0, eval)(source);
    return (await window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })).violations.map(v => [v.id, v.nodes.map(n => n.target.join(" ") + " " + n.failureSummary).slice(0, 3)]);
  }, axe);
  ok(!found.length, `axe: ${what}`, JSON.stringify(found, null, 1));
}
const T = ".tokens[aria-label='Tokens of the target'] .token", S = ".tokens[aria-label='Tokens of the source'] .token";

const tests = {
  async stream() {
    await open();
    await translate(SENTENCE + " !slow", false);
    await page.waitForTimeout(700);
    const first = (await page.$$(T)).length, cells = (await page.$$(".heat [text-anchor=end]")).length;
    ok(first > 1 && first < 10, "tokens come one by one", first);
    await page.waitForTimeout(500);
    const second = (await page.$$(T)).length;
    ok(second > first, "more tokens later");
    ok((await page.$$(".heat [text-anchor=end]")).length > cells, "the heat map grows");
    ok(await page.textContent("#said") === "", "nothing said before the end");
    await translate("A house.");
    same(await texts(T), ["ein", "Haus", ".", "end"], "the new sentence");
    ok((await seen()).some(r => r.path === "aborted"), "the running request was cancelled");
    same(await page.textContent("#said"), "ein Haus.", "said at the end");
    same(await page.textContent(".translation"), "ein Haus.", "text");
  },
  async keys() {
    await open();
    await page.focus("#text");
    await page.keyboard.type("A");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("house");
    same(await page.inputValue("#text"), "A\nhouse", "Shift+Enter is a new line");
    same((await seen()).length, 0, "no request yet");
    await page.evaluate(() => document.querySelector("#text").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true, cancelable: true })));
    await page.waitForTimeout(50);
    same((await seen()).length, 0, "Enter in an input method does not translate");
    await page.keyboard.press("Control+Enter"); await page.waitForTimeout(30); await idle();
    same((await seen()).length, 1, "Ctrl+Enter translates");
    await page.fill("#text", "   "); await page.press("#text", "Enter");
    same(await page.textContent("#alert"), "Type a sentence first.", "empty input");
    same((await seen()).length, 0, "empty input asks nothing");
    await page.fill("#text", "A garden"); await page.click("button.main"); await page.waitForTimeout(30); await idle();
    same(await page.textContent("#alert"), "", "the alert goes");
    same(await page.textContent(".translation"), "ein Garten", "button");
  },
  async light() {
    await open();
    await translate(SENTENCE);
    await page.focus(T);
    for (let n = 0; n < 3; n++) await page.keyboard.press("ArrowRight");
    same(await page.evaluate(() => document.activeElement.textContent), "Haus", "arrow keys");
    ok(/^Haus, attends mostly to house \d+(\.\d)? %$/.test(nb(await page.evaluate(() => document.activeElement.getAttribute("aria-label")))), "name of a target token", await page.evaluate(() => document.activeElement.getAttribute("aria-label")));
    const weights = await page.$$eval(S, all => all.map(e => Number(e.style.getPropertyValue("--weight"))));
    ok(weights[2] === Math.max(...weights) && weights[2] > 0.3, "source lit by weight", weights);
    ok(await page.$$eval(".links .strong", all => all.length > 0), "strong lines");
    same(await page.textContent(".panel h3"), "Step 4: Haus", "the step follows");
    await page.keyboard.press("End");
    same(await page.evaluate(() => document.activeElement.textContent), "end", "End");
    await page.keyboard.press("Home");
    same(await page.evaluate(() => document.activeElement.textContent), "das", "Home");
    same(await page.$$eval(T, all => all.filter(e => e.tabIndex === 0).length), 1, "one tab stop");
    await page.focus(S);
    await page.keyboard.press("ArrowRight");
    ok((await page.evaluate(() => document.activeElement.getAttribute("aria-label"))).startsWith("small, attended mostly by klein"), "name of a source token", await page.evaluate(() => document.activeElement.getAttribute("aria-label")));
    const back = await page.$$eval(T, all => all.map(e => Number(e.style.getPropertyValue("--weight"))));
    ok(back[1] > 0.3, "target lit by source", back);
    await page.hover(`${T}:nth-child(8)`);
    const hovered = await page.$$eval(S, all => all.map(e => Number(e.style.getPropertyValue("--weight"))));
    ok(hovered.indexOf(Math.max(...hovered)) === 6, "hover lights");
    const box = await (await page.$(".heat svg .frame")).boundingBox();
    await page.mouse.move(box.x + 5 * box.width / 14 + 4, box.y + 3 * box.height / 16 + 4);
    ok((await page.textContent(".readout")).startsWith("Haus ← the 0."), "heat map readout", await page.textContent(".readout"));
    await page.mouse.click(box.x + 5 * box.width / 14 + 4, box.y + 6 * box.height / 16 + 4);
    same(await page.textContent(".panel h3"), "Step 7: das", "click in the heat map chooses the step");
    await audit("light theme"); await shot("light");
  },
  async heads() {
    await open();
    await translate(SENTENCE);
    const heads = page.locator("label:has-text('Heads') select");
    same(await heads.locator("option").allTextContents(), ["mean", "head 1", "head 2", "head 3", "head 4"], "heads");
    const before = await page.getAttribute(T, "aria-label");
    await heads.selectOption("head 4"); await page.waitForTimeout(80);
    ok(before !== await page.getAttribute(T, "aria-label"), "another head, other weights");
    await seen();
    await page.locator("label:has-text('Attention') select").selectOption("posterior"); await page.waitForTimeout(30); await idle();
    same((await seen()).map(r => r.posterior), [true], "posterior is asked for");
    ok(await heads.isDisabled(), "no heads of the posterior");
    await audit("posterior");
    await choose("transformer"); await translate(SENTENCE);
    same((await seen()).filter(r => r.path === "/watch").at(-1).layer, 2, "the usual layer");
    await page.locator(".panel label:has-text('Layer') select").selectOption("3"); await page.waitForTimeout(30); await idle();
    same((await seen()).at(-1).layer, 3, "another layer");
    await choose("ensemble"); await translate(SENTENCE);
    ok(!await page.locator("label:has-text('Attention') select").isVisible(), "no posterior of an ensemble");
    ok(!await page.locator("text=Edit attention").isVisible(), "no edits of an ensemble");
  },
  async window() {
    await open();
    await choose("luong-local"); await translate(SENTENCE);
    await page.focus(T); for (let n = 0; n < 5; n++) await page.keyboard.press("ArrowRight");
    same(await page.$$eval(S, all => all.map((e, i) => e.classList.contains("inside") ? i : -1).filter(i => i >= 0)), [3, 4, 5, 6, 7], "the band");
    same(await page.$$eval(S + ".centre", all => all.length), 1, "the centre");
    ok((await page.getAttribute(".heat path.window", "d")).length > 50, "outlines");
    ok((await page.textContent(".below .facts")).includes("Window: stands to in, centre 5.3."), "window in words", await page.textContent(".below .facts"));
    await audit("window"); await shot("window");
  },
  async tree() {
    await open();
    await translate(SENTENCE);
    await seen();
    await page.click("text=Alternatives"); await page.waitForTimeout(30); await idle();
    const asked = (await seen())[0];
    same([asked.path, asked.n_best, asked.prefix], ["/tree", 5, []], "the tree is asked for");
    ok((await texts("[role=treeitem] bdi")).includes("neben"), "the trie");
    ok((await texts(".ranked li")).length === 5, "the list");
    await page.focus("[role=treeitem][tabindex='0']");
    await page.keyboard.press("ArrowRight"); await page.keyboard.press("ArrowDown");
    ok(["stand", "Gebäude", "ein", "neben"].includes((await page.evaluate(() => document.activeElement.textContent)).replace(/−.*/, "")), "down to a branch");
    await audit("tree"); await shot("tree");
    const path = await page.evaluate(() => document.activeElement.textContent);
    await page.keyboard.press("Enter"); await page.waitForTimeout(60); await idle();
    const two = await seen(), watch = two.find(r => r.path === "/watch"), tree = two.find(r => r.path === "/tree");
    ok(watch?.prefix.length > 0 && JSON.stringify(watch.prefix) === JSON.stringify(tree?.prefix), "prefix to both", JSON.stringify(two));
    ok(await page.evaluate(() => document.activeElement.getAttribute("role") === "treeitem"), "focus stays in the tree");
    ok((await page.$$(T + ".forced")).length === 1, "the forced token is marked");
    ok(await page.locator("button:has-text('Reset')").isVisible(), "Reset is there");
    await shot("tree-forced");
    await page.click("text=Reset"); await page.waitForTimeout(60); await idle();
    same((await page.$$(T + ".forced")).length, 0, "reset");
    await seen();
    await page.focus(T); await page.keyboard.press("ArrowRight"); await page.keyboard.press("ArrowRight");
    await page.click(".candidates button:has-text('Gebäude')"); await page.waitForTimeout(60); await idle();
    same((await seen()).find(r => r.path === "/watch").prefix, ["▁das", "▁klein", "▁Gebäude"], "a candidate");
    same((await texts(T))[2], "Gebäude", "the candidate stands there");
    same(await page.evaluate(() => document.activeElement.textContent), "Gebäude", "focus on the new token");
  },
  async edit() {
    await open();
    await translate(SENTENCE);
    const plain = await texts(T);
    await page.focus(T); for (let n = 0; n < 3; n++) await page.keyboard.press("ArrowRight");
    await page.click("text=Edit attention");
    await seen();
    const bar = await page.locator(".slider").nth(6).boundingBox();
    await page.mouse.move(bar.x + 5, bar.y + bar.height - 5); await page.mouse.down(); await page.mouse.move(bar.x + 5, bar.y + 4, { steps: 5 });
    same((await seen()).length, 0, "nothing is asked while dragging");
    await page.mouse.up(); await page.waitForTimeout(60); await idle();
    const [asked] = await seen();
    same(asked.prefix, ["▁das", "▁klein", "e"], "prefix of an edit");
    same(Object.keys(asked.edits), ["3"], "the step that is edited");
    const sum = asked.edits[3].reduce((a, b) => a + b);
    ok(Math.abs(sum - 1) < 1e-6 && asked.edits[3][6] > 0.9, "weights add up to 1", sum);
    ok((await page.$$(T + ".differs")).length > 0, "changes are marked");
    ok((await page.textContent("[data-part=before]")).startsWith("Without your edits: das kleine Haus"), "the text before");
    ok((await page.getAttribute(`${T}:nth-child(4)`, "aria-label")).includes("edited"), "edited in the name");
    ok(await page.locator("label:has-text('Attention') select").isDisabled(), "no posterior of an edited translation");
    await page.locator(".slider").nth(6).focus(); await page.keyboard.press("ArrowLeft");
    same(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "the", "arrows between sliders");
    for (let n = 0; n < 4; n++) await page.keyboard.press("ArrowUp");
    await page.waitForTimeout(500); await idle();
    const more = await seen();
    same(more.length, 1, "keys ask once");
    ok(await page.evaluate(() => document.activeElement.getAttribute("role") === "slider"), "focus stays on the slider");
    ok(Math.abs(Number(await page.evaluate(() => document.activeElement.getAttribute("aria-valuenow"))) - 20) < 6, "value", await page.evaluate(() => document.activeElement.getAttribute("aria-valuenow")));
    await page.focus(`${T}:nth-child(9)`);
    await page.locator(".slider").nth(1).focus(); await page.keyboard.press("End"); await page.waitForTimeout(500); await idle();
    const [both] = await seen();
    same(Object.keys(both.edits), ["3", "8"], "edits accumulate");
    same(both.prefix.length, 8, "prefix up to the later edit");
    await audit("edit"); await shot("edit");
    await page.click("text=Reset"); await page.waitForTimeout(60); await idle();
    same(await texts(T), plain, "reset");
    const last = (await seen()).at(-1);
    same([last.prefix, last.edits], [[], {}], "nothing is left of the edits");
  },
  async compare() {
    await open();
    await translate(SENTENCE);
    await page.selectOption("#compare", { label: "luong-local" }); await page.waitForTimeout(30); await idle();
    same((await page.$$(".panel")).length, 2, "two panels");
    const marked = await page.$$eval(".panel", all => all.map(p => [...p.querySelectorAll(".token.differs")].map(t => t.textContent)));
    ok(marked[0].length > 0 && marked[1].length > 0 && marked[1].includes("Gebäude") && marked[0].includes("Haus"), "differences", JSON.stringify(marked));
    await audit("compare"); await shot("compare");
    await translate("A house.");
    same(await texts(".translation"), ["ein Haus.", "ein kleine Gebäude end".slice(0, 18) + "", ].length === 2 ? await texts(".translation") : 0, "both follow");
    await choose("transformer"); await page.waitForTimeout(30); await idle();
    same((await page.$$(".panel")).length, 1, "one panel after the model changed");
    await page.selectOption("#compare", { label: "transformer, layer 3" }); await page.waitForTimeout(30); await idle();
    same((await seen()).slice(-2).map(r => r.layer).sort(), [2, 3], "layers side by side");
    same(await texts(".panel h2"), ["transformer, layer 2: English to German", "transformer, layer 3: English to German"], "names with layers");
    await audit("two layers");
    await page.setViewportSize({ width: 360, height: 740 }); await page.waitForTimeout(100);
    same(await wide(), 0, "no horizontal scroll with two panels at 360 px"); await shot("compare-360");
  },
  async tour() {
    await open({ width: 1300 });
    await translate(SENTENCE);
    await page.focus(T); for (let n = 0; n < 3; n++) await page.keyboard.press("ArrowRight");
    await page.click("text=Explain this step");
    same(await page.evaluate(() => document.activeElement.id), "tour-title", "focus in the tour");
    same(await page.textContent("#tour-title"), "1 of 4: Score", "card 1");
    ok((await page.textContent("#tour-card")).includes("vT tanh(W q + U k + b)"), "the score's equation");
    await audit("tour"); await shot("tour-1");
    await page.click("#tour-next");
    const card = nb(await page.textContent("#tour-card"));
    ok(/house: exp\([\d.]+\) \/ [\d.]+ = [\d.]+ \/ [\d.]+ = \d+ %/.test(card), "softmax worked out", card);
    const [, e, z, x, , p] = /house: exp\(([\d.]+)\) \/ ([\d.]+) = ([\d.]+) \/ ([\d.]+) = ([\d.]+)\s%/.exec(card);
    ok(Math.abs(Math.exp(e) - x) / x < 0.02 && Math.abs(100 * x / z - p) < 1, "numbers agree", [e, z, x, p]);
    await shot("tour-2");
    await page.click("#tour-next"); await shot("tour-3");
    ok((await page.textContent("#tour-card")).includes("Vj"), "heads in the context");
    await page.click("#tour-next"); await shot("tour-4");
    const word = nb(await page.textContent("#tour-card"));
    ok(/wrote Haus with \d+ %\. ?The runner-up was ein with/.test(word), "the word", word);
    ok(await page.isDisabled("#tour-next"), "the last card");
    await page.focus(`${T}:nth-child(8)`);
    ok((await page.textContent("#tour-card")).includes("wrote Fluss"), "the tour follows the token");
    await page.focus("#tour-title"); await page.keyboard.press("Escape");
    ok(await page.isHidden("#tour"), "Escape closes");
    same(await page.evaluate(() => document.activeElement.textContent), "Explain this step", "focus goes back");
    for (const name of ["luong-local", "transformer", "fixed-vector", "ensemble", "sparse"]) {
      await choose(name); await page.waitForTimeout(30); await idle();
      await page.click("text=Explain this step");
      for (let n = 0; ; n++) {
        const told = await page.textContent("#tour");
        ok(!/undefined|NaN|null|\[object/.test(told), `${name}, card ${n + 1}`, told);
        if (await page.isDisabled("#tour-next")) break;
        await page.click("#tour-next");
        if (n === 0) await shot(`tour-${name}`);
      }
      await audit(`tour of ${name}`);
      await page.click("#tour-close");
    }
    await page.setViewportSize({ width: 360, height: 740 });
    await page.click("text=Explain this step"); await page.waitForTimeout(100);
    same(await wide(), 0, "no horizontal scroll with the tour at 360 px"); await shot("tour-360"); await audit("tour 360");
  },
  async theme() {
    await open({ dark: true });
    await translate(SENTENCE);
    same(await page.getAttribute("#theme", "aria-pressed"), "true", "the system's theme");
    await page.click("text=Alternatives"); await page.focus(`${T}:nth-child(3)`); await page.click("text=Edit attention"); await page.click("text=Explain this step"); await page.waitForTimeout(60); await idle();
    await audit("dark"); await shot("dark");
    await page.click("#theme");
    same(await page.evaluate(() => [getComputedStyle(document.body).backgroundColor, localStorage.theme]), ["rgb(255, 255, 255)", "light"], "light in a dark system");
    await audit("light, all open");
    await page.reload(); await page.waitForSelector("#model option", { state: "attached" });
    same(await page.getAttribute("#theme", "aria-pressed"), "false", "remembered");
    await page.click("#theme"); await translate(SENTENCE);
    await choose("luong-local"); await page.selectOption("#compare", { label: "bahdanau" }); await page.waitForTimeout(30); await idle();
    await audit("dark, two models"); await shot("dark-compare");
  },
  async errors() {
    await open();
    for (const [code, part] of [["413", "6,001 characters"], ["429", "slow down"], ["503", "try again"], ["html", "status 502"], ["mid", "no piece"], ["cut", "connection broke"]]) {
      await translate(`A small house stands !${code}`);
      const told = await page.textContent("#alert");
      ok(told && told.includes(part), `error ${code}`, told);
      if (code === "mid") ok((await page.$$(T)).length === 3, "what came before the error stays");
    }
    await audit("error"); await shot("error");
    await translate("A house.");
    same(await page.textContent("#alert"), "", "the error goes");
    await page.route("**/watch", route => route.abort());
    await translate("A house.");
    same(await page.textContent("#alert"), "The server does not answer.", "no server");
    await open({ url: `http://127.0.0.1:${PORT + 1}/` });
    ok(await page.isVisible("#key"), "the key's field");
    await translate("A house.");
    ok((await page.textContent("#alert")).includes("API key"), "key needed");
    await page.fill("#key", "sesame"); await translate("A house.");
    same(await page.textContent(".translation"), "ein Haus.", "with the key");
    await page.click("text=Alternatives"); await page.waitForTimeout(30); await idle();
    same(await page.textContent("#alert"), "", "the tree gets the key as well");
    await audit("key");
    await open(); ok(!await page.isVisible("#key"), "no key, no field");
  },
  async special() {
    await open();
    await choose("fixed-vector"); await translate(SENTENCE);
    ok((await page.textContent(".panel")).includes("This model has no attention"), "no attention is said");
    ok(!await page.isVisible(".heat"), "no empty picture");
    ok((await page.$$(".links path")).length === 0, "no lines");
    await audit("no attention"); await shot("no-attention");
    await choose("bahdanau"); await translate("!blank");
    same(await page.textContent(".translation"), "(blank translation)", "blank");
    await audit("blank"); await shot("blank");
    await translate("<img src=x onerror=alert(1)> <script>alert(2)</script> & \"quotes\"");
    same((await page.$$(".panel img, .panel script")).length, 0, "nothing is read as HTML");
    await translate(LONG);
    ok((await page.$$(T)).length > 100, "a long sentence");
    same(await wide(), 0, "long: the page does not scroll sideways");
    await page.focus(`${T}:nth-child(60)`); await audit("long"); await shot("long");
    await page.setViewportSize({ width: 360, height: 740 }); await page.waitForTimeout(150);
    same(await wide(), 0, "long at 360 px"); await shot("long-360");
  },
  async languages() {
    await open();
    await choose("en-he"); await translate(SENTENCE);
    same(await page.getAttribute(".tokens[aria-label='Tokens of the target']", "dir"), "rtl", "right to left");
    const x = await page.$$eval(T, all => all.map(e => e.offsetLeft));
    ok(x[0] > x[1], "the first token stands right");
    await page.focus(T); await page.keyboard.press("ArrowLeft");
    same(await page.evaluate(() => document.activeElement.textContent), "קטן", "left is the next token");
    await page.click("text=Alternatives"); await page.waitForTimeout(30); await idle();
    await audit("rtl"); await shot("rtl-target");
    await choose("ar-en"); await translate("البيت الصغير يقف بجانب النهر"); await audit("ar"); await shot("rtl-source");
    await choose("ja-en"); await translate("小さな家は川のそばに立っています。"); await audit("ja"); await shot("ja");
    await choose("en-zh"); await translate(SENTENCE); await shot("zh");
    same(await page.getAttribute(".translation", "lang"), "zh", "lang");
  },
  async narrow() {
    await open({ width: 360, height: 740 });
    await translate(SENTENCE);
    await page.click("text=Alternatives"); await page.focus(`${T}:nth-child(4)`); await page.click("text=Edit attention"); await page.waitForTimeout(60); await idle();
    same(await wide(), 0, "360 px"); await audit("360 px"); await shot("360");
    await page.setViewportSize({ width: 320, height: 700 }); await page.waitForTimeout(100); same(await wide(), 0, "320 px");
  },
  async fuzz() {
    await open({ width: 1000 });
    let seed = Number(process.env.SEED ?? 1); const random = n => (seed = (seed * 16807) % 2147483647) % n;
    const visible = async selector => { const all = await page.$$(selector); const seen = []; for (const one of all.slice(0, 80)) if (await one.isVisible() && await one.isEnabled()) seen.push(one); return seen.length ? seen[random(seen.length)] : null; };
    const sentences = [SENTENCE, "A house. !slow", "!blank", SENTENCE + " !slow", "A small house !503", "A garden !mid", "!cut"];
    for (let n = 0; n < Number(process.env.FUZZ ?? 150); n++) {
      const what = random(12);
      try {
        if (what === 0) await translate(sentences[random(sentences.length)], false);
        else if (what < 3) await (await visible(".token"))?.[random(2) ? "focus" : "hover"]();
        else if (what === 3) await (await visible("[data-part=more], [data-part=edit], [data-part=explain], [data-part=undo]"))?.click({ timeout: 500 });
        else if (what === 4) await (await visible(".candidates button"))?.click({ timeout: 500 });
        else if (what === 5) await (await visible("[role=treeitem]"))?.click({ timeout: 500 });
        else if (what === 6) { const bar = await visible(".slider"); if (bar) { await bar.focus(); await page.keyboard.press(["ArrowUp", "End", "PageDown", "ArrowRight"][random(4)]); } }
        else if (what === 7) { const heat = await visible(".heat svg"); if (heat) { const box = await heat.boundingBox(); if (!box) continue; await page.mouse.move(box.x + random(Math.floor(box.width)), box.y + random(Math.floor(box.height))); if (random(2)) { await page.mouse.down(); await page.mouse.up(); } } }
        else if (what === 8) { const select = await visible("main select"); if (select) { const options = await select.$$eval("option", all => all.map(o => o.value)); await select.selectOption(options[random(options.length)], { timeout: 500 }); } }
        else if (what === 9) await (await visible("#tour button"))?.click({ timeout: 500 });
        else if (what === 10) await page.keyboard.press(["Tab", "ArrowLeft", "ArrowDown", "Home", "Escape", "Enter"][random(6)]);
        else await page.waitForTimeout(random(300));
      } catch (error) { if (!/Timeout|detached|not attached|intercepts|stale/i.test(error.message)) throw error; }
      if (noise.length) { console.log("after action", what, "number", n); break; }
    }
    await idle();
    await translate(SENTENCE); same(await page.textContent("#alert"), "", "works after all that");
    await audit("after random use");
  },
  async motion() {
    await open();
    await translate("A house.");
    same(await page.$eval(T, e => [getComputedStyle(e).transitionDuration, getComputedStyle(e).animationName]), ["0s", "none"], "no motion where it is not wanted");
    await open({ reduced: false }); await translate("A house.");
    ok(await page.$eval(T, e => getComputedStyle(e).transitionDuration) !== "0s", "motion elsewhere");
    same(await page.evaluate(() => document.querySelectorAll("[style]").length > 0 && performance.getEntriesByType("resource").every(r => new URL(r.name).origin === location.origin)), true, "nothing comes from elsewhere");
  },
};

for (const [name, test] of Object.entries(tests)) {
  if (only.length && !only.includes(name)) continue;
  try { await test(); } catch (error) { failures++; console.log("FAIL", name, error.stack.split("\n").slice(0, 6).join("\n")); await shot(`failed-${name}`).catch(() => {}); }
  ok(!noise.length, `${name}: console`, noise.join("\n"));
}
await browser.close(); stub.kill(); keyed.kill();
console.log(`${checks} checks, ${failures} failures`);
process.exit(failures ? 1 : 0);
