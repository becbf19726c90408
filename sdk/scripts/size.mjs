// Prints what each entry adds to a page, minified and gzipped, and fails above its budget.
import { build } from "esbuild";
import { gzipSync } from "node:zlib";

const entries = [
  { entry: "index", budget: 8192, external: [] },
  { entry: "react", budget: 2048, external: ["react", "./index.js"] },
  { entry: "firestore", budget: 5120, external: ["./index.js", "../index.js"] },
];

let over = false;
for (const { entry, budget, external } of entries) {
  const { outputFiles } = await build({
    entryPoints: [`src/${entry}.ts`],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    external,
  });
  const size = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  over ||= size > budget;
  console.log(`${entry.padEnd(10)} ${String(size).padStart(5)} of ${budget} octets min+gzip`);
}
process.exit(over ? 1 : 0);
