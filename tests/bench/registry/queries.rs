//! Each kind of query, timed, its answer counted so that nothing fast is wrong.

use std::time::Duration;

use lictor_tests::TestServer;
use serde_json::{Value, json};

use crate::{
    Res,
    client::Client,
    fill::{ALL, NEEDLE, OF_A_NAME, OF_A_TEAM, OF_A_VERSION, RARE, uri},
    quantile,
};

/// How often each one is asked.
const RUNS: usize = 15;

struct Kind {
    name: &'static str,
    options: &'static str,
    filter: Value,
    finds: usize,
}

fn kinds() -> Vec<Kind> {
    let kind = |name, options, filter, finds| Kind { name, options, filter, finds };
    let names: Vec<String> = (0..10).map(|n| format!("policy-{:05}", n * 997)).collect();
    let any = json!([{"description": {"$regex": "needle"}}, {"metadata.rank": 7}]);
    vec![
        kind("uri", "", json!({"policy_rule_uri": uri(50_001)}), 1),
        kind("name", "", json!({"name": "policy-04321"}), OF_A_NAME),
        kind("version range", "", json!({"version": {"$gte": "9.90", "$lt": "9.91"}}), OF_A_VERSION),
        kind("release tag, rare", "", json!({"release_tag": "nightly"}), RARE),
        kind("release tag of half of them, limit 20", "?limit=20", json!({"release_tag": "beta"}), 20),
        kind("type, rare", "", json!({"type": "python_class_v1"}), RARE),
        kind("tag", "", json!({"tags": "team-321"}), OF_A_TEAM),
        kind("$in of ten names", "", json!({"name": {"$in": names}}), 10 * OF_A_NAME),
        kind("name and $regex", "", json!({"name": "policy-04321", "version": {"$regex": "^[0-4]"}}), 5),
        kind("$regex, a scan", "", json!({"description": {"$regex": "needle"}}), 1),
        kind("$or, a scan", "", json!({"$or": any}), 2),
        kind("number in a nested field, a scan", "", json!({"metadata.rank": {"$lt": 5}}), 5),
        kind("sort and limit of all, a scan", "?sort=-metadata.rank&limit=10", json!({}), 10),
        kind(
            "the seed's own query, limit 10",
            "?limit=10",
            json!({
                "release_tag": "nightly", "tags": {"$regex": "security"}, "version": {"$gte": "0.0"}
            }),
            10,
        ),
    ]
}

/// Prints a line for each kind.
pub(crate) fn measure(server: &TestServer) -> Res<()> {
    let mut client = Client::new(server.address())?;
    println!("  {:<44} {:>7} {:>10} {:>10}", "query", "finds", "p50 ms", "max ms");
    let path = format!("/policy/{}", uri(NEEDLE));
    let took: Vec<Duration> = (0..RUNS).map(|_| Ok(client.data("GET", &path, "")?.1)).collect::<Res<_>>()?;
    row("read by uri (GET)", 1, took);
    for Kind { name, options, filter, finds } in kinds() {
        let (path, filter) = (format!("/policy/query{options}"), filter.to_string());
        let mut took = Vec::new();
        for _ in 0..RUNS {
            let (found, time) = client.data("POST", &path, &filter)?;
            let found = found.as_array().map_or(0, Vec::len);
            if found != finds {
                return Err(format!("{name} of {ALL}: {found} found, not {finds}").into());
            }
            took.push(time);
        }
        row(name, finds, took);
    }
    Ok(())
}

fn row(name: &str, finds: usize, took: Vec<Duration>) {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let max = took.iter().max().copied().unwrap_or_default();
    println!("  {name:<44} {finds:>7} {:>10.2} {:>10.2}", ms(quantile(took, 0.5)), ms(max));
}
