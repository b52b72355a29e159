// How the dashboard is built, tested, and served while it is worked on.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// The development server passes calls of the API on to a running server, under that server's own name: the server only
// accepts calls from pages of the host that a request names.
const server = process.env.HEADWAY_URL ?? "http://127.0.0.1:6420";

export default defineConfig({
  plugins: [svelte()],
  base: "/",
  build: {
    target: "es2022",
    // The policy of the server allows no `data:` but images, and no inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: {
    proxy: { "^/headway\\.v1\\.\\w+Service/": { target: server } },
  },
  test: {
    include: ["src/**/*.test.ts"],
    environment: "node",
  },
});
