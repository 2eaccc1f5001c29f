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
const WASM = "ort-wasm-simd-threaded.wasm"; // the leanest: one thread needs no special headers

rmSync(join(out, "page"), { recursive: true, force: true });
mkdirSync(join(out, "page/ort"), { recursive: true });
cpSync(join(here, "page"), join(out, "page"), { recursive: true, filter: (path) => !path.endsWith(".d.ts") });
cpSync(join(here, "index.html"), join(out, "index.html"));
const module = readFileSync(join(runtime, "dist/ort.wasm.bundle.min.mjs"), "utf8");
// Some servers don't know .mjs, and a browser runs no module of another type.
writeFileSync(join(out, "page/ort/ort.js"), module.replace(/\n\/\/# sourceMappingURL=.*\s*$/, "\n"));
cpSync(join(runtime, "dist", WASM), join(out, "page/ort", WASM));
console.log(`The page lies in ${out}.`);
