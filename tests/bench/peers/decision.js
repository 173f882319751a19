// The decision that every peer in JavaScript makes: what `ip_allowlist` decides about the body of an execute_policy call.
// In the JavaScript of all of them: that of njs has no destructuring and only default exports.
function decide(body) {
  const call = JSON.parse(body);
  const allowed = call.parameters.local_allowlist.includes(call.input_data.ip);
  return JSON.stringify({ allowed: allowed, input_data: call.input_data, reason: allowed ? "allowed" : "denied" });
}

export default decide;
