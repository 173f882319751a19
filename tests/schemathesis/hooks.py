"""What the document cannot say: one field of the form of an upload is JSON as text."""

import json

import schemathesis


@schemathesis.hook
def map_body(context, body):
    text = body.get("asset_metadata") if isinstance(body, dict) else None
    if context.operation.label == "POST /upload_asset" and isinstance(text, str) and len(text) % 2 == 0:
        name = "".join(c for c in text if c.isascii() and c.isalnum())[:100]
        version = {"version": "1.0", "tag": "sent"}
        return {**body, "asset_metadata": json.dumps({"asset_name": f"a{name}", "asset_version": version})}
    return body
