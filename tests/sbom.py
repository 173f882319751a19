"""Makes a bill of materials of what cargo-cyclonedx wrote, for `tests/dependencies.sh sbom`.

    sbom.py MADE LINKED ROOT

cargo-cyclonedx tells of everything that any feature of the workspace could bring; LINKED, which `cargo tree` wrote, has what
is linked. The rest is left out. So are the time and the place at which it was made: the same sources make the same bytes.
Ends with 1 if anything that is linked is missing.
"""

import json
import pathlib
import sys

made, linked, root = sys.argv[1:]
text = pathlib.Path(made).read_text()
bom = json.loads(text.replace(f"file://{root}/", "file:///").replace(f"file://{root}", "file://"))
packages = {tuple(line.split()[:2]) for line in pathlib.Path(linked).read_text().splitlines() if line}


def is_linked(component):
    return (component["name"], f"v{component['version']}") in packages


bom["metadata"].pop("timestamp", None)
bom["components"] = sorted(filter(is_linked, bom["components"]), key=lambda component: component["bom-ref"])
everything = [bom["metadata"]["component"], *bom["components"]]
missing = packages - {(component["name"], f"v{component['version']}") for component in everything}
if missing:
    sys.exit(f"sbom.py: not in the bill: {sorted(missing)}")
refs = {component["bom-ref"] for component in everything}
bom["dependencies"] = [
    {**entry, "dependsOn": [ref for ref in entry.get("dependsOn", []) if ref in refs]}
    for entry in sorted(bom["dependencies"], key=lambda entry: entry["ref"])
    if entry["ref"] in refs
]
text = json.dumps(bom, indent=2)
if root in text:
    sys.exit(f"sbom.py: the bill names {root}")
print(text)
print(f"sbom.py: {len(packages)} packages", file=sys.stderr)
