// Debian's Chromium, driven one JSON command per line, each answered with one line: {"value": …} or {"error": "…"}.
// Ends with its standard input.
import { createInterface } from "node:readline";
import axe from "axe-core";
import { chromium } from "playwright-core";

const PATIENCE = 15000; // ms until something that should happen counts as not happening
const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } };
const browser = await chromium.launch({
  executablePath: process.argv[2],
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const pages = new Map();

const commands = {
  // A new browser profile with one page, under a name.
  async open({ page, size = "phone", dark = false, script = true, frozen = false, language = "en-GB" }) {
    const context = await browser.newContext({
      viewport: SIZES[size], isMobile: size === "phone", hasTouch: size === "phone", deviceScaleFactor: size === "phone" ? 2 : 1,
      colorScheme: dark ? "dark" : "light", javaScriptEnabled: script, reducedMotion: "reduce", timezoneId: "UTC", locale: language,
    });
    context.setDefaultTimeout(PATIENCE);
    // For scripts no time passes until `thaw`.
    if (frozen) await context.addInitScript(() => { performance.now = () => 0; });
    const opened = await context.newPage();
    opened.violations = [];
    opened.on("console", (message) => {
      // A page may answer with an error status, and the provider has no icon; a missing asset of ours is a fault.
      const expected = message.text().startsWith("Failed to load resource") && !message.location().url.includes("/assets/");
      if (message.type() === "error" && !expected) opened.violations.push(message.text());
    });
    opened.on("pageerror", (error) => opened.violations.push(String(error)));
    pages.set(page, opened);
  },
  async close(_, page) { await page.context().close(); },
  async goto({ url }, page) { return (await page.goto(url))?.status(); },
  async status({ url }, page) { return (await page.request.get(url)).status(); },
  async url(_, page) { return page.url(); },
  async title(_, page) { return page.title(); },
  async text({ selector }, page) { return page.innerText(selector); },
  async html(_, page) { return page.content(); },
  async attribute({ selector, name }, page) { return page.getAttribute(selector, name); },
  async count({ selector }, page) { return page.locator(selector).count(); },
  async wait({ selector }, page) { await page.waitForSelector(selector, { state: "attached" }); },
  async click({ selector }, page) { await page.click(selector); },
  async fill({ selector, text }, page) { await page.fill(selector, text); },
  // The words that are ours: without commands, reasons, names and the like.
  async words(_, page) {
    return page.evaluate(() => {
      const copy = document.body.cloneNode(true);
      for (const other of copy.querySelectorAll("pre, code, blockquote, dd, .brand, [lang]")) other.remove();
      return copy.textContent.match(/\p{L}+/gu);
    });
  },
  // A minute later, however fast the test was.
  async thaw(_, page) { await page.evaluate(() => { performance.now = () => 60000; }); },
  async focus({ selector }, page) { await page.focus(selector); },
  // A mark on this very page and list: gone when either is loaded anew.
  async mark(_, page) { await page.evaluate(() => { document.getElementById("main").dataset.mark = ""; }); },
  // The network of this page is gone, or back.
  async offline({ gone }, page) { await page.context().setOffline(gone); },
  // As behind a proxy that keeps a stream back until it ends.
  async hold({ path }, page) { await page.route((url) => url.pathname === path, () => {}); },
  async press({ key }, page) { await page.keyboard.press(key); },
  async type({ text }, page) { await page.keyboard.type(text); },
  async focused(_, page) { return page.evaluate(() => document.activeElement?.id || document.activeElement?.tagName); },
  async look({ path }, page) { await page.screenshot({ path, fullPage: true }); },
  async cookies(_, page) { return page.context().cookies(); },
  async emulate({ dark, size }, page) {
    await page.emulateMedia({ colorScheme: dark ? "dark" : "light" });
    if (size) await page.setViewportSize(SIZES[size]);
  },
  // Signs in at the provider's form without following its answer back: returns the address it would go to.
  async answer({ login, back }, page) {
    let answer = await page.request.post(page.url(), { form: { login }, maxRedirects: 0 });
    for (let hops = 0; hops < 5; hops += 1) {
      const next = new URL(answer.headers().location, answer.url()).href;
      if (next.startsWith(back)) return next;
      answer = await page.request.get(next, { maxRedirects: 0 });
    }
    throw new Error("the provider does not lead back");
  },
  // What a person would trip over: sideways scrolling, small targets, unlabelled fields, errors in the console.
  async faults(_, page) {
    await page.waitForLoadState("load"); // its style sheet included
    const found = await page.evaluate(() => {
      const faults = [];
      const width = document.documentElement.clientWidth;
      if (document.documentElement.scrollWidth > width) faults.push(`scrolls sideways: ${document.documentElement.scrollWidth} > ${width}`);
      for (const element of document.querySelectorAll("a, button, input:not([type=hidden]), textarea, summary")) {
        const box = element.getBoundingClientRect();
        const name = `${element.tagName.toLowerCase()} "${(element.innerText || element.name || "").slice(0, 30)}"`;
        if (!box.width || element.classList.contains("skip")) continue;
        if (box.height < 44 || box.width < 44) faults.push(`${name} is ${box.width}x${box.height}`);
        if (box.right > width + 0.5 || box.left < -0.5) faults.push(`${name} stands outside`);
        if (element.matches("input, textarea") && !element.labels.length) faults.push(`${name} has no label`);
      }
      if (document.querySelectorAll("h1").length !== 1) faults.push("not exactly one h1");
      if (document.querySelectorAll("main").length !== 1) faults.push("not exactly one main");
      const inline = '[style]:not([style=""]), style, script:not([src])'; // screenshots leave empty ones
      if (document.querySelector(inline)) faults.push(`inline style or script: ${document.querySelector(inline).outerHTML.slice(0, 200)}`);
      return faults;
    });
    // Colour contrast, names, roles, landmarks: WCAG 2.2 A and AA, as far as a program can tell.
    if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe.source);
    const rules = { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] };
    const { violations } = await page.evaluate((rules) => window.axe.run(document, rules), rules);
    const unsound = violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 120)} ${node.failureSummary}`));
    return [...found, ...unsound, ...page.violations];
  },
};

process.stdout.write('{"value":"ready"}\n');
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await commands[command.do](command, pages.get(command.page))) ?? null };
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
