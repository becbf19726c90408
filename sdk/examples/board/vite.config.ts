import react from "@vitejs/plugin-react";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const src = (name: string) => fileURLToPath(new URL(`../../src/${name}.ts`, import.meta.url));

export default defineConfig({
  plugins: [react()],
  resolve: {
    alias: [
      { find: /^walwire$/, replacement: src("index") },
      { find: /^walwire\/react$/, replacement: src("react") },
    ],
    dedupe: ["react", "react-dom"],
  },
  build: {
    outDir: "../../../internal/board/dist",
    emptyOutDir: true,
    rollupOptions: { output: { entryFileNames: "board.js", assetFileNames: "board[extname]" } },
  },
  server: { proxy: { "/v1": { target: "http://127.0.0.1:8080", ws: true }, "/demo": "http://127.0.0.1:8080" } },
});
