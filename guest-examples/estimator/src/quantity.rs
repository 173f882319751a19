//! What a record expects to need, however it is written.

use serde_json::Value;

use crate::Kind;

/// How much of something, in the unit that it is measured in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quantity(pub(crate) f64);

/// What is needed and measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource<'a> {
    /// In MiB.
    Memory,
    /// Processors.
    Cpu,
    /// Anything else, under its own name.
    Other(&'a str),
}

impl<'a> Resource<'a> {
    pub(crate) fn named(name: &'a str) -> Self {
        match name {
            "memory_mb" | "memory" | "mem" | "ram" => Self::Memory,
            "cpu" | "cpus" | "cores" => Self::Cpu,
            other => Self::Other(other),
        }
    }

    /// The name under which it is measured.
    pub(crate) fn metric(self) -> &'a str {
        match self {
            Self::Memory => "memory_mb",
            Self::Cpu => "cpu",
            Self::Other(name) => name,
        }
    }
}

/// Each thing that is needed, by its name; none for one that cannot be read. They stand at the top or below `requests`.
/// A job has no replicas.
pub(crate) fn needs(estimates: &Value, kind: Kind) -> Vec<(String, Option<Quantity>)> {
    let estimates = estimates.get("requests").filter(|requests| requests.is_object()).unwrap_or(estimates);
    let needs = estimates.as_object().into_iter().flatten();
    let needs = needs.filter(|(name, need)| !need.is_null() && (kind == Kind::Deployment || *name != "replicas"));
    needs.map(|(name, need)| (name.clone(), Quantity::read(need, Resource::named(name)))).collect()
}

impl Quantity {
    /// A number in the resource's own unit, or text as Kubernetes writes it: `512Mi`, `500m`.
    fn read(need: &Value, resource: Resource<'_>) -> Option<Self> {
        let quantity = match need {
            Value::Number(number) => number.as_f64()?,
            Value::String(text) => parse(text.trim(), resource)?,
            _ => return None,
        };
        (quantity.is_finite() && 0.0 <= quantity).then_some(Self(quantity))
    }
}

/// The units that a quantity may end in, and how many of 1 they are; of memory, bytes.
const UNITS: [(&str, f64); 10] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("m", 0.001),
    ("k", 1e3),
    ("K", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
];

fn parse(text: &str, resource: Resource<'_>) -> Option<f64> {
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = unit.unwrap_or((text, 1.0));
    let number: f64 = number.trim().parse().ok()?;
    match (resource, unit) {
        // With a unit it is in bytes, without one in what everything here is in.
        (Resource::Memory, Some(_)) => Some(number * factor / 1_048_576.0),
        _ => Some(number * factor),
    }
}
