//! The servers that had turns under the same load: ours, the bare one and the peers.

use crate::{
    figures::{Figures, with_unit},
    table::Table,
};

/// The peers there could be: name, what is made for each request, what it is.
const PEERS: &str = include_str!("../peers/peers.tsv");

/// Ours and the bare one, in the same form.
const OURS: [[&str; 3]; 4] = [
    ["bare", "–", "bare hyper, parses and echoes"],
    ["stateless", "fresh instance", "Lictor, stateless call"],
    ["function", "kept", "Lictor, function with two replicas"],
    ["fetching", "fresh instance", "Lictor, stateless call that fetches a list over HTTP"],
];

/// The peers: name, what is made for each request, what it is.
fn peers() -> impl Iterator<Item = [&'static str; 3]> {
    PEERS.lines().filter_map(|line| line.split('\t').collect::<Vec<_>>().try_into().ok())
}

/// Everything that had turns.
pub(crate) fn table(figures: &Figures) -> Table {
    let titles = [
        "server",
        "version",
        "sandbox of a request",
        "requests/s",
        "of bare",
        "p99",
        "CPU a request",
        "of it user",
        "threads",
    ];
    let mut table = Table::new(titles);
    let peers = peers().map(|[name, sandbox, what]| (format!("peer_{name}"), sandbox, what));
    for (key, sandbox, what) in
        OURS.map(|[key, sandbox, what]| (key.to_owned(), sandbox, what)).into_iter().chain(peers)
    {
        let get = |what: &str| figures.number(&format!("{key}_{what}"));
        let say = |number: Option<f64>, unit| number.map_or_else(|| "–".into(), |number| with_unit(number, unit));
        let version = figures.text(&format!("{key}_version")).unwrap_or_default().to_owned();
        // Peers without a figure are in the other table.
        let Some(rate) = get("rps") else { continue };
        let cpu = get("user_us").zip(get("system_us")).map(|(user, system)| user + system);
        table.row([
            what.to_owned(),
            version,
            sandbox.to_owned(),
            with_unit(rate, ""),
            get("ratio").map_or_else(|| "1".into(), |ratio| format!("{ratio:.3}")),
            say(get("p99_us"), "us"),
            cpu.map_or_else(|| "–".into(), |cpu| format!("{cpu:.1} µs")),
            get("user_us").map_or_else(|| "–".into(), |user| format!("{user:.1} µs")),
            get("threads").map_or_else(|| "–".into(), |threads| format!("{threads:.0}")),
        ]);
    }
    table
}

/// The peers that had none, and why.
pub(crate) fn left_out(figures: &Figures) -> Table {
    let mut table = Table::new(["peer", "why it is left out"]);
    for [name, _, what] in peers() {
        if let Some(why) = figures.text(&format!("peer_{name}_left_out")) {
            table.row([what.to_owned(), why.to_owned()]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{PEERS, left_out, peers, table};
    use crate::figures::Figures;

    #[test]
    fn every_line_of_the_list_is_a_peer() {
        assert_eq!(peers().count(), PEERS.lines().count());
    }

    #[test]
    fn a_peer_has_a_row_or_a_reason() {
        let text =
            "peer_deno_rps\t1000\trequests/s\npeer_deno_ratio\t0.5\tof bare\npeer_workerd_left_out\tno npm\treason\n";
        let figures = Figures::read(text).unwrap();
        let (rows, reasons) = (table(&figures).as_text(), left_out(&figures).as_text());
        assert!(rows.contains("1,000") && rows.contains("0.500") && !rows.contains("workerd"), "{rows}");
        assert!(reasons.contains("workerd") && reasons.contains("no npm"), "{reasons}");
    }
}
