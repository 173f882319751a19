// The decision as a Cedar policy, which was parsed before, asked through Cedar's own WebAssembly build.
import { createRequire } from "node:module";
import { join } from "node:path";
import { serve } from "./node.js";

const { preparsePolicySet, statefulIsAuthorized } = createRequire(join(process.argv[3], "package.json"))(
  "@cedar-policy/cedar-wasm/nodejs",
);
const policy = "permit(principal, action, resource) when { context.local_allowlist.contains(context.ip) };";
const parsed = preparsePolicySet("ip_allowlist", { staticPolicies: policy });
if (parsed.type !== "success") throw new Error(JSON.stringify(parsed));

serve((body) => {
  const { input_data, parameters } = JSON.parse(body);
  const answer = statefulIsAuthorized({
    principal: { type: "User", id: "someone" },
    action: { type: "Action", id: "enter" },
    resource: { type: "System", id: "internal" },
    context: { ip: input_data.ip, local_allowlist: parameters.local_allowlist },
    preparsedPolicySetId: "ip_allowlist",
    entities: [],
  });
  const allowed = answer.type === "success" && answer.response.decision === "allow";
  return JSON.stringify({ allowed, input_data, reason: allowed ? "allowed" : "denied" });
});
