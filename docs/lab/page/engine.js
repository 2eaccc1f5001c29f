/** ONNX Runtime with the exported graphs: one weight file, a session for each graph, maps that are kept. */

/** @typedef {typeof import("./ort/ort.js")} Runtime */

const RUNTIMES = {
  wasm: { module: "./ort/ort.js", binary: "page/ort/ort-wasm-simd-threaded.wasm", bytes: 14.2e6 },
  webgpu: { module: "./ort/ort.webgpu.js", binary: "page/ort/ort-wasm-simd-threaded.asyncify.wasm", bytes: 26.8e6 },
};
// A graph that hands on its input: a session of it starts the runtime.
const SMALLEST = "CAg6NwoQCgF4EgF5IghJZGVudGl0eRIBZ1oPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCBAoAEBI=";
const SESSIONS = 4; // kept open; each holds a copy of the weights
const KEPT_BYTES = 30e6; // of maps, 0.2 MB each

/**
 * @typedef {import("./types.js").Manifest} Manifest
 * @typedef {Record<string, Float32Array>} Result  the graph's outputs: maps, and "logits"
 * @typedef {{
 *   photo: string, graph: string, depth: number, positive: number, shift: number,
 *   score: [plus: number, minus: number | "mean" | null]
 * }} Run  score: the class whose logit is asked about, and what is subtracted from it
 */

/**
 * A cache of the things used last.
 * @template T
 */
export class Kept {
  /**
   * @param {number} most the largest size of all together
   * @param {(thing: T) => number} [size] of one thing; 1 if all count alike
   * @param {(thing: T) => void} [drop]
   */
  constructor(most, size = () => 1, drop = () => {}) {
    this.most = most;
    this.size = size;
    this.drop = drop;
    /** @type {Map<string, T>} */
    this.things = new Map();
  }

  /** @param {string} key */
  get(key) {
    const thing = this.things.get(key);
    if (thing !== undefined) {
      this.things.delete(key);
      this.things.set(key, thing);
    }
    return thing;
  }

  /**
   * @param {string} key
   * @param {T} thing
   */
  set(key, thing) {
    this.things.set(key, thing);
    let all = [...this.things.values()].reduce((sum, each) => sum + this.size(each), 0);
    for (const [oldest, old] of this.things) {
      if (all <= this.most || old === thing) break; // the newest stays, however large
      this.things.delete(oldest);
      all -= this.size(old);
      this.drop(old);
    }
  }
}

/** @param {Result} result */
const bytesOf = (result) => Object.values(result).reduce((sum, map) => sum + map.byteLength, 0);

export class Engine {
  /**
   * @param {URL} base the folder of index.html
   * @param {"wasm" | "webgpu"} backend
   */
  constructor(base, backend = "wasm") {
    this.base = base;
    this.backend = backend;
    /** @type {Runtime} */
    this.ort = /** @type {any} */ (null);
    /** @type {Manifest} */
    this.manifest = /** @type {Manifest} */ ({});
    this.weights = new Uint8Array();
    /** @type {Map<string, Uint8Array>} what takes the place of weights, by file */
    this.random = new Map();
    /** @type {Map<string, Float32Array>} the network's inputs by the photo's name */
    this.inputs = new Map();
    /** @type {Kept<import("./ort/ort.js").InferenceSession>} */
    this.sessions = new Kept(SESSIONS, () => 1, (session) => void session.release());
    /** @type {Kept<Result>} */
    this.results = new Kept(KEPT_BYTES, bytesOf);
  }

  /**
   * Fetch what every map needs.
   * @param {(done: number, total: number) => void} progress in bytes
   * @param {Engine} [other] one that has the manifest and the weights already
   */
  async load(progress, other) {
    const { module, binary, bytes } = RUNTIMES[this.backend];
    this.manifest = other?.manifest ?? (await (await this.fetched("model/manifest.json")).json());
    const { weights } = this.manifest;
    const total = bytes + (other ? 0 : this.manifest.bytes[weights]);
    let done = 0;
    const more = (/** @type {number} */ piece) => progress((done += piece), total);
    const data = other?.weights ?? this.bytes(`model/${weights}`, more);
    [, this.weights] = await Promise.all([this.start(module, binary).then(() => more(bytes)), data]);
    this.inputs = other?.inputs ?? this.inputs;
    this.results = other?.results ?? this.results; // one bound for both
  }

  /**
   * Start ONNX Runtime. It fetches its WebAssembly by itself, so that the browser compiles what has come while the rest
   * is on its way, and keeps the compiled code for the next visit.
   * @param {string} module
   * @param {string} binary
   */
  async start(module, binary) {
    this.ort = await import(module);
    this.ort.env.logLevel = "error";
    this.ort.env.wasm.numThreads = 1; // threads would need special headers from the server
    this.ort.env.wasm.wasmPaths = { wasm: new URL(binary, this.base).href };
    const smallest = Uint8Array.from(atob(SMALLEST), (letter) => letter.charCodeAt(0));
    await (await this.ort.InferenceSession.create(smallest, { executionProviders: [this.backend] })).release();
  }

  /** @param {string} path */
  async fetched(path) {
    const response = await fetch(new URL(path, this.base)).catch(() => null);
    if (!response?.ok) throw new Error(`The file ${path} can't be loaded. Check the connection, then reload the page.`);
    return response;
  }

  /**
   * Fetch a file, telling after each piece how long it was.
   * @param {string} path
   * @param {(bytes: number) => void} [more]
   */
  async bytes(path, more) {
    const response = await this.fetched(path);
    if (!more) return new Uint8Array(await response.arrayBuffer());
    /** @type {Uint8Array[]} */
    const pieces = [];
    const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      pieces.push(piece.value);
      more(piece.value.length);
    }
    const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let start = 0;
    for (const piece of pieces) {
      all.set(piece, start);
      start += piece.length;
    }
    return all;
  }

  /**
   * Return the weights of the network whose last layers are random.
   * @param {number} depth how many of them
   */
  async weightsAt(depth) {
    if (depth === 0) return this.weights;
    const patched = this.weights.slice();
    for (const { file, replaced } of this.manifest.randomized.steps.filter((step) => step.depth <= depth)) {
      const data = this.random.get(file) ?? (await this.bytes(`model/${file}`));
      this.random.set(file, data);
      let start = 0;
      for (const { offset, length } of replaced) {
        patched.set(data.subarray(start, start + length), offset);
        start += length;
      }
    }
    return patched;
  }

  /**
   * @param {string} graph
   * @param {number} depth
   */
  async session(graph, depth) {
    const key = `${depth} ${graph}`;
    const kept = this.sessions.get(key);
    if (kept) return kept;
    const [model, data] = await Promise.all([this.bytes(`model/${graph}`), this.weightsAt(depth)]);
    const session = await this.ort.InferenceSession.create(model, {
      executionProviders: [this.backend],
      logSeverityLevel: 3, // errors
      externalData: [{ path: this.manifest.weights, data }],
    });
    this.sessions.set(key, session);
    return session;
  }

  /** @param {Run} run */
  kept(run) {
    return this.results.get(this.name(run));
  }

  /** @param {Run} run */
  name(run) {
    return `${this.backend} ${JSON.stringify(run)}`;
  }

  /**
   * Return a graph's maps; they are kept.
   * @param {Run} run
   * @returns {Promise<Result>}
   */
  async run(run) {
    const found = this.kept(run);
    if (found) return found;
    const result = await this.compute(run);
    this.results.set(this.name(run), result);
    return result;
  }

  /**
   * Compute a graph's maps.
   * @param {Run} run
   * @returns {Promise<Result>}
   */
  async compute(run) {
    const session = await this.session(run.graph, run.depth);
    const outputs = await session.run(this.feeds(run, session.inputNames));
    return Object.fromEntries(
      Object.entries(outputs).map(([name, tensor]) => [name, /** @type {Float32Array} */ (tensor.data)]),
    );
  }

  /**
   * @param {Run} run
   * @param {readonly string[]} names the graph's inputs
   */
  feeds(run, names) {
    const [height, width] = this.manifest.preprocess.size;
    const score = new Float32Array(this.manifest.labels.length);
    const [plus, minus] = run.score;
    if (minus === "mean") score.fill(-1 / score.length);
    if (typeof minus === "number") score[minus] -= 1;
    score[plus] += 1;
    const input = this.inputs.get(run.photo) ?? new Float32Array();
    const number = (/** @type {number} */ value) => new this.ort.Tensor("float32", Float32Array.of(value), []);
    /** @type {Record<string, import("./ort/ort.js").Tensor>} */
    const all = {
      photo: new this.ort.Tensor("float32", input, [1, 3, height, width]),
      score: new this.ort.Tensor("float32", score, [1, score.length]),
      positive: number(run.positive),
      shift: number(run.shift),
    };
    return Object.fromEntries(names.map((name) => [name, all[name]]));
  }
}
