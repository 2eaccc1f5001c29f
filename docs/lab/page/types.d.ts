/** What docs/lab/export.py writes, and what the page and its worker say to each other. */

import type { Preprocess } from "./resize.js";
import type { State } from "./state.js";

declare global {
  interface Navigator {
    gpu?: { requestAdapter(): Promise<object | null> };
  }
}

export interface Handling {
  key: State["handling"];
  /** The graphs' input of that name: 0 signed, 1 positive, 2 absolute. */
  positive: number;
  /** Where this handling has a graph of its own. */
  graph?: string;
}

export interface Method {
  key: string;
  title: string;
  line: string;
  /** Few cells, each of many pixels: best seen over the photo. */
  coarse: boolean;
  published: State["handling"] | null;
  handlings: Handling[];
  graph?: string;
  /** The graph's output. */
  output: string;
  /** A CAM's layers, the default first. */
  layers?: { name: string; graph: string }[];
}

/** Layers that are random from this step on, and what takes the place of their weights, one range after the other. */
export interface RandomStep {
  depth: number;
  layers: string[];
  file: string;
  replaced: { offset: number; length: number }[];
}

export interface Photo {
  name: string;
  file: string;
  licence: string;
  credit: string;
  shows: string;
  /** The most likely class. */
  asks: { index: number; label: string };
}

export interface Manifest {
  network: string;
  preprocess: Preprocess;
  bytes: Record<string, number>;
  weights: string;
  methods: Method[];
  randomized: { seed: number; layers: number; steps: RandomStep[] };
  shift: { values: number[] };
  labels: string[];
  synonyms: string[][];
  photos: Photo[];
}

/** Two maps of one setting, and all that is needed to say what they are. */
export interface Answer {
  state: State;
  classes: [number, number];
  maps: [Float32Array, Float32Array];
  /** The logits as the network with this shift gives them. */
  logits: Float32Array;
  /** The largest change of a probability by the shift. */
  softmaxChange: number;
  /** The magnitude of full colour of each map. */
  limits: [number, number];
  spearman: number;
  magnitudes: number;
  /** Milliseconds that it took, 0 where the maps were kept. */
  took: number;
}

export interface Seen {
  width: number;
  height: number;
  data: Uint8ClampedArray<ArrayBuffer>;
}

/** What the search for an impostor found. */
export interface Impostor {
  /** How many classes were tried. */
  tried: number;
  /** The largest probability among these. */
  most: number;
  /** Of the maps of class A and of the class that was found. */
  spearman: number;
}

export type ToWorker =
  | { kind: "photo"; name: string; blob: Blob }
  | { kind: "gpu" }
  /** own: each map on its own scale, as the puzzle shows them; that takes half as many maps. */
  | { kind: "look"; id: number; state: State; own: boolean }
  | { kind: "impostor"; id: number; state: State; turn: number };

export type FromWorker =
  | { kind: "progress"; done: number; total: number }
  | { kind: "graphics"; done: number; total: number; message: string }
  /** pixels: by how much the browser changes the pixels of a photo, at most, of 255. */
  | { kind: "ready"; manifest: Manifest; pixels: number }
  | { kind: "broken"; message: string }
  | { kind: "busy"; id: number; words: string }
  /** view: the photo of the answer's state, as the network sees it. */
  | { kind: "answer"; id: number; answer: Answer; view: Seen }
  | { kind: "question"; id: number; which: "a" | "b"; question: string; options: number[] }
  | { kind: "failed"; id: number; message: string }
  | ({ kind: "impostor"; id: number; index: number } & Impostor);
