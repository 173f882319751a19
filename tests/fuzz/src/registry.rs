//! The registry of one kind of records against a plain map.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use lictor::{
    error::{Error, ErrorKind},
    registry::{Entity, Registry},
    store::Kind,
};
use lictor_model::{Entry, FieldError, Filter, Query, Update, document, query::Options};
use serde_json::{Map, Value, json};

use crate::{RUNTIME, store::store};

/// Records in the table of graphs, with its index and with none of what a graph must be.
struct Thing;

impl Entity for Thing {
    const KIND: Kind = Kind::Graph;
    const NOUN: &'static str = "thing";
    const ID: &'static str = ID;

    fn parse(&self, body: Value) -> std::result::Result<Entry, FieldError> {
        let document = document::object(body, "a thing")?;
        let id = document::text(&document, ID)?.to_owned();
        Ok(Entry { id, document, warnings: Vec::new() })
    }

    fn not_found(&self, id: &str) -> String {
        format!("no {id}")
    }
}

const ID: &str = "graph_uri";
const IDS: [&str; 5] = ["a", "ab", "b", "é", "z:1.0-x"];
/// Fields, those first that are in the index.
const FIELDS: [&str; 5] = ["graph_name", "graph_search_tags", "graph_version", "n", "list"];

/// What is there.
type There = BTreeMap<String, Map<String, Value>>;

/// What somebody does. The registry answers as the map does, and both then hold the same.
pub(crate) fn registry(data: &[u8]) {
    let registry = Registry::new(store(), Thing);
    let (mut bytes, mut there) = (Unstructured::new(data), There::new());
    for _ in 0..30 {
        if bytes.is_empty() || step(&mut bytes, &registry, &mut there).is_err() {
            break;
        }
    }
    for (id, document) in &there {
        assert_eq!(RUNTIME.block_on(registry.stored(id)).expect("it is there").document, *document);
        RUNTIME.block_on(registry.delete(id)).expect("it can be removed");
    }
    assert_eq!(found(&registry, &Query::default()), [Value::Null; 0], "something is left");
}

fn step(bytes: &mut Unstructured<'_>, registry: &Registry<Thing>, there: &mut There) -> Result<()> {
    let id = *bytes.choose(&IDS)?;
    match bytes.int_in_range(0..=8)? {
        0..=2 => create(registry, there, record(bytes)?),
        3 => delete(registry, there, id),
        4 => {
            let query = query(bytes)?;
            assert_eq!(found(registry, &query), matching(there, &query), "{query:?} of {there:?}");
        }
        5 => update(registry, there, id, record(bytes)?),
        _ => update(registry, there, id, change(bytes)?),
    }
    Ok(())
}

fn create(registry: &Registry<Thing>, there: &mut There, body: Value) {
    let created = RUNTIME.block_on(registry.create(body.clone()));
    let entry = Thing.parse(body).expect("a thing");
    match there.get(&entry.id) {
        None => {
            assert!(created.expect("a place that is free").revision.is_some());
            there.insert(entry.id, entry.document);
        }
        Some(same) if *same == entry.document => assert!(created.expect("the same again").revision.is_none()),
        Some(_) => assert_eq!(kind(created), Some(ErrorKind::Conflict)),
    }
}

fn delete(registry: &Registry<Thing>, there: &mut There, id: &str) {
    let deleted = RUNTIME.block_on(registry.delete(id));
    let expected = there.remove(id).is_none().then_some(ErrorKind::NotFound);
    assert_eq!(kind(deleted), expected);
}

fn update(registry: &Registry<Thing>, there: &mut There, id: &str, body: Value) {
    let updated = RUNTIME.block_on(registry.update(id, body.clone()));
    let Ok(update) = Update::parse(body) else { return assert_eq!(kind(updated), Some(ErrorKind::InvalidInput)) };
    let Some(before) = there.get(id) else { return assert_eq!(kind(updated), Some(ErrorKind::NotFound)) };
    let entry = match update.apply(before.clone()).and_then(|changed| Thing.parse(changed)) {
        Ok(entry) => entry,
        Err(_) => return assert_eq!(kind(updated), Some(ErrorKind::InvalidInput)),
    };
    if entry.id != id && there.contains_key(&entry.id) {
        return assert_eq!(kind(updated), Some(ErrorKind::Conflict));
    }
    let changed = updated.expect("a change that can be made");
    assert_eq!((&changed.before.document, &changed.entry.document), (before, &entry.document));
    there.remove(id);
    there.insert(entry.id, entry.document);
}

fn kind<T>(done: std::result::Result<T, Error>) -> Option<ErrorKind> {
    done.err().map(|error| error.kind())
}

fn found(registry: &Registry<Thing>, query: &Query) -> Vec<Value> {
    let found = RUNTIME.block_on(registry.query(query.clone())).expect("a query is answered");
    found.documents.iter().map(|text| serde_json::from_str(text).expect("a document")).collect()
}

fn matching(there: &There, query: &Query) -> Vec<Value> {
    let Query { filter, options } = query;
    let mut all: Vec<_> = there.values().filter(|document| filter.matches(document)).cloned().collect();
    options.order(&mut all);
    all.into_iter().map(|document| Value::Object(options.project(document))).collect()
}

fn record(bytes: &mut Unstructured<'_>) -> Result<Value> {
    let mut record = json!({ ID: bytes.choose(&IDS)? });
    for _ in 0..bytes.int_in_range(0..=4)? {
        record[*bytes.choose(&FIELDS)?] = value(bytes)?;
    }
    Ok(record)
}

/// Values out of few, so that records and queries meet, and of kinds that an index must bear.
fn value(bytes: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match bytes.int_in_range(0..=6)? {
        0 => json!(bytes.int_in_range(-2..=3)?),
        1 => json!(1.5),
        2 => Value::Null,
        3 => json!([text(bytes)?, text(bytes)?]),
        4 => json!({ "a": text(bytes)? }),
        _ => json!(text(bytes)?),
    })
}

fn text(bytes: &mut Unstructured<'_>) -> Result<String> {
    let long = |end: &str| "x".repeat(3000) + end;
    Ok(match bytes.int_in_range(0..=11)? {
        0 => String::new(),
        1 => "a".into(),
        2 => "ab".into(),
        3 => "b".into(),
        4 => "é".into(),
        5 => "\0".into(),
        6 => "a\0b".into(),
        7 => "\u{1}".into(),
        8 => "\u{10ffff}".into(),
        9 => "%_\\'\"".into(),
        10 => long("a"),
        _ => long("b"),
    })
}

fn change(bytes: &mut Unstructured<'_>) -> Result<Value> {
    let field = *bytes.choose(&FIELDS)?;
    Ok(match bytes.int_in_range(0..=6)? {
        0 => json!({"$set": { ID: bytes.choose(&IDS)? }}),
        1 => json!({"$set": { field: value(bytes)? }}),
        2 => json!({"$unset": { field: "" }}),
        3 => json!({"$inc": { field: bytes.int_in_range(-3..=3)? }}),
        4 => json!({"$push": { field: text(bytes)? }}),
        5 => json!({"$pull": { field: text(bytes)? }}),
        _ => json!({"$rename": { field: *bytes.choose(&FIELDS)? }}),
    })
}

fn query(bytes: &mut Unstructured<'_>) -> Result<Query> {
    let mut filter = json!({});
    for _ in 0..bytes.int_in_range(0..=2)? {
        let field = *bytes.choose(&["graph_name", "graph_search_tags", "graph_version", "n", "list", "list.0", ID])?;
        filter[field] = match bytes.int_in_range(0..=6)? {
            0 => json!({"$gte": text(bytes)?, "$lt": text(bytes)?}),
            1 => json!({"$in": [value(bytes)?, text(bytes)?]}),
            2 => json!({"$regex": bytes.choose(&["^a", "^x", "b$", "^\u{10ffff}", "^é", "^a|b"])?}),
            3 => json!({"$ne": value(bytes)?}),
            4 => json!({"$exists": bytes.arbitrary::<bool>()?}),
            _ => value(bytes)?,
        };
    }
    let mut options = Vec::new();
    if let Some(sort) = bytes.choose(&[None, Some("n"), Some("-graph_name"), Some("graph_search_tags,-n")])? {
        options.push(("sort", *sort));
    }
    if let Some(projection) = bytes.choose(&[None, None, Some("n,graph_name"), Some("-list")])? {
        options.push(("projection", *projection));
    }
    options.push(("limit", *bytes.choose(&["0", "1", "2"])?));
    options.push(("skip", *bytes.choose(&["0", "0", "1", "3"])?));
    // A value may be an object that looks like operators to nobody: all of them are taken.
    let filter = Filter::parse(&filter).expect("a filter");
    Ok(Query { filter, options: Options::parse(options.into_iter()).expect("options") })
}
