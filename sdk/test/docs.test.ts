import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

const sdk = join(import.meta.dirname, "..");
const dir = join(sdk, ".docs"); // below the packages that the examples import
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** What the examples take from the application that they stand in. */
const application = {
  "session.ts": "export const session = { accessToken: async () => 'a token' };",
  "Day.tsx": "export function Day() { return null; }",
  "rows.ts": "export interface ReceptionistAppointments { id: string; starts_at: string; status: string }",
};

test("the examples of the documentation are right", () => {
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir);
  for (const [name, text] of Object.entries(application)) {
    writeFileSync(join(dir, name), text);
  }
  let examples = 0;
  for (const page of ["docs/frontend.md", "docs/from-firestore.md", "docs/testing.md", "sdk/README.md"]) {
    const text = readFileSync(join(sdk, "..", page), "utf8");
    for (const [, kind, code] of text.matchAll(/^```(tsx?)\n([\s\S]*?)^```$/gm)) {
      writeFileSync(join(dir, `example${++examples}.${kind}`), `// ${page}\n${code}export {};\n`);
    }
  }
  expect(examples).toBeGreaterThan(8);
  const paths = { walwire: ["../src/index.ts"], "walwire/*": ["../src/*.ts"] };
  const config = { extends: "../tsconfig.json", compilerOptions: { noEmit: true, module: "ESNext", moduleResolution: "Bundler", paths, exactOptionalPropertyTypes: false }, include: ["*"] };
  writeFileSync(join(dir, "tsconfig.json"), JSON.stringify(config));
  try {
    execFileSync(join(sdk, "node_modules", ".bin", "tsc"), ["-p", dir], { encoding: "utf8" });
  } catch (e) {
    expect.fail((e as { readonly stdout: string }).stdout);
  }
});
