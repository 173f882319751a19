//! The languages of the registries: filters, updates, and the options of queries.

use lictor_model::{Filter, Update, filter::strings, json, query::Options};
use serde_json::{Map, Value, json};

use crate::values;

/// A filter and a document. Narrowing never loses a match, no other field matters, and `$nor` is the opposite.
pub(crate) fn filter(data: &[u8]) {
    let Some([body, Value::Object(document)]) = values(data) else { return };
    let Ok(filter) = Filter::parse(&body) else { return };
    let matches = filter.matches(&document);
    let held = |field: &str| strings(&document, field).into_iter().map(str::to_owned).collect();
    assert!(!matches || filter.narrow().admits(held), "narrowing loses a match");
    let mut less = document.clone();
    less.retain(|name, _| filter.fields().any(|field| field == name));
    assert_eq!(filter.matches(&less), matches, "another field matters");
    // As long as that does not make it too large.
    if let Ok(opposite) = Filter::parse(&json!({ "$nor": [body] })) {
        assert_ne!(opposite.matches(&document), matches);
    }
}

/// Operators that change nothing more when they are applied again.
const LASTING: [&str; 6] = ["$set", "$unset", "$min", "$max", "$addToSet", "$pull"];

/// An update and a document. What comes of it is a document, and the same each time.
pub(crate) fn update(data: &[u8]) {
    let Some([body, Value::Object(document)]) = values(data) else { return };
    let lasting = body.as_object().is_some_and(|fields| fields.keys().all(|name| LASTING.contains(&name.as_str())));
    let Ok(update) = Update::parse(body) else { return };
    let Ok(changed) = update.apply(document.clone()) else { return };
    assert_eq!(json::parse(&changed.to_string()).as_ref(), Ok(&changed), "it is no document any more");
    let renamed = update.clone().renamed(|_| None).and_then(|update| update.apply(document));
    assert_eq!(renamed.as_ref(), Ok(&changed));
    if let (true, Update::Change(_), Value::Object(once)) = (lasting, &update, &changed) {
        assert_eq!(update.apply(once.clone()).as_ref(), Ok(&changed), "it changes more each time");
    }
}

/// The options of a query, as an object of texts, and a list of documents. The order is one, and what is answered
/// depends on no field but those that are said to be looked at.
pub(crate) fn query(data: &[u8]) {
    let Some([Value::Object(pairs), Value::Array(documents)]) = values(data) else { return };
    let pairs: Option<Vec<_>> = pairs.iter().map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect();
    let Some(Ok(options)) = pairs.map(|pairs| Options::parse(pairs.into_iter())) else { return };
    let mut documents: Vec<_> = documents.into_iter().filter_map(object).take(40).collect();
    for document in &documents {
        let less = only(document, options.fields());
        assert!(options.compare(&options.rank(&less), &options.rank(document)).is_eq(), "another field matters");
        if let Some(kept) = options.keeps() {
            assert_eq!(options.project(only(document, kept)), options.project(document.clone()));
        }
    }
    options.order(&mut documents);
    let ranks: Vec<_> = documents.iter().map(|document| options.rank(document)).collect();
    for (at, left) in ranks.iter().enumerate() {
        assert!(ranks[at..].iter().all(|right| options.compare(left, right).is_le()), "it is not in order");
    }
}

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

fn only<'a>(document: &Map<String, Value>, fields: impl Iterator<Item = &'a str>) -> Map<String, Value> {
    let fields: Vec<_> = fields.collect();
    let mut less = document.clone();
    less.retain(|name, _| fields.contains(&name.as_str()));
    less
}
