/**
 * Copy the page and what it needs of ONNX Runtime to a folder: build/lab of the project, or the one that is named.
 *
 *     npm run build -- FOLDER
 *
 * The page is plain modules, so there is nothing to compile. The model comes from docs/lab/export.py.
 */

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "../../build/lab"));
const runtime = join(here, "node_modules/onnxruntime-web");
// The leanest for all, which needs no special headers since it has one thread; and one for graphics processors, which
// is loaded only when somebody asks for it.
const RUNTIMES = [
  ["ort.wasm.bundle.min.mjs", "ort.js", "ort-wasm-simd-threaded.wasm"],
  ["ort.webgpu.bundle.min.mjs", "ort.webgpu.js", "ort-wasm-simd-threaded.asyncify.wasm"],
];

rmSync(join(out, "page"), { recursive: true, force: true });
mkdirSync(join(out, "page/ort"), { recursive: true });
cpSync(join(here, "page"), join(out, "page"), { recursive: true, filter: (path) => !path.endsWith(".d.ts") });
cpSync(join(here, "index.html"), join(out, "index.html"));
for (const [module, name, wasm] of RUNTIMES) {
  const text = readFileSync(join(runtime, "dist", module), "utf8");
  // Some servers don't know .mjs, and a browser runs no module of another type.
  writeFileSync(join(out, "page/ort", name), text.replace(/\n\/\/# sourceMappingURL=.*\s*$/, "\n"));
  cpSync(join(runtime, "dist", wasm), join(out, "page/ort", wasm));
}
console.log(`The page lies in ${out}.`);
