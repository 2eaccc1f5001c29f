import js from "@eslint/js";
import globals from "globals";

const limits = {
  "max-lines-per-function": ["error", { max: 45, skipBlankLines: true, skipComments: true }],
  "max-len": ["error", { code: 120, ignoreUrls: true }],
  eqeqeq: "error",
  "no-var": "error",
  "prefer-const": "error",
};

export default [
  js.configs.recommended,
  { files: ["page/**"], languageOptions: { globals: { ...globals.browser, ...globals.worker } }, rules: limits },
  { files: ["tests/**", "build.js"], languageOptions: { globals: globals.node }, rules: limits },
];
