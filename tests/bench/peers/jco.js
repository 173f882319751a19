// The same component as Lictor runs, made into JavaScript by jco, with a fresh instance for each request.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { serve } from "./node.js";

const made = process.argv[3];
const { instantiate } = await import(pathToFileURL(join(made, "policy.js")));
const modules = new Map();
const moduleOf = (name) => {
  if (!modules.has(name)) modules.set(name, new WebAssembly.Module(readFileSync(join(made, name))));
  return modules.get(name);
};

// The policy makes no call of its host with these settings, so what it imports need not do anything.
const nothing = () => {
  throw new Error("not to be called");
};
const interfaces = {
  "wasi:http/outgoing-handler": ["handle"],
  "wasi:http/types": [
    "Fields",
    "FutureIncomingResponse",
    "IncomingBody",
    "IncomingResponse",
    "OutgoingBody",
    "OutgoingRequest",
    "RequestOptions",
    "httpErrorCode",
  ],
  "wasi:io/error": ["Error"],
  "wasi:io/poll": ["Pollable"],
  "wasi:io/streams": ["InputStream"],
  "wasi:logging/logging": ["log"],
};
const stub = (name) => (/^[A-Z]/.test(name) ? class {} : nothing);
const imports = Object.fromEntries(
  Object.entries(interfaces).map(([name, parts]) => [name, Object.fromEntries(parts.map((part) => [part, stub(part)]))]),
);

serve((body) => {
  const { policy_rule_uri, input_data, parameters } = JSON.parse(body);
  const { rule } = instantiate(moduleOf, imports);
  const given = JSON.stringify(parameters);
  rule.init(policy_rule_uri, "{}", given);
  return rule.eval(given, JSON.stringify(input_data), "{}");
});
