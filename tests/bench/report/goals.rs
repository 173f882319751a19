//! The goals, and whether a figure meets one.

use crate::{
    figures::{Figures, with_unit},
    table::Table,
};

/// Something that is measured, and what it should come to.
struct Goal {
    measure: &'static str,
    key: &'static str,
    bound: Bound,
    /// How a number is said.
    unit: &'static str,
    /// The figures that it comes from.
    from: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// What is wanted, and what must be reached at all.
    AtLeastOr(f64, f64),
    /// Within five in a hundred, which is as far as repeated runs are apart.
    Unchanged,
}

const GOALS: &[Goal] = &[
    Goal {
        measure: "stateless call over HTTP, a fresh instance each, against bare hyper",
        key: "stateless_ratio",
        bound: Bound::AtLeastOr(0.75, 0.65),
        unit: "ratio",
        from: &["stateless_rps", "bare_rps"],
    },
    Goal {
        measure: "call of a resident function over HTTP, against bare hyper",
        key: "function_ratio",
        bound: Bound::AtLeast(0.88),
        unit: "ratio",
        from: &["function_rps", "bare_rps"],
    },
    Goal {
        measure: "in process: fresh instance, init, eval, teardown",
        key: "fresh_us",
        bound: Bound::AtMost(5.0),
        unit: "us",
        from: &[],
    },
    Goal {
        measure: "in process: resident eval against the same code compiled natively",
        key: "resident_over_native",
        bound: Bound::AtMost(2.0),
        unit: "ratio",
        from: &["resident_us", "native_us"],
    },
    Goal {
        measure: "first decision of a new process, the artifact on disk",
        key: "first_decision_us",
        bound: Bound::AtMost(2_000.0),
        unit: "us",
        from: &[],
    },
    Goal {
        measure: "p99 while another policy spins on every core, against p99 alone",
        key: "spinner_ratio",
        bound: Bound::AtMost(3.0),
        unit: "ratio",
        from: &["p99_beside_spinner_us", "p99_alone_us"],
    },
    Goal {
        measure: "1,000 policies in rotation against one",
        key: "rotation_ratio",
        bound: Bound::AtLeast(0.9),
        unit: "ratio",
        from: &["rotation_thousand_rps", "rotation_one_rps"],
    },
    Goal {
        measure: "memory, idle (private dirty, as the next two)",
        key: "memory_idle_kb",
        bound: Bound::AtMost(40_000.0),
        unit: "kB",
        from: &[],
    },
    Goal {
        measure: "memory of each further small policy",
        key: "memory_policy_kb",
        bound: Bound::AtMost(300.0),
        unit: "kB",
        from: &[],
    },
    Goal {
        measure: "memory of 1,000 resident functions",
        key: "memory_functions_kb",
        bound: Bound::AtMost(300_000.0),
        unit: "kB",
        from: &[],
    },
    Goal {
        measure: "metrics and counting of decisions, of a stateless call",
        key: "metrics_share",
        bound: Bound::AtMost(0.05),
        unit: "share",
        from: &[],
    },
    Goal {
        measure: "a limit is overrun, p99, idle",
        key: "overrun_idle_us",
        bound: Bound::AtMost(10_000.0),
        unit: "us",
        from: &[],
    },
    Goal {
        measure: "a limit is overrun, p99, every core busy",
        key: "overrun_busy_us",
        bound: Bound::AtMost(50_000.0),
        unit: "us",
        from: &[],
    },
    Goal {
        measure: "graph of four resident functions against four calls, in process",
        key: "graph_ratio",
        bound: Bound::AtMost(1.2),
        unit: "ratio",
        from: &["graph_us", "graph_calls_us"],
    },
    Goal {
        measure: "a call with 100,000 policies registered against one with 100",
        key: "registry_ratio",
        bound: Bound::Unchanged,
        unit: "ratio",
        from: &["registry_100000_us", "registry_100_us"],
    },
];

impl Bound {
    /// What is to be said of a figure.
    fn judge(self, figure: Option<f64>) -> String {
        let Some(figure) = figure else { return "not measured".into() };
        let is_met = match self {
            Self::AtLeast(least) | Self::AtLeastOr(least, _) => least <= figure,
            Self::AtMost(most) => figure <= most,
            // Faster is no fault.
            Self::Unchanged => figure <= 1.05,
        };
        match self {
            _ if is_met => "met".into(),
            Self::AtLeastOr(_, floor) if figure < floor => format!("missed, and below {floor}"),
            _ => "missed".into(),
        }
    }

    fn say(self, unit: &str) -> String {
        match self {
            Self::AtLeast(bound) | Self::AtLeastOr(bound, _) => format!("≥ {}", round(bound, unit)),
            Self::AtMost(bound) => format!("≤ {}", round(bound, unit)),
            Self::Unchanged => "unchanged".into(),
        }
    }
}

/// A bound as it was set, without digits that nobody wrote.
fn round(bound: f64, unit: &str) -> String {
    match unit {
        "ratio" => bound.to_string(),
        "us" if bound < 100.0 => format!("{bound} µs"),
        "share" => format!("{} %", bound * 100.0),
        unit => with_unit(bound, unit),
    }
}

/// Each goal, beside its figure.
pub(crate) fn table(figures: &Figures) -> Table {
    let mut table = Table::new(["measure", "goal", "figure", "", "from"]);
    for Goal { measure, key, bound, unit, from } in GOALS {
        let figure = figures.number(key);
        let shown = figure.map_or_else(|| "–".into(), |figure| with_unit(figure, unit));
        let from = from.iter().filter_map(|key| Some(with_unit(figures.number(key)?, figures.unit(key))));
        let from = from.collect::<Vec<_>>().join(" / ");
        table.row([(*measure).to_owned(), bound.say(unit), shown, bound.judge(figure), from]);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Bound, GOALS, table};
    use crate::figures::Figures;

    #[track_caller]
    fn check(bound: Bound, figures: &[(f64, &str)]) {
        for (figure, expected) in figures {
            assert_eq!(bound.judge(Some(*figure)), *expected, "{figure}");
        }
        assert_eq!(bound.judge(None), "not measured");
    }

    #[test]
    fn a_bound_itself_is_good_enough() {
        check(Bound::AtLeast(0.9), &[(0.9, "met"), (1.5, "met"), (0.899, "missed")]);
        check(Bound::AtMost(5.0), &[(5.0, "met"), (0.1, "met"), (5.01, "missed")]);
    }

    #[test]
    fn what_must_be_reached_at_all_is_said() {
        let cases = [(0.75, "met"), (0.7499, "missed"), (0.65, "missed"), (0.64, "missed, and below 0.65")];
        check(Bound::AtLeastOr(0.75, 0.65), &cases);
    }

    #[test]
    fn unchanged_is_within_what_runs_are_apart() {
        check(Bound::Unchanged, &[(1.0, "met"), (1.04, "met"), (0.8, "met"), (1.06, "missed")]);
    }

    #[test]
    fn each_goal_has_a_key_of_its_own_and_a_row() {
        let keys: BTreeSet<_> = GOALS.iter().map(|goal| goal.key).collect();
        assert_eq!(keys.len(), GOALS.len());
        let text = table(&Figures::read("").unwrap()).as_text();
        assert_eq!(text.matches("not measured").count(), GOALS.len());
    }

    #[test]
    fn a_row_says_what_a_figure_comes_from() {
        let figures = "graph_ratio\t1.1\tratio\ngraph_us\t11\tus\ngraph_calls_us\t10\tus\n";
        let text = table(&Figures::read(figures).unwrap()).as_text();
        let row = text.lines().find(|line| line.contains("graph")).unwrap();
        assert!(row.contains("≤ 1.2") && row.contains("met") && row.contains("11.0 µs / 10.0 µs"), "{row}");
    }
}
