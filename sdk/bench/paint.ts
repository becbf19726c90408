// How long it takes from a commit until React has painted it, beside a raw WebSocket in the
// same page: npm run bench. Both clocks are this machine's.
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { Server, until } from "../test/server.js";

const commits = Number(process.argv[2] ?? 1000);
const server = await Server.start();
const browser = await chromium.launch({
  executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-features=LocalNetworkAccessChecks"], // the page has no address of its own
});
try {
  const { outputFiles } = await build({ entryPoints: ["bench/page.tsx"], bundle: true, minify: true, format: "iife", write: false, jsx: "automatic", define: { "process.env.NODE_ENV": '"production"' } });
  const page = await browser.newPage();
  page.on("pageerror", (e) => console.error(e));
  page.on("console", (m) => console.error(m.text()));
  page.on("requestfailed", (r) => console.error(r.url(), r.failure()));
  await page.route(`${server.url}/paint`, (route) =>
    route.fulfill({ contentType: "text/html", body: `<!doctype html><div id="root"></div><script>window.token = "${server.ready.tokens.owner}"</script><script src="/paint.js"></script>` }),
  );
  await page.route(`${server.url}/paint.js`, (route) => route.fulfill({ contentType: "text/javascript", body: outputFiles[0]!.text }));
  await page.goto(`${server.url}/paint`);
  await until("the page to show rows", () => page.evaluate(() => window.ready.raw && window.ready.react));
  const { id } = await server.sql("SELECT c.id FROM clients c JOIN staff s USING (company_id) WHERE s.user_id = 'nord-staff-0' ORDER BY c.id LIMIT 1");
  const at = new Map<number, number>();
  for (let n = 1; n <= commits; n++) {
    await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 40)); // as people write, and no frame's beat
    at.set(n, performance.timeOrigin + performance.now());
    await server.sql("UPDATE clients SET name = $1 WHERE id = $2", [`Paint ${n}`, id]);
  }
  await until("the last to be painted", () => page.evaluate((n) => (window.react.get(n) ?? 0) > 0 && window.raw.has(n), commits));
  const seen = await page.evaluate(() => ({ raw: [...window.raw], react: [...window.react] }));
  const line = (name: string, list: readonly (readonly [number, number])[]) => {
    const took = list.filter(([n]) => at.has(n)).map(([n, t]) => t - at.get(n)!).sort((a, b) => a - b);
    const quantile = (q: number) => took[Math.min(took.length - 1, Math.floor(q * took.length))]!;
    console.log(`${name.padEnd(24)} ${took.length} of ${commits}  p50 ${quantile(0.5).toFixed(1)} ms  p99 ${quantile(0.99).toFixed(1)} ms`);
    return quantile(0.99);
  };
  const raw = line("commit to raw message", seen.raw);
  const react = line("commit to React's paint", seen.react);
  console.log(`more at p99              ${(react - raw).toFixed(1)} ms (a frame is 16.7 ms)`);
} finally {
  await browser.close();
  await server.stop();
}
