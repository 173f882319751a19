// For nginx with njs, which runs each request in a virtual machine of its own, cloned from one that has read this file.
import decide from "decision.js";

function answer(r) {
  r.headersOut["Content-Type"] = "application/json";
  r.return(200, decide(r.requestText));
}

export default { answer: answer };
