//! How the number of a function's replicas changes by itself: the formula of Kubernetes' horizontal autoscaler.
//!
//! Up at once; down only to the most that was wanted within the stabilization window, so that a short lull ends
//! nothing. Time is whatever the caller counts in.

use std::collections::VecDeque;

use serde_json::{Map, Value};

use super::MAX_REPLICAS;
use crate::field::{FieldError, shorten};

/// Every field.
const FIELDS: [&str; 5] = [
    "enabled",
    "min_replicas",
    "max_replicas",
    "target_cpu_utilization_percentage",
    "scale_down_stabilization_seconds",
];
/// A load this near to the target, in per cent of it, changes nothing.
const TOLERANCE: u64 = 10;
/// The stabilization window that is not said, and the longest, in seconds.
const STABILIZATION: (u64, u64) = (30, 3600);
/// Recommendations that are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// The bounds, and how busy replicas are meant to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Autoscaling {
    /// Never fewer.
    pub min_replicas: u32,
    /// Never more.
    pub max_replicas: u32,
    /// How busy they are meant to be, in per cent of their time.
    pub target_utilization: u32,
    /// How long fewer must have been enough before there are fewer.
    pub scale_down_stabilization_seconds: u64,
}

impl Autoscaling {
    /// Reads the `autoscaling` of a deployment; none where it is off.
    pub fn parse(value: Option<&Value>) -> Result<Option<Self>, FieldError> {
        let fields = match value {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(fields)) => fields,
            Some(_) => return Err(FieldError::new("autoscaling", "must be an object or null")),
        };
        if let Some(name) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            let why = format!("is no field of `autoscaling`: there are {}", FIELDS.join(", "));
            return Err(FieldError::new(format!("autoscaling.{}", shorten(name, 60)), why));
        }
        let enabled = match fields.get("enabled") {
            None | Some(Value::Bool(true)) => true,
            Some(Value::Bool(false)) => false,
            Some(_) => return Err(FieldError::new("autoscaling.enabled", "must be true or false")),
        };
        if !enabled {
            return Ok(None);
        }
        let most = MAX_REPLICAS.into();
        let max_replicas = number(fields, "max_replicas", 1, most, None)?;
        Ok(Some(Self {
            min_replicas: number(fields, "min_replicas", 1, max_replicas, None)?.try_into().unwrap_or(1),
            max_replicas: max_replicas.try_into().unwrap_or(MAX_REPLICAS),
            target_utilization: number(fields, "target_cpu_utilization_percentage", 1, 100, None)?
                .try_into()
                .unwrap_or(100),
            scale_down_stabilization_seconds: number(
                fields,
                "scale_down_stabilization_seconds",
                0,
                STABILIZATION.1,
                Some(STABILIZATION.0),
            )?,
        }))
    }

    /// The nearest number of replicas that it allows.
    pub fn within(&self, replicas: u32) -> u32 {
        replicas.min(self.max_replicas).max(self.min_replicas)
    }

    /// How many replicas the load asks for: `demand` is that of all of them, in per cent of one.
    pub fn wanted(&self, current: u32, demand: u64) -> u32 {
        let (now, target) = (u64::from(current), u64::from(self.target_utilization));
        // What all of them would do if each were as busy as it is meant to be.
        let meant = now.saturating_mul(target);
        if demand.abs_diff(meant).saturating_mul(100) <= meant.saturating_mul(TOLERANCE) {
            return self.within(current);
        }
        self.within(demand.div_ceil(target.max(1)).try_into().unwrap_or(MAX_REPLICAS))
    }
}

/// A whole number from `least` to `most`.
fn number(
    fields: &Map<String, Value>,
    name: &str,
    least: u64,
    most: u64,
    default: Option<u64>,
) -> Result<u64, FieldError> {
    let path = format!("autoscaling.{name}");
    let Some(value) = fields.get(name) else {
        return default.ok_or_else(|| FieldError::new(path, "is required where autoscaling is not off"));
    };
    let n = value.as_u64().filter(|n| (least..=most).contains(n));
    n.ok_or_else(|| FieldError::new(path, format!("must be a whole number from {least} to {most}")))
}

/// How many replicas were wanted lately.
#[derive(Clone, Debug, Default)]
pub struct Recommendations {
    wanted: VecDeque<(u64, u32)>,
}

impl Recommendations {
    /// Adds what is wanted at `now`, in milliseconds, and says how many replicas there are to be.
    pub fn decide(&mut self, autoscaling: &Autoscaling, now: u64, wanted: u32, current: u32) -> u32 {
        let window = autoscaling.scale_down_stabilization_seconds.saturating_mul(1000);
        self.wanted.push_back((now, wanted));
        while let Some((at, _)) = self.wanted.front()
            && (window < now.saturating_sub(*at) || MAX_REMEMBERED < self.wanted.len())
        {
            self.wanted.pop_front();
        }
        if current <= wanted {
            return wanted;
        }
        let most = self.wanted.iter().map(|(_, wanted)| *wanted).max().unwrap_or(wanted);
        most.min(current)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(min: u32, max: u32, target: u32, window: u64) -> Autoscaling {
        Autoscaling {
            min_replicas: min,
            max_replicas: max,
            target_utilization: target,
            scale_down_stabilization_seconds: window,
        }
    }

    #[test]
    fn it_is_whole_or_off() {
        let good = json!({"min_replicas": 1, "max_replicas": 5, "target_cpu_utilization_percentage": 10});
        assert_eq!(Autoscaling::parse(Some(&good)).unwrap(), Some(of(1, 5, 10, 30)));
        let mut at_once = good.clone();
        at_once["scale_down_stabilization_seconds"] = json!(0);
        assert_eq!(Autoscaling::parse(Some(&at_once)).unwrap(), Some(of(1, 5, 10, 0)));
        for off in [None, Some(json!(null)), Some(json!({"enabled": false}))] {
            assert_eq!(Autoscaling::parse(off.as_ref()).unwrap(), None);
        }
        for (field, value) in [
            ("enabled", json!("yes")),
            ("min_replicas", json!(null)),
            ("min_replicas", json!(0)),
            ("min_replicas", json!(6)),
            ("max_replicas", json!(101)),
            ("max_replicas", json!("5")),
            ("target_cpu_utilization_percentage", json!(0)),
            ("target_cpu_utilization_percentage", json!(101)),
            ("scale_down_stabilization_seconds", json!(3601)),
            ("scale_down_stabilization_seconds", json!(-1)),
            ("metric", json!("cpu")),
        ] {
            let mut body = good.clone();
            body[field] = value;
            assert_eq!(Autoscaling::parse(Some(&body)).unwrap_err().field(), format!("autoscaling.{field}"));
        }
        assert_eq!(Autoscaling::parse(Some(&json!(true))).unwrap_err().field(), "autoscaling");
        let error = Autoscaling::parse(Some(&json!({}))).unwrap_err();
        assert_eq!(error.to_string(), "`autoscaling.max_replicas` is required where autoscaling is not off");
    }

    #[test]
    fn as_many_are_wanted_as_the_load_asks_for() {
        for (current, demand, wanted) in [
            // Of a target of 50: one replica that is wholly busy is the work of two.
            (1, 100, 2),
            (1, 0, 1),
            (2, 100, 2),
            // Within the tolerance.
            (2, 110, 2),
            (2, 111, 3),
            (2, 90, 2),
            (2, 89, 2),
            (4, 100, 2),
            (1, 100_000, 8),
            (1, u64::MAX, 8),
        ] {
            assert_eq!(of(1, 8, 50, 0).wanted(current, demand), wanted, "{current} {demand}");
        }
        assert_eq!(of(2, 8, 50, 0).wanted(2, 0), 2);
    }

    #[test]
    fn up_at_once_and_down_to_the_most_of_the_window() {
        let (scaling, mut seen) = (of(1, 8, 50, 1), Recommendations::default());
        for (now, wanted, current, decided) in [
            (0, 4, 1, 4),
            (500, 1, 4, 4),
            (1000, 2, 4, 4),
            (1001, 1, 4, 2),
            (1500, 8, 2, 8),
            (2000, 1, 8, 8),
            (2600, 1, 8, 1),
        ] {
            assert_eq!(seen.decide(&scaling, now, wanted, current), decided, "at {now}");
        }
        let mut seen = Recommendations::default();
        assert_eq!((seen.decide(&of(1, 8, 50, 0), 0, 4, 1), seen.decide(&of(1, 8, 50, 0), 500, 1, 4)), (4, 1));
    }
}
