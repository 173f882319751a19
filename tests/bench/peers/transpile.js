// Makes JavaScript and core modules of a component: transpile.js COMPONENT FOLDER, run where jco is installed.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [component, folder] = process.argv.slice(2);
const jco = createRequire(resolve("package.json")).resolve("@bytecodealliance/jco-transpile");
const { transpileBytes } = await import(pathToFileURL(jco));
const options = { name: "policy", instantiation: "sync", noTypescript: true };
const { files } = await transpileBytes(readFileSync(component), options);
for (const [name, content] of Object.entries(files)) {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), content);
}
