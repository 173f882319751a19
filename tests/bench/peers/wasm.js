// The core module of the same component under Node: one WebAssembly instance for each request, and no wrapping of its
// imports, which it does not call with these settings.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { serve } from "./node.js";

const module = new WebAssembly.Module(readFileSync(join(process.argv[3], "policy.core.wasm")));
const imports = {};
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  imports[from] ??= {};
  imports[from][name] = () => {
    throw new Error(`${from} is not to be called`);
  };
}
const encoder = new TextEncoder();
const decoder = new TextDecoder();

serve((body) => {
  const { policy_rule_uri, input_data, parameters } = JSON.parse(body);
  const { exports } = new WebAssembly.Instance(module, imports);
  const lower = (text) => {
    const bytes = encoder.encode(text);
    const at = exports.cabi_realloc(0, 0, 1, bytes.length);
    new Uint8Array(exports.memory.buffer, at, bytes.length).set(bytes);
    return [at, bytes.length];
  };
  const given = JSON.stringify(parameters);
  exports["lictor:policy/rule@1.0.0#init"](...lower(policy_rule_uri), ...lower("{}"), ...lower(given));
  const at = exports["lictor:policy/rule@1.0.0#eval"](1, ...lower(given), ...lower(JSON.stringify(input_data)), ...lower("{}"));
  const [failed, text, length] = new Uint32Array(exports.memory.buffer, at, 3);
  if (failed & 255) throw new Error("the policy failed");
  return decoder.decode(new Uint8Array(exports.memory.buffer, text, length));
});
