// Look at pages of the built site as readers do: `make browse`. Exit status 1 with what is wrong, if anything is.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import puppeteer from "puppeteer-core";

const [root, shots] = process.argv.slice(2).map((name) => path.resolve(name));
const SKIPPED = new Set(["search.html", "genindex.html", "py-modindex.html"]); // made by sphinx
const pages = (folder) => fs.readdirSync(path.join(root, folder)).filter((name) => name.endsWith(".html") && !SKIPPED.has(name))
  .map((name) => path.posix.join(folder, name));
// Every page but those of single functions, of which one stands for all: they are made alike.
const PAGES = ["", "results", "auto_tutorials", "auto_gallery", "reference"].flatMap(pages).concat("reference/generated/sfbench.fuse.html");
const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const find = (name) => { try { return execFileSync("which", [name]).toString().trim(); } catch { return ""; } };
const executablePath = process.env.CHROMIUM || ["chromium", "chromium-browser", "google-chrome"].map(find).find(Boolean);
if (!executablePath) { console.error("no Chromium: install one, or name it in CHROMIUM"); process.exit(1); }

fs.mkdirSync(shots, { recursive: true });
const browser = await puppeteer.launch({ executablePath, headless: true, args: ["--no-sandbox", "--allow-file-access-from-files"] });
const wrong = [];
for (const name of PAGES) for (const mode of ["light", "dark"]) {
  const page = await browser.newPage();
  const say = (text) => wrong.push(`${name} (${mode}): ${text}`);
  page.on("request", (request) => { if (/^(https?|wss?):/.test(request.url())) say(`fetches ${request.url()}`); });
  page.on("requestfailed", (request) => say(`misses ${request.url()}`));
  page.on("pageerror", (error) => say(String(error)));
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: mode }]);
  await page.setViewport({ width: 1280, height: 900 });
  await page.goto(`file://${root}/${name}`, { waitUntil: "load" });
  await page.waitForFunction(
    () => document.querySelectorAll(".math").length <= document.querySelectorAll("mjx-container svg").length, { timeout: 15000 },
  ).catch(() => say("formulas are not set"));
  const file = path.join(shots, name.replace(/\W+/g, "_"));
  await page.screenshot({ path: `${file}_${mode}.png` });
  await page.evaluate(axe);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  for (const { id, impact, nodes } of found.violations)
    if (["serious", "critical"].includes(impact)) say(`${id}, ${nodes.length} times: ${nodes[0].html.slice(0, 120)}`);
  await page.setViewport({ width: 360, height: 740 });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  if (width > 360) say(`is ${width} px wide on a screen of 360`);
  await page.screenshot({ path: `${file}_${mode}_360.png` });
  await page.close();
}
await browser.close();
console.log(wrong.length ? wrong.join("\n") : `${PAGES.length} pages, light and dark: nothing wrong; screenshots in ${shots}`);
process.exit(wrong.length ? 1 : 0);
