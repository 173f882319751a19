// For `deno serve --parallel`: an isolate for each core, kept between requests.
import decide from "./decision.js";

export default {
  async fetch(request) {
    return new Response(decide(await request.text()), { headers: { "content-type": "application/json" } });
  },
};
