// How the pages are built. Rule: nothing is inlined (the content security policy allows no inline script), and what is big
// and rarely wanted (terminal, screen, charts, guide) is a file of its own.
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react()],
  build: { target: "es2022", modulePreload: { polyfill: false }, assetsInlineLimit: 0, reportCompressedSize: false },
  // Tests compare the words with what the program writes: its sources are beside.
  server: { port: 9100, fs: { allow: [".."] }, proxy: { "/api": { target: "http://127.0.0.1:9000", ws: true }, "/session": "http://127.0.0.1:9000" } },
});
