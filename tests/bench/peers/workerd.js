// A worker as workerd documents it. Its isolate is kept between requests.
import decide from "decision.js";

export default {
  async fetch(request) {
    return new Response(decide(await request.text()), { headers: { "content-type": "application/json" } });
  },
};
