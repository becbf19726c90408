import { defineConfig } from "vitest/config";

export default defineConfig({ test: { reporters: ["dot"], testTimeout: 120_000, hookTimeout: 120_000, fileParallelism: false, setupFiles: ["test/setup.ts"] } });
