use lictor_model::{Filter, query::Options};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::{functions::FunctionEntity, jobs::JobEntity, store::Location};

const SEED_FUNCTION_QUERY: &str = include_str!("../../../../tests/data/seed/query_functions.json");
const SEED_JOB_QUERY: &str = include_str!("../../../../tests/data/seed/query_jobs.json");

async fn registry<E: Entity>(entity: E) -> (TempDir, Registry<E>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Location::File(folder.path().join("lictor.db"))).await.unwrap();
    (folder, Registry::new(store, entity))
}

/// Records whose `seen` is computed: what is stored as `hidden`, which is what nobody else does.
struct Computing;

impl Entity for Computing {
    const KIND: Kind = Kind::Job;
    const NOUN: &'static str = "thing";
    const ID: &'static str = "job_id";
    const COMPUTED: &'static [&'static str] = &["seen"];

    fn parse(&self, body: Value) -> Result<Entry, FieldError> {
        let document = lictor_model::document::object(body, "a thing")?;
        let id = lictor_model::document::text(&document, "job_id")?.to_owned();
        Ok(Entry { id, document, warnings: Vec::new() })
    }

    fn not_found(&self, id: &str) -> String {
        format!("no {id}")
    }

    fn renamed(path: &str) -> Option<String> {
        (path == "alias").then(|| "n".to_owned())
    }

    fn computed(&self, candidate: &Candidate<'_>) -> Result<Map<String, Value>, Error> {
        let mut document: Map<String, Value> = serde_json::from_str(candidate.document).unwrap();
        Ok([("seen".to_owned(), document.remove("hidden").unwrap_or_default())].into_iter().collect())
    }
}

fn query(filter: &Value, options: &[(&str, &str)]) -> Query {
    Query { filter: Filter::parse(filter).unwrap(), options: Options::parse(options.iter().copied()).unwrap() }
}

/// The `job_id`s that a query finds, in its order.
async fn ids<E: Entity>(registry: &Registry<E>, filter: Value, options: &[(&str, &str)]) -> Vec<String> {
    let found = registry.query(query(&filter, options)).await.unwrap().documents;
    let id = |text: &String| serde_json::from_str::<Value>(text).unwrap()["job_id"].as_str().unwrap().to_owned();
    found.iter().map(id).collect()
}

#[tokio::test]
async fn functions_and_jobs_are_found_by_the_queries_of_the_seed() {
    let (folder, functions) = registry(FunctionEntity::elsewhere()).await;
    let function = json!({
        "function_id": "check-ip-fn", "function_executor_id": "executor-001", "function_executor_uri": "",
        "function_tags": ["network", "security"], "function_policy_rule_uri": "ip_allowlist:1.0-beta",
        "function_policy_data": {"name": "ip_allowlist"}
    });
    functions.create(function.clone()).await.unwrap();
    let found = functions.query(query(&serde_json::from_str(SEED_FUNCTION_QUERY).unwrap(), &[])).await.unwrap();
    assert_eq!(found.documents.len(), 1);
    assert_eq!(functions.read("check-ip-fn").await.unwrap()["function_metadata"], json!({}));
    let jobs = Registry::new(functions.store.clone(), JobEntity);
    let job = json!({
        "job_id": "1a2b", "job_status": "completed", "policy_rule_uri": "ip_allowlist:1.0-beta", "name": "check",
        "inputs": {"ip": "192.168.1.1"}, "executor_id": "executor-001", "job_output_data": {"allowed": true}
    });
    jobs.create(job).await.unwrap();
    let found = jobs.query(query(&serde_json::from_str(SEED_JOB_QUERY).unwrap(), &[])).await.unwrap();
    let found: Value = serde_json::from_str(&found.documents[0]).unwrap();
    assert_eq!((&found["node_id"], &found["job_policy_rule_uri"]), (&json!(""), &json!("ip_allowlist:1.0-beta")));
    for (error, message) in [
        (functions.read("no").await.unwrap_err(), "Function not found."),
        (jobs.read("no").await.unwrap_err(), "Job with ID 'no' not found."),
    ] {
        assert_eq!((error.kind(), error.message()), (ErrorKind::NotFound, message));
    }
    drop(folder);
}

#[tokio::test]
async fn a_record_is_there_once() {
    let (_folder, things) = registry(Computing).await;
    let first = things.create(json!({"job_id": "a", "n": 1})).await.unwrap();
    assert!(first.revision.is_some());
    assert_eq!(things.create(json!({"job_id": "a", "n": 1})).await.unwrap().revision, None);
    let other = things.create(json!({"job_id": "a", "n": 2})).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict);
    assert!(other.message().starts_with("there is already another thing `a`"), "{other}");
    things.create(json!({"job_id": "b"})).await.unwrap();
    let moved = things.update("a", json!({"$set": {"job_id": "b"}})).await.unwrap_err();
    assert_eq!(moved.kind(), ErrorKind::Conflict);
    assert_eq!(things.read("a").await.unwrap()["n"], 1);
    let changed = things.update("a", json!({"$inc": {"alias": 4}})).await.unwrap();
    assert_eq!((changed.before.document["n"].clone(), changed.entry.document["n"].clone()), (json!(1), json!(5)));
    things.delete("a").await.unwrap();
    assert_eq!(things.delete("a").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(things.update("a", json!({"job_id": "a"})).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_same_time_are_all_made() {
    let (_folder, things) = registry(Computing).await;
    things.create(json!({"job_id": "a", "n": 0})).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let things = things.clone();
        tasks.spawn(async move {
            for _ in 0..10 {
                things.update("a", json!({"$inc": {"n": 1}})).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(things.read("a").await.unwrap()["n"], 40);
}

#[tokio::test]
async fn every_page_is_a_part_of_the_whole() {
    let (_folder, things) = registry(Computing).await;
    // More than are ranked, or fetched, at once; several with the same number.
    for n in 0..1200 {
        let id = format!("{n:04}");
        things.create(json!({"job_id": id, "n": (n * 7) % 100, "even": n % 2 == 0, "hidden": n % 3})).await.unwrap();
    }
    for (filter, sort) in [
        (json!({}), None),
        (json!({"even": true}), None),
        (json!({}), Some("n")),
        (json!({"even": true}), Some("-n,job_id")),
        (json!({"seen": {"$gt": 0}}), Some("-seen,n")),
    ] {
        let options = |skip: &'static str, limit: &'static str| {
            let sort = sort.map(|sort| ("sort", sort));
            sort.into_iter().chain([("skip", skip), ("limit", limit)]).collect::<Vec<_>>()
        };
        let whole = ids(&things, filter.clone(), &options("0", "0")).await;
        assert!(400 <= whole.len(), "{filter}");
        for (skip, limit) in [("0", "1"), ("0", "10"), ("3", "600"), ("390", "20"), ("5000", "5")] {
            let page = ids(&things, filter.clone(), &options(skip, limit)).await;
            let (skip, limit) = (skip.parse().unwrap(), limit.parse().unwrap());
            let expected: Vec<_> = whole.iter().skip(skip).take(limit).cloned().collect();
            assert_eq!(page, expected, "{filter} {sort:?} {skip} {limit}");
        }
    }
    let sorted = things.query(query(&json!({}), &[("sort", "n"), ("projection", "n")])).await.unwrap().documents;
    assert!(sorted.is_sorted_by_key(|text| serde_json::from_str::<Value>(text).unwrap()["n"].as_i64()));
}

#[tokio::test]
async fn what_is_computed_is_judged_answered_and_left_out_like_what_is_stored() {
    let (_folder, things) = registry(Computing).await;
    for (id, hidden) in [("a", json!(1)), ("b", json!({"deep": [1, 2]})), ("c", json!(null))] {
        things.create(json!({"job_id": id, "hidden": hidden})).await.unwrap();
    }
    assert_eq!(ids(&things, json!({"seen": 1}), &[]).await, ["a"]);
    assert_eq!(ids(&things, json!({"seen.deep": 2}), &[]).await, ["b"]);
    assert_eq!(ids(&things, json!({"seen": {"$exists": true}}), &[("sort", "-job_id")]).await, ["c", "b", "a"]);
    for (projection, expected) in [
        ("job_id,seen", json!({"job_id": "b", "seen": {"deep": [1, 2]}})),
        ("seen.deep", json!({"seen": {"deep": [1, 2]}})),
        ("-seen,-hidden", json!({"job_id": "b"})),
    ] {
        let query = query(&json!({"job_id": "b"}), &[("projection", projection)]);
        let found = things.query(query).await.unwrap().documents;
        assert_eq!(serde_json::from_str::<Value>(&found[0]).unwrap(), expected, "{projection}");
    }
}

// attack 97
#[tokio::test]
async fn an_answer_has_a_bound_and_says_so() {
    let (_folder, things) = registry(Computing).await;
    let large = "x".repeat(1 << 20);
    for n in 0..65 {
        things.create(json!({"job_id": format!("{n:02}"), "large": large})).await.unwrap();
    }
    for options in [&[][..], &[("sort", "-job_id")], &[("sort", "large")]] {
        let error = things.query(query(&json!({}), options)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{options:?}");
        assert!(error.message().contains("limit"), "{error}");
    }
    assert_eq!(things.query(query(&json!({}), &[("limit", "63")])).await.unwrap().documents.len(), 63);
    assert_eq!(ids(&things, json!({}), &[("projection", "job_id")]).await.len(), 65);
    assert_eq!(ids(&things, json!({}), &[("sort", "-job_id"), ("limit", "2")]).await, ["64", "63"]);
    // Answers count as long as they are kept.
    let kept = things.query(query(&json!({}), &[("limit", "60")])).await.unwrap();
    let rest = search::HELD.try_acquire_many(u32::try_from(search::HELD.available_permits()).unwrap()).unwrap();
    let error = things.query(query(&json!({}), &[("limit", "1")])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    drop(kept);
    assert_eq!(ids(&things, json!({}), &[("limit", "1")]).await, ["00"]);
    drop(rest);
}
