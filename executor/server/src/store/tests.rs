use std::{collections::BTreeSet, ops::ControlFlow, time::Duration};

use lictor_model::{
    Filter,
    filter::{Bound, Narrow, Test},
};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::error::ErrorKind;

/// Remembers the ids it is shown, up to a number of them.
pub(super) struct Ids {
    pub(super) ids: Vec<String>,
    most: usize,
    in_order: bool,
}

impl Ids {
    fn in_order(most: usize) -> Self {
        Self { ids: Vec::new(), most, in_order: true }
    }
}

impl Visit for Ids {
    fn visit(&mut self, candidate: &Candidate<'_>) -> Result<ControlFlow<()>, Error> {
        self.ids.push(candidate.id.to_string());
        Ok(if self.ids.len() < self.most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }

    fn in_order(&self) -> bool {
        self.in_order
    }
}

async fn ids(store: &Store, kind: Kind, narrow: &Narrow) -> Vec<String> {
    store.scan(kind, narrow, Ids::in_order(usize::MAX)).await.unwrap().ids
}

/// The ids of the candidates for `field` being `value`.
pub(super) async fn ids_by(store: &Store, kind: Kind, field: &str, value: &str) -> Vec<String> {
    let bounds = vec![Bound { field: field.into(), test: Test::OneOf(vec![value.into()]) }];
    ids(store, kind, &Narrow { bounds }).await
}

/// A new database: a file, or on the server where the tests of servers keep theirs.
pub(super) struct Place {
    location: Location,
    _folder: TempDir,
}

impl Place {
    #[expect(clippy::disallowed_methods, reason = "the harness says by the environment which database is tested")]
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = match std::env::var("LICTOR_TEST_STORE").as_deref() {
            Ok("postgres") => {
                let server = std::env::var("LICTOR_TEST_POSTGRES").expect("LICTOR_TEST_POSTGRES names a server");
                let name = format!("store-{}", uuid::Uuid::now_v7());
                let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
                let server = Location::parse(Some(&server), folder.path()).unwrap();
                let db = db::Db::open(&server).await.unwrap();
                db.execute(&format!("CREATE DATABASE \"{name}\""), &[]).await.unwrap();
                Location::parse(Some(&url), folder.path()).unwrap()
            }
            _ => Location::File(folder.path().join("lictor.db")),
        };
        Self { location, _folder: folder }
    }

    pub(super) async fn open(&self) -> Store {
        Store::open(&self.location).await.unwrap()
    }
}

fn document(value: Value) -> Map<String, Value> {
    let Value::Object(document) = value else { panic!("not an object") };
    document
}

#[tokio::test]
async fn a_record_is_made_changed_moved_and_removed() {
    let place = Place::new().await;
    let store = place.open().await;
    for kind in Kind::ALL {
        let first = document(json!({"name": "a", "text": "\u{0} \u{1e} ü"}));
        let revision = store.insert(kind, "a", &first).await.unwrap().unwrap();
        assert_eq!(store.insert(kind, "a", &Map::new()).await.unwrap(), None);
        let read = store.read(kind, "a").await.unwrap().unwrap();
        assert_eq!((read.id.as_str(), &read.document, read.revision), ("a", &first, revision));
        let second = document(json!({"name": "b"}));
        let moved = store.replace(kind, "a", revision, "b", &second).await.unwrap().unwrap();
        assert_ne!(moved, revision);
        assert!(store.read(kind, "a").await.unwrap().is_none());
        assert_eq!(store.revision(kind, "b").await.unwrap(), Some(moved));
        // What is gone cannot be replaced, and what is there is not replaced by a move.
        assert_eq!(store.replace(kind, "b", revision, "b", &first).await.unwrap(), None);
        store.insert(kind, "c", &first).await.unwrap().unwrap();
        let taken = store.replace(kind, "b", moved, "c", &second).await.unwrap_err();
        assert_eq!((taken.kind(), taken.message().contains("`c`")), (ErrorKind::Conflict, true), "{taken}");
        assert_eq!(store.read(kind, "b").await.unwrap().unwrap().document, second);
        assert!(store.remove(kind, "b").await.unwrap() && !store.remove(kind, "b").await.unwrap());
    }
    store.close().await;
    let again = place.open().await;
    for kind in Kind::ALL {
        assert_eq!(ids(&again, kind, &Narrow::default()).await, ["c"]);
    }
}

#[tokio::test]
async fn removing_a_policy_that_is_not_there_removes_nothing() {
    let place = Place::new().await;
    let store = place.open().await;
    let write = ContextWrite { policy_uri: "p:1-x".into(), key: "k".into(), value: Some(vec![1]) };
    store.write_context(&[write]).await.unwrap();
    assert!(!store.remove(Kind::Policy, "p:1-x").await.unwrap());
    assert_eq!(store.context("p:1-x").await.unwrap().into_iter().collect::<Vec<_>>(), [("k".into(), vec![1])]);
}

#[tokio::test]
async fn ids_and_texts_of_any_characters_are_kept_apart() {
    let place = Place::new().await;
    let store = place.open().await;
    let odd =
        ["a\0b", "a\u{1}b", "a\u{1}\u{1}b", "a\u{1}\u{2}b", "a;1,2", "ü", "😀", "%_'\"", "\u{1e}\u{1f}", "B", "a"];
    for id in odd {
        store.insert(Kind::Job, id, &document(json!({"job_id": id, "name": id}))).await.unwrap().unwrap();
    }
    for id in odd {
        assert_eq!(store.read(Kind::Job, id).await.unwrap().unwrap().document["name"], id);
        assert_eq!(ids_by(&store, Kind::Job, "name", id).await, [id]);
        assert_eq!(ids_by(&store, Kind::Job, "job_id", id).await, [id]);
    }
    let mut in_order = odd.map(str::to_owned).to_vec();
    in_order.sort_unstable();
    assert_eq!(ids(&store, Kind::Job, &Narrow::default()).await, in_order);
    assert!(store.read(Kind::Job, "a\0").await.unwrap().is_none());
}

#[tokio::test]
async fn an_index_forgets_what_a_record_no_longer_says() {
    let place = Place::new().await;
    let store = place.open().await;
    let first = document(json!({"name": "a", "tags": ["x", "y"]}));
    let revision = store.insert(Kind::Policy, "p", &first).await.unwrap().unwrap();
    let second = document(json!({"name": "a", "tags": ["y", "z", 1, null]}));
    let revision = store.replace(Kind::Policy, "p", revision, "q", &second).await.unwrap().unwrap();
    for (tag, expected) in [("x", &[][..]), ("y", &["q"]), ("z", &["q"])] {
        assert_eq!(ids_by(&store, Kind::Policy, "tags", tag).await, expected, "{tag}");
    }
    // Of another kind, and in a field that is not indexed.
    assert_eq!(ids_by(&store, Kind::Graph, "tags", "y").await, [""; 0]);
    assert_eq!(ids_by(&store, Kind::Policy, "description", "y").await, ["q"]);
    store.replace(Kind::Policy, "q", revision, "q", &Map::new()).await.unwrap().unwrap();
    assert_eq!(ids_by(&store, Kind::Policy, "tags", "y").await, [""; 0]);
}

#[tokio::test]
async fn long_values_are_found_and_break_nothing() {
    let place = Place::new().await;
    let store = place.open().await;
    // Nothing that PostgreSQL could make short.
    let long = |seed: u32| -> String {
        let mut state = seed;
        let next = |state: &mut u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from_u32(0x4e00 + (*state >> 12) % 0x5000).unwrap()
        };
        (0..5000).map(|_| next(&mut state)).collect()
    };
    for (id, seed) in [("a", 1), ("b", 2)] {
        let tags = json!({"tags": [long(seed), long(seed) + "x", "short"], "name": long(seed)});
        store.insert(Kind::Policy, id, &document(tags)).await.unwrap().unwrap();
    }
    assert_eq!(ids_by(&store, Kind::Policy, "tags", &long(1)).await, ["a"]);
    assert_eq!(ids_by(&store, Kind::Policy, "name", &long(2)).await, ["b"]);
    assert_eq!(ids_by(&store, Kind::Policy, "tags", "short").await, ["a", "b"]);
}

#[tokio::test]
async fn a_scan_comes_in_order_in_one_state_and_ends_when_told() {
    let place = Place::new().await;
    let store = place.open().await;
    let large = "x".repeat(200_000);
    let mut tx = store.db.begin().await.unwrap();
    for n in 0..1300 {
        // The order in which they come is not theirs.
        let id = format!("{:04}", n * 7 % 1300);
        let text = json!({"text": if n % 400 == 3 { &large } else { "" }, "n": id}).to_string();
        let sql = "INSERT INTO jobs (id, document, revision) VALUES ($1, $2, $3)";
        tx.execute(sql, &[(&id).into(), (&text).into(), i64::from(n).into()]).await.unwrap();
    }
    tx.commit().await.unwrap();
    let expected: Vec<_> = (0..1300).map(|n| format!("{n:04}")).collect();
    assert_eq!(ids(&store, Kind::Job, &Narrow::default()).await, expected);
    for most in [1, 2, 511, 512, 513, 1299] {
        let some = store.scan(Kind::Job, &Narrow::default(), Ids::in_order(most)).await.unwrap().ids;
        assert_eq!(some, expected[..most]);
    }
    store.remove(Kind::Job, "0777").await.unwrap();
    let any = Ids { in_order: false, ..Ids::in_order(usize::MAX) };
    let mut any = store.scan(Kind::Job, &Narrow::default(), any).await.unwrap().ids;
    any.sort_unstable();
    assert_eq!((any.len(), &any[..777], &any[777..]), (1299, &expected[..777], &expected[778..]));
    let range = Test::Range { low: Some(("0100".into(), true)), high: Some(("1200".into(), false)) };
    let narrow = Narrow { bounds: vec![Bound { field: "job_id".into(), test: range }] };
    let found: BTreeSet<_> = ids(&store, Kind::Job, &narrow).await.into_iter().collect();
    assert!(expected[100..1200].iter().all(|id| found.contains(id) || id == "0777"));
    for id in ["0021", "0500"] {
        let document = store.read(Kind::Job, id).await.unwrap().unwrap().document;
        assert_eq!(
            (document["n"].as_str(), document["text"].as_str().map(str::len)),
            (Some(id), {
                Some(if (0..1300).any(|n| n % 400 == 3 && format!("{:04}", n * 7 % 1300) == id) {
                    large.len()
                } else {
                    0
                })
            })
        );
    }
}

#[tokio::test]
async fn the_documents_of_a_scan_are_whole() {
    struct Documents(Vec<(String, usize)>);
    impl Visit for Documents {
        fn visit(&mut self, candidate: &Candidate<'_>) -> Result<ControlFlow<()>, Error> {
            let document: Value = serde_json::from_str(candidate.document).unwrap();
            self.0.push((candidate.id.to_string(), document["text"].as_str().unwrap().len()));
            assert_eq!(candidate.load().unwrap(), (None, LoadState::Pending));
            Ok(ControlFlow::Continue(()))
        }
    }
    let place = Place::new().await;
    let store = place.open().await;
    let mut expected = Vec::new();
    for (n, length) in [0, 10, 65_000, 65_536, 70_000, 3, 3_000_000, 65_525, 1].into_iter().enumerate() {
        let id = format!("p{n}");
        let text = document(json!({"text": "ä".repeat(length / 2) + &"a".repeat(length % 2)}));
        store.insert(Kind::Policy, &id, &text).await.unwrap().unwrap();
        expected.push((id, length));
    }
    assert_eq!(store.scan(Kind::Policy, &Narrow::default(), Documents(Vec::new())).await.unwrap().0, expected);
}

#[tokio::test]
async fn how_a_policy_loaded_is_noted_for_its_revision() {
    let place = Place::new().await;
    let store = place.open().await;
    let revision = store.insert(Kind::Policy, "p", &Map::new()).await.unwrap().unwrap();
    assert_eq!(store.pending().await.unwrap(), ["p"]);
    let digest = Some(lictor_model::Digest::of(b"x"));
    store.loaded("p", revision, digest, &LoadState::Ready).await.unwrap();
    let failed = LoadState::Failed { code: "internal".into(), message: "a \0 and \u{1f}".into() };
    for (revision, load, expected) in [
        (revision, &failed, (&failed, digest)),
        (revision + 1, &LoadState::Ready, (&failed, digest)),
        (revision, &LoadState::Ready, (&LoadState::Ready, digest)),
    ] {
        store.loaded("p", revision, None, load).await.unwrap();
        let row = store.policy("p").await.unwrap().unwrap();
        assert_eq!((&row.load, row.component), expected);
    }
    assert_eq!(store.pending().await.unwrap(), [""; 0]);
    store.replace(Kind::Policy, "p", revision, "p", &Map::new()).await.unwrap().unwrap();
    assert_eq!(store.policy("p").await.unwrap().unwrap().load, LoadState::Pending);
    assert_eq!(store.pending().await.unwrap(), ["p"]);
}

#[tokio::test]
async fn a_context_goes_with_its_policy() {
    let place = Place::new().await;
    let store = place.open().await;
    store.insert(Kind::Policy, "p", &Map::new()).await.unwrap().unwrap();
    let write = |key: &str, value: Option<&[u8]>| ContextWrite {
        policy_uri: "p".into(),
        key: key.into(),
        value: value.map(<[u8]>::to_vec),
    };
    let first = [write("a", Some(b"1")), write("b\0", Some(b"\0\xff")), write("c", None), write("a", Some(b"2"))];
    store.write_context(&first).await.unwrap();
    let context: Vec<_> = store.context("p").await.unwrap().into_iter().collect();
    assert_eq!(context, [("a".into(), b"2".to_vec()), ("b\0".into(), b"\0\xff".to_vec())]);
    store.write_context(&[write("a", None)]).await.unwrap();
    assert_eq!(store.context("p").await.unwrap().len(), 1);
    store.remove(Kind::Policy, "p").await.unwrap();
    assert_eq!(store.context("p").await.unwrap().len(), 0);
}

/// Where there is one database for several processes, one hears what another changes; and nobody hears itself.
#[tokio::test]
async fn changes_are_heard_by_the_others() {
    let place = Place::new().await;
    if let Location::File(_) = place.location {
        let store = place.open().await;
        let mut changes = store.changes();
        store.insert(Kind::Policy, "p", &Map::new()).await.unwrap();
        store.close().await;
        assert_eq!(next(&mut changes).await, None);
        return;
    }
    let one = place.open().await;
    let mut own = one.changes();
    let other = place.open().await;
    let mut heard = other.changes();
    // From when they listen on.
    assert_eq!((next(&mut own).await, next(&mut heard).await), (Some(Change::All), Some(Change::All)));
    let revision = one.insert(Kind::Policy, "p\0", &Map::new()).await.unwrap().unwrap();
    one.replace(Kind::Policy, "p\0", revision, "q", &Map::new()).await.unwrap().unwrap();
    one.write_context(&[ContextWrite { policy_uri: "q".into(), key: "k".into(), value: Some(vec![]) }]).await.unwrap();
    for expected in [
        Change::One(Kind::Policy, "p\0".into()),
        Change::One(Kind::Policy, "p\0".into()),
        Change::One(Kind::Policy, "q".into()),
        Change::Context("q".into()),
    ] {
        assert_eq!(next(&mut heard).await, Some(expected));
    }
    // All connections are cut: what happened meanwhile is not known, and everything works again by itself.
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    one.db.fetch(cut, &[]).await.unwrap();
    assert_eq!((next(&mut own).await, next(&mut heard).await), (Some(Change::All), Some(Change::All)));
    assert_eq!(other.revision(Kind::Policy, "p\0").await.unwrap(), None);
    other.close().await;
    assert_eq!(next(&mut heard).await, None);
}

/// The next change, which must come.
#[track_caller]
fn next(changes: &mut Changes) -> impl Future<Output = Option<Change>> {
    let next = tokio::time::timeout(Duration::from_secs(60), changes.next());
    async { next.await.expect("something is heard") }
}

#[tokio::test]
async fn an_executor_id_has_one_holder() {
    let place = Place::new().await;
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = place.open().await;
    let lease = store.hold("executor-001", here.path()).await.unwrap();
    if let Location::File(_) = place.location {
        return;
    }
    store.hold("executor-002", there.path()).await.unwrap();
    let other = place.open().await;
    let refused = other.hold("executor-001", there.path()).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert!(refused.message().contains("`executor-001`"), "{refused}");
    // From the same data directory, as after a kill: at once, and whoever has it from there notices.
    let again = other.hold("executor-001", here.path()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), lease.lost()).await.unwrap();
    // What is given back can be taken, and what was lost is not given back by its former holder.
    store.release(&lease).await.unwrap();
    assert!(store.hold("executor-001", there.path()).await.is_err());
    other.release(&again).await.unwrap();
    store.hold("executor-001", there.path()).await.unwrap();
    // What expired can be taken.
    store.db.execute("UPDATE leases SET expires_at = 0, session = 'x'", &[]).await.unwrap();
    other.hold("executor-001", here.path()).await.unwrap();
}

/// Whatever a filter asks for, what the store narrows it to holds every match.
#[tokio::test]
async fn narrowing_loses_no_match() {
    let place = Place::new().await;
    let store = place.open().await;
    let mut documents = Vec::new();
    let words = ["", "a", "ab", "b", "B", "a\0", "a\u{1}", "ä", "a,b"];
    for n in 0..240_usize {
        let word = |k: usize| words[(n / k + n) % words.len()];
        let tags = match n % 6 {
            0 => json!(word(1)),
            1 => json!([word(2), word(3)]),
            2 => json!([[word(1)], {"x": word(2)}, 7, word(5)]),
            3 => json!(null),
            4 => json!([]),
            _ => json!(format!("{},{}", word(1), word(7))),
        };
        let uri = format!("p{n:03}");
        let mut record =
            json!({"policy_rule_uri": uri, "name": word(1), "version": word(4), "type": "t", "tags": tags});
        if n % 7 == 0 {
            record.as_object_mut().unwrap().remove("version");
        }
        let record = document(record);
        store.insert(Kind::Policy, &uri, &record).await.unwrap().unwrap();
        documents.push((uri, record));
    }
    for (body, least) in filters(&words) {
        let filter = Filter::parse(&body).unwrap();
        let matches: BTreeSet<_> =
            documents.iter().filter(|(_, record)| filter.matches(record)).map(|(uri, _)| uri.clone()).collect();
        let candidates = ids(&store, Kind::Policy, &filter.narrow()).await;
        assert!(candidates.is_sorted(), "{body}");
        let candidates: BTreeSet<_> = candidates.into_iter().collect();
        assert!(matches.is_subset(&candidates), "{body} loses {:?}", matches.difference(&candidates));
        assert!(least <= documents.len() - candidates.len(), "{body} is not narrowed: {} of them", candidates.len());
    }
}

/// Filters, each with how many of the records its index leaves out at least.
fn filters(words: &[&str]) -> Vec<(Value, usize)> {
    let mut res = vec![
        (json!({}), 0),
        (json!({"policy_rule_uri": "p007"}), 239),
        (json!({"policy_rule_uri": {"$in": ["p007", "p100", "nobody"]}}), 238),
        (json!({"policy_rule_uri": {"$gt": "p003", "$lte": "p009"}}), 232),
        (json!({"policy_rule_uri": {"$regex": "^p00"}}), 200),
        (json!({"name": "nobody"}), 240),
        (json!({"type": "t", "name": "nobody"}), 240),
        (json!({"type": "t"}), 0),
        (json!({"version": null}), 0),
        (json!({"tags": {"$gt": "a", "$lt": "b"}}), 0),
        (json!({"tags": {"$gte": "b", "$lte": "a"}}), 0),
        (json!({"tags": {"$all": ["a", "b"]}}), 0),
        (json!({"tags": {"$elemMatch": {"$gt": "a", "$lt": "b"}}}), 0),
        (json!({"tags": {"$ne": "a"}}), 0),
        (json!({"tags": {"$in": ["a", null]}}), 0),
        (json!({"name": {"$not": {"$gt": "a"}}}), 0),
        (json!({"$or": [{"name": "a"}, {"tags": "b"}]}), 0),
        (json!({"$and": [{"name": "a"}, {"tags": "b"}]}), 100),
        (json!({"$nor": [{"name": "a"}]}), 0),
        (json!({"policy_rule_uri": {"$gte": "p"}, "tags": "ab", "name": {"$lt": "b"}}), 100),
    ];
    for word in words {
        for field in ["name", "version", "tags"] {
            res.push((json!({ field: word }), 100));
            for operator in ["$gt", "$gte", "$lt", "$lte", "$eq", "$ne"] {
                res.push((json!({ field: { operator: word } }), 0));
            }
            for other in words {
                res.push((json!({ field: { "$gte": word, "$lt": other } }), 0));
                res.push((json!({ field: word, "name": other }), 100));
            }
        }
    }
    res
}
