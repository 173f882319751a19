"""Turns what a block's model gave into what its callers get: rounded, labelled, priced and, if asked for, rendered."""

import csv
import io
import json
import logging
import pprint
import string
import textwrap
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from enum import Enum
from typing import Any, Callable, Dict, List, NamedTuple, Optional

logger = logging.getLogger("post_processing")


class Format(str, Enum):
    JSON = "json"
    CSV = "csv"
    TEXT = "text"
    DEBUG = "debug"


class Detection(NamedTuple):
    label: str
    score: Decimal
    box: Optional[List[int]] = None

    @property
    def area(self) -> int:
        if self.box is None:
            return 0
        left, top, right, bottom = self.box
        return max(0, right - left) * max(0, bottom - top)

    def overlap(self, other: "Detection") -> Decimal:
        """Intersection over union of the two boxes."""
        if self.box is None or other.box is None:
            return Decimal(0)
        left, top = max(self.box[0], other.box[0]), max(self.box[1], other.box[1])
        right, bottom = min(self.box[2], other.box[2]), min(self.box[3], other.box[3])
        shared = max(0, right - left) * max(0, bottom - top)
        union = self.area + other.area - shared
        return Decimal(shared) / Decimal(union) if union else Decimal(0)


class OutputError(Exception):
    def __init__(self, message: str, position: Optional[int] = None) -> None:
        super().__init__(message if position is None else f"detection {position}: {message}")
        self.position = position


class MoneyTemplate(string.Template):
    """Placeholders look like %{name}: the texts are full of dollar signs."""

    delimiter = "%"


def to_decimal(value: Any, position: int) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise OutputError("its score is not a number", position)
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise OutputError("its score is not a number", position) from None
    if not number.is_finite() or not 0 <= number <= 1:
        raise OutputError("its score is not between 0 and 1", position)
    return number


class AIOSv1PolicyRule:
    CENT = Decimal("0.01")

    def __init__(self, rule_id: str, settings: Dict[str, Any], parameters: Dict[str, Any]) -> None:
        self.rule_id = rule_id
        self.settings = settings
        self.parameters = parameters
        self.renderers: Dict[Format, Callable[[List[Detection], Dict[str, Any]], Any]] = {
            Format.JSON: self._render_json,
            Format.CSV: self._render_csv,
            Format.TEXT: self._render_text,
            Format.DEBUG: self._render_debug,
        }
        self.revenue = Decimal(0)
        self.packets = 0

    def eval(self, parameters, input_data, context):
        packet = dict(input_data["packet"])
        output = packet.get("data")
        if not isinstance(output, dict) or "detections" not in output:
            raise OutputError("the packet has no detections")
        name = packet.get("format", parameters.get("format", "json"))
        try:
            target = Format(name)
        except ValueError:
            raise OutputError(f"no format {name!r}") from None
        detections = [self._read(each, position) for position, each in enumerate(output["detections"])]
        kept = self._suppress(detections, parameters)
        price = self._price(kept, parameters)
        packet["data"] = self.renderers[target](kept, parameters)
        packet["billing"] = {"price": str(price), "currency": parameters.get("currency", "EUR")}
        packet["counts"] = {"given": len(detections), "kept": len(kept)}
        self.packets += 1
        self.revenue += price
        logger.info("packet %s cost %s", packet.get("seq_no"), price)
        return {"packet": packet}

    def _read(self, raw: Any, position: int) -> Detection:
        if not isinstance(raw, dict) or "label" not in raw:
            raise OutputError("it has no label", position)
        box = raw.get("box")
        if box is not None and (len(box) != 4 or not all(isinstance(edge, int) for edge in box)):
            raise OutputError("its box is not four whole numbers", position)
        return Detection(str(raw["label"]), to_decimal(raw.get("score"), position), box)

    def _suppress(self, detections: List[Detection], parameters: Dict[str, Any]) -> List[Detection]:
        """Keeps the best of the boxes of one label that overlap."""
        threshold = Decimal(str(parameters.get("min_score", "0.5")))
        limit = Decimal(str(parameters.get("max_overlap", "0.5")))
        kept: List[Detection] = []
        for candidate in sorted(detections, key=lambda each: (-each.score, each.label)):
            if candidate.score < threshold:
                break
            rivals = (each for each in kept if each.label == candidate.label)
            if all(candidate.overlap(rival) <= limit for rival in rivals):
                kept.append(candidate)
        return kept[: parameters.get("top", 10)]

    def _price(self, kept: List[Detection], parameters: Dict[str, Any]) -> Decimal:
        per_label = parameters.get("prices", {})
        base = Decimal(parameters.get("base_price", "0.10"))
        total = base + sum((Decimal(per_label.get(each.label, "0")) for each in kept), Decimal(0))
        return total.quantize(self.CENT, rounding=ROUND_HALF_EVEN)

    def _labels(self, kept: List[Detection], parameters: Dict[str, Any]) -> List[str]:
        names = parameters.get("label_names", {})
        return [names.get(each.label, each.label.replace("_", " ").title()) for each in kept]

    def _render_json(self, kept, parameters):
        digits = Decimal(1).scaleb(-parameters.get("digits", 2))
        return [
            {"label": label, "score": str(each.score.quantize(digits)), "box": each.box, "area": each.area}
            for label, each in zip(self._labels(kept, parameters), kept)
        ]

    def _render_csv(self, kept, parameters):
        stream = io.StringIO()
        writer = csv.DictWriter(stream, ["label", "score", "box"], lineterminator="\n")
        writer.writeheader()
        for label, each in zip(self._labels(kept, parameters), kept):
            box = json.dumps(each.box) if each.box else ""
            writer.writerow({"label": label, "score": each.score, "box": box})
        return stream.getvalue()

    def _render_text(self, kept, parameters):
        template = MoneyTemplate(parameters.get("text", "Found %{count}: %{labels}."))
        labels = ", ".join(self._labels(kept, parameters)) or "nothing"
        price = self._price(kept, parameters)
        text = template.safe_substitute(count=len(kept), labels=labels, price=f"${price:,}")
        return textwrap.wrap(text, width=parameters.get("width", 40))

    def _render_debug(self, kept, parameters):
        document = {"kept": [[each.label, str(each.score), each.box] for each in kept], "parameters": parameters}
        return textwrap.indent(pprint.pformat(document, width=60), "| ").splitlines()

    def management(self, action: str, data: Dict[str, Any]) -> Dict[str, Any]:
        if action == "get_billing":
            return {"packets": self.packets, "revenue": str(self.revenue)}
        if action == "import_prices":
            return self._import_prices(data["csv"])
        if action == "reset_billing":
            before, self.revenue, self.packets = self.revenue, Decimal(0), 0
            return {"status": "success", "revenue": str(before)}
        return {"status": "error", "message": f"Unknown action '{action}'"}

    def _import_prices(self, text: str) -> Dict[str, Any]:
        prices = dict(self.parameters.get("prices", {}))
        rows = csv.DictReader(io.StringIO(textwrap.dedent(text)), delimiter=";")
        for row in rows:
            try:
                price = Decimal(row["price"].replace(",", "."))
            except (InvalidOperation, AttributeError, KeyError):
                raise ValueError(f"line {rows.line_num} has no price") from None
            prices[row["label"]] = str(price)
        self.parameters["prices"] = prices
        return {"status": "success", "prices": prices}
