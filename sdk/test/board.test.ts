import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium, type Browser, type Locator, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Network, Server } from "./server.js";

const shots = join(import.meta.dirname, "..", "shots"); // kept, to be looked at
let server: Server;
let browser: Browser;

beforeAll(async () => {
  mkdirSync(shots, { recursive: true });
  server = await Server.start();
  browser = await chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
  });
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await server.stop();
});

/** A page with both panes live, and what went wrong on it. */
async function open(url = server.url, size = { width: 1440, height: 1000 }): Promise<{ page: Page; left: Locator; right: Locator; problems: string[] }> {
  const page = await browser.newPage({ viewport: size });
  const problems: string[] = [];
  page.on("pageerror", (e) => problems.push(e.message));
  await page.goto(url);
  await page.locator(".badge.connected").nth(1).waitFor();
  const panes = page.locator(".pane");
  return { page, left: panes.nth(0), right: panes.nth(1), problems };
}

/** The id of an appointment that both panes show, made pending. */
async function shared(): Promise<{ id: string; name: string }> {
  const row = await server.sql(
    `UPDATE appointments SET status = 'pending', starts_at = date_trunc('day', now()) + interval '20 h', ends_at = date_trunc('day', now()) + interval '21 h', service_type = 'shared ' || left(id::text, 8)
     WHERE id = (SELECT a.id FROM appointments a JOIN staff s ON s.id = a.staff_id WHERE s.user_id = 'nord-staff-2' ORDER BY a.id LIMIT 1) RETURNING id, service_type`);
  return { id: row["id"] as string, name: row["service_type"] as string };
}

test("a click in one pane shows in the other, and so does SQL; each sees what their role may", async () => {
  const { page, left, right, problems } = await open();
  const { id, name } = await shared();
  const mine = left.locator(".card", { hasText: name });
  const theirs = right.locator(".card", { hasText: name });
  await theirs.waitFor();
  await mine.getByRole("button", { name: "Confirm" }).click();
  await theirs.locator(".state", { hasText: "confirmed" }).waitFor();
  expect(await page.locator(".sql code").first().textContent()).toContain(id);
  await server.sql("UPDATE appointments SET price = 77.5, internal_notes = 'between us' WHERE id = $1", [id]);
  await mine.getByText("77.50").waitFor();
  await mine.getByText("between us").waitFor();
  await server.sql("UPDATE appointments SET status = 'cancelled' WHERE id = $1", [id]);
  await theirs.locator(".state", { hasText: "cancelled" }).waitFor();
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
  const { name } = await shared();
  await right.locator(".card", { hasText: name }).waitFor();
  await right.locator("header select").selectOption("other_company_owner");
  await right.locator(".badge.connected").waitFor();
  await right.locator(".board").waitFor();
  expect(await right.locator(".card", { hasText: name }).count()).toBe(0);
  await page.close();
});

test("the network is cut and comes back, and the board goes on", async () => {
  const network = await Network.to(server.url);
  const { page, left, right } = await open(network.url);
  const { id, name } = await shared();
  await right.locator(".card", { hasText: name }).waitFor();
  network.cut();
  await left.locator(".badge.connecting").waitFor();
  await server.sql("UPDATE appointments SET status = 'in_progress' WHERE id = $1", [id]);
  await page.screenshot({ path: join(shots, "cut.png") });
  network.mend();
  for (const pane of [left, right]) {
    await pane.locator(".badge.connected").waitFor();
    await pane.locator(".card", { hasText: name }).locator(".state", { hasText: "in progress" }).waitFor();
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
