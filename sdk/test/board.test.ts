import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium, type Browser, type Locator, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Front, Network, Serve, Server, until } from "./server.js";

const shots = join(import.meta.dirname, "..", "shots"); // kept, to be looked at
let server: Server;
let serve: Serve;
let browser: Browser;
let second: Browser;

const launch = () =>
  chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
  });

beforeAll(async () => {
  mkdirSync(shots, { recursive: true });
  server = await Server.start();
  serve = await Serve.start(server);
  [browser, second] = await Promise.all([launch(), launch()]);
}, 120_000);
afterAll(async () => {
  await Promise.all([browser, second].map((b) => b?.close()));
  await serve?.stop();
  await server?.stop();
});
afterEach(async () => {
  await Promise.all([browser, second].flatMap((b) => b.contexts()).map((c) => c.close()));
  await serve.up();
});

/** A page with both panes live, and what went wrong on it. */
async function open(url = server.url, size = { width: 1440, height: 1000 }, of = browser): Promise<{ page: Page; left: Locator; right: Locator; problems: string[] }> {
  const page = await of.newPage({ viewport: size });
  page.setDefaultTimeout(60_000);
  const problems: string[] = [];
  page.on("pageerror", (e) => problems.push(e.message));
  await page.goto(url);
  await page.locator(".badge.connected").nth(1).waitFor();
  const panes = page.locator(".pane");
  return { page, left: panes.nth(0), right: panes.nth(1), problems };
}

/** Waits until a pane shows the card of that name in a state. */
const showing = (pane: Locator, name: string, state: string) => pane.locator(".card", { hasText: name }).locator(".state", { hasText: state }).waitFor();

/** The id of an appointment that all these panes show, made pending: it is the same in each test, and shows what the one before left until then. */
async function shared(...panes: Locator[]): Promise<{ id: string; name: string }> {
  const row = await server.sql(
    `UPDATE appointments SET status = 'pending', starts_at = date_trunc('day', now()) + interval '20 h', ends_at = date_trunc('day', now()) + interval '21 h', service_type = 'shared ' || left(id::text, 8)
     WHERE id = (SELECT a.id FROM appointments a JOIN staff s ON s.id = a.staff_id WHERE s.user_id = 'nord-staff-2' ORDER BY a.id LIMIT 1) RETURNING id, service_type`);
  const name = row["service_type"] as string;
  await Promise.all(panes.map((pane) => showing(pane, name, "pending")));
  return { id: row["id"] as string, name };
}

test("a click in one pane shows in the other, and so does SQL; each sees what their role may", async () => {
  const { page, left, right, problems } = await open();
  const { id, name } = await shared(left, right);
  const mine = left.locator(".card", { hasText: name });
  const theirs = right.locator(".card", { hasText: name });
  await mine.getByRole("button", { name: "Confirm" }).click();
  await showing(right, name, "confirmed");
  expect(await page.locator(".sql code").first().textContent()).toContain(id);
  await server.sql("UPDATE appointments SET price = 77.5, internal_notes = 'between us' WHERE id = $1", [id]);
  await mine.getByText("77.50").waitFor();
  await mine.getByText("between us").waitFor();
  await server.sql("UPDATE appointments SET status = 'cancelled' WHERE id = $1", [id]);
  await showing(right, name, "cancelled");
  expect(await theirs.textContent()).not.toMatch(/77\.50|between us/);
  await page.screenshot({ path: join(shots, "light.png") });
  await page.selectOption(".top select", "dark");
  await left.locator(".bell button").first().click();
  await page.screenshot({ path: join(shots, "dark.png"), fullPage: true });
  expect(problems).toEqual([]);
  await page.close();
});

test("another person, another company: nothing of the one before stays", async () => {
  const { page, right } = await open();
  const { name } = await shared(right);
  await right.locator("header select").selectOption("other_company_owner");
  await right.locator(".badge.connected").waitFor();
  await right.locator(".board").waitFor();
  expect(await right.locator(".card", { hasText: name }).count()).toBe(0);
  await page.close();
});

test("the network is cut and comes back, and the board goes on", async () => {
  const network = await Network.to(server.url);
  const { page, left, right } = await open(network.url);
  const { id, name } = await shared(left, right);
  network.cut();
  await left.locator(".badge.connecting").waitFor();
  await server.sql("UPDATE appointments SET status = 'in_progress' WHERE id = $1", [id]);
  await page.screenshot({ path: join(shots, "cut.png") });
  network.mend();
  for (const pane of [left, right]) {
    await pane.locator(".badge.connected").waitFor();
    await showing(pane, name, "in progress");
  }
  await page.close();
  network.close();
});

test("a narrow screen, and the keyboard", async () => {
  const { page, left } = await open(server.url, { width: 390, height: 844 });
  expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
  await page.screenshot({ path: join(shots, "narrow.png") });
  const bell = left.locator(".bell button").first();
  await bell.focus();
  await page.keyboard.press("Enter");
  await left.locator(".drop").waitFor();
  await page.keyboard.press("Enter");
  await left.locator(".drop").waitFor({ state: "detached" });
  await page.close();
});

test("two browsers, two roles: a click in one and SQL from elsewhere show in both", async () => {
  const [one, other] = await Promise.all([open(), open(server.url, undefined, second)]);
  await one.left.locator("header select").selectOption("receptionist");
  await other.left.locator("header select").selectOption("staff");
  await Promise.all([one, other].map((b) => b.left.locator(".badge.connected").waitFor()));
  const { id, name } = await shared(one.left, other.left);
  await one.left.locator(".card", { hasText: name }).getByRole("button", { name: "Confirm" }).click();
  await showing(other.left, name, "confirmed");
  execFileSync("psql", ["-qc", `UPDATE appointments SET status = 'in_progress' WHERE id = '${id}'`, server.ready.database_url]);
  await Promise.all([one.left, other.left].map((pane) => showing(pane, name, "in progress")));
  await one.page.screenshot({ path: join(shots, "first-browser.png") });
  await other.page.screenshot({ path: join(shots, "second-browser.png") });
  expect([...one.problems, ...other.problems]).toEqual([]);
  await Promise.all([one, other].map((b) => b.page.close()));
});

test("the server is killed, and the board goes on when it is back", async () => {
  const front = await Front.to(server, serve, 3600);
  const { page, left, right, problems } = await open(front.url);
  const { id, name } = await shared(left, right);
  await serve.end("SIGKILL");
  await left.locator(".badge.connecting").waitFor();
  await server.sql("UPDATE appointments SET status = 'cancelled' WHERE id = $1", [id]);
  expect(await left.locator(".card", { hasText: name }).locator(".state").textContent()).toBe("pending"); // nobody is there to tell it
  await page.screenshot({ path: join(shots, "killed.png") });
  await serve.again();
  for (const pane of [left, right]) {
    await pane.locator(".badge.connected").waitFor();
    await showing(pane, name, "cancelled");
  }
  expect(problems).toEqual([]);
  await page.close();
  front.close();
});

test("a tab that was frozen until its token had ended goes on with a new one", async () => {
  const front = await Front.to(server, serve, 6);
  const { page, left, right } = await open(front.url);
  const { id, name } = await shared(left, right);
  const tab = await page.context().newCDPSession(page);
  await tab.send("Debugger.enable");
  const paused = new Promise<void>((resolve) => tab.once("Debugger.paused", () => resolve()));
  await tab.send("Debugger.pause"); // nothing of the page runs, as in a laptop that sleeps
  await paused;
  await until("the server to end the connections", async () => (await serve.metric('walwire_connections{transport="websocket"}')) === 0, 60_000);
  await server.sql("UPDATE appointments SET status = 'checked_in' WHERE id = $1", [id]);
  await tab.send("Debugger.resume");
  for (const pane of [left, right]) {
    await showing(pane, name, "checked in");
    await pane.locator(".badge.connected").waitFor();
  }
  await page.close();
  front.close();
});
