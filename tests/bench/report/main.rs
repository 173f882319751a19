//! Puts the figures of a run beside the goals: a table on standard output and, with `--write`, a page of Markdown.
//!
//! usage: `report FIGURES.tsv [--write RESULTS.md]`. A line of the file is `key<TAB>value<TAB>unit`.

mod figures;
mod goals;
mod servers;
mod table;

use std::fs;

use lictor_bench::Res;

use self::{figures::Figures, table::Table};

/// What the page says before its tables.
const INTRODUCTION: &str = "\
# What it costs

Written by `make bench`, which measures all of this in one run. Absolute figures hold for this machine alone; ratios are
what to compare. Servers take turns, a ratio is the median of the ratios of five turns or more, and the other figures are medians
too. The policy is `ip_allowlist` with settings that make it call nobody, unless something else is said.
";

fn main() -> Res<()> {
    let mut arguments = std::env::args().skip(1);
    let from = arguments.next().ok_or("usage: report FIGURES.tsv [--write RESULTS.md]")?;
    let figures = Figures::read(&fs::read_to_string(&from).map_err(|error| format!("{from}: {error}"))?)?;
    let sections = sections(&figures);
    for (title, table) in &sections {
        println!("\n{title}\n\n{}", table.as_text());
    }
    match (arguments.next().as_deref(), arguments.next()) {
        (None, None) => Ok(()),
        (Some("--write"), Some(to)) => {
            fs::write(&to, page(&sections)).map_err(|error| format!("{to}: {error}"))?;
            println!("\nwritten to {to}");
            Ok(())
        }
        _ => Err("usage: report FIGURES.tsv [--write RESULTS.md]".into()),
    }
}

/// Every table with its title.
fn sections(figures: &Figures) -> Vec<(&'static str, Table)> {
    let goals = goals::table(figures);
    let servers = servers::table(figures);
    let left_out = servers::left_out(figures);
    let mut sections = vec![("Goals", goals), ("Servers under the same load", servers)];
    if !left_out.is_empty() {
        sections.push(("Peers that are left out", left_out));
    }
    sections.push(("Other figures", figures.others()));
    sections.push(("Where and of what", figures.facts()));
    sections
}

fn page(sections: &[(&str, Table)]) -> String {
    let tables: Vec<_> =
        sections.iter().map(|(title, table)| format!("\n## {title}\n\n{}", table.as_markdown())).collect();
    format!("{INTRODUCTION}{}", tables.concat())
}

#[cfg(test)]
mod tests {
    use super::{figures::Figures, page, sections};

    #[test]
    fn a_page_has_everything_that_was_measured_and_says_what_was_not() {
        let text = "stateless_ratio\t0.76\tof bare\nbare_rps\t100000\trequests/s\npeer_opa_left_out\tno compiler\treason\n\
                    something_new\t3\tus\nkernel\t6.1\tfact\n";
        let page = page(&sections(&Figures::read(text).unwrap()));
        for part in ["0.760", "100,000", "no compiler", "something new", "6.1", "not measured"] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}
