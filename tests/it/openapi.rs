//! The description of the API, and that the API keeps to it.

use std::collections::BTreeSet;

use lictor_tests::{Client, Reply, TestServer};
use serde_json::Value;

const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "PATCH"];

fn document(client: &Client) -> Value {
    let reply = client.get("/openapi.json");
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    reply.json()
}

/// Each path with its item.
fn paths(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    document["paths"].as_object().unwrap().iter()
}

/// Each operation, with its method in upper case and its path.
fn operations(document: &Value) -> impl Iterator<Item = (String, &String, &Value)> {
    paths(document).flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| (method.to_uppercase(), path, operation))
    })
}

/// The path with something in the place of each parameter.
fn filled(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "nothing" } else { part }).collect::<Vec<_>>().join("/")
}

fn is_no_route(reply: &Reply) -> bool {
    reply.status == 404 && reply.json()["message"].as_str().is_some_and(|text| text.starts_with("there is no route"))
}

/// Every value in the document under the key `$ref`.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
            Value::String(to) if name == "$ref" => drop(found.insert(to)),
            _ => references(value, found),
        }),
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn the_routes_are_those_that_are_described() {
    let server = TestServer::start();
    let document = document(&server);
    assert!(30 <= operations(&document).count(), "{}", operations(&document).count());
    for (path, item) in paths(&document) {
        let described: BTreeSet<String> =
            item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        for method in METHODS {
            let reply = server.send(method, &filled(path), &[("content-type", "application/json")], b"{}");
            assert!(!is_no_route(&reply), "{method} {path}: {reply:?}");
            assert_eq!(reply.status == 405, !described.contains(method), "{method} {path}: {reply:?}");
            if reply.status == 405 {
                let mut allowed: BTreeSet<String> =
                    reply.header("allow").unwrap().split(',').map(str::to_owned).collect();
                assert_eq!(allowed.remove("HEAD"), described.contains("GET"), "{path}");
                assert_eq!(allowed, described, "{path}");
            }
        }
    }
}

#[test]
fn the_document_is_whole() {
    let server = TestServer::start();
    let document = document(&server);
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], server.admin().get("/version").json()["version"]);

    let (mut refs, mut ids) = (BTreeSet::new(), BTreeSet::new());
    references(&document, &mut refs);
    assert!(!refs.is_empty());
    for to in refs {
        assert!(document.pointer(to.strip_prefix('#').unwrap()).is_some(), "{to}");
    }
    let tags: Vec<&Value> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    for (method, path, operation) in operations(&document) {
        let shown = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().expect(&shown)), "{shown}");
        assert!(operation["summary"].is_string(), "{shown}");
        assert!(tags.contains(&&operation["tags"][0]), "{shown}");
        for status in ["403", "500", "503"] {
            assert!(operation["responses"][status].is_object(), "{shown}: {status}");
        }
        let body = operation.get("requestBody");
        for status in ["400", "408", "413", "415"] {
            assert!(body.is_none() || operation["responses"][status].is_object(), "{shown}: {status}");
        }
        let declared = operation["parameters"].as_array().into_iter().flatten();
        let mut declared: Vec<&Value> = declared.filter(|it| it["in"] == "path").map(|it| &it["name"]).collect();
        let mut named: Vec<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
        declared.sort_by_key(|name| name.as_str());
        named.sort_unstable();
        assert_eq!(declared, named, "{shown}");
    }
}

#[test]
fn every_name_of_a_path_is_refused_where_it_is_no_text() {
    let server = TestServer::start();
    let document = document(&server);
    for (method, path, _) in operations(&document).filter(|(_, path, _)| path.contains('{')) {
        let path = filled(path).replacen("nothing", "%ff", 1);
        let reply = server.send(&method, &path, &[("content-type", "application/json")], b"{}");
        assert_eq!(reply.refusal(), (400, "invalid_input".into()), "{method} {path}: {reply:?}");
        assert!(reply.json()["field"].is_string(), "{method} {path}");
    }
}

#[test]
fn what_was_seen_before_is_not_sent_again() {
    let server = TestServer::start();
    for path in ["/openapi.json", "/docs", "/docs/swagger-ui.css", "/docs/swagger-initializer.js"] {
        let first = server.get(path);
        let tag = first.header("etag").unwrap();
        for known in [tag.to_owned(), format!("\"other\", W/{tag}"), "*".to_owned()] {
            let again = server.send("GET", path, &[("if-none-match", &known)], b"");
            assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag)), "{path} {known}");
        }
        assert_eq!(server.send("GET", path, &[("if-none-match", "\"other\"")], b"").body, first.body, "{path}");
        let head = server.send("HEAD", path, &[], b"");
        let kept = |reply: &Reply| {
            ["etag", "content-type", "content-length"].map(|name| reply.header(name).map(str::to_owned))
        };
        assert_eq!((head.status, head.body.len(), kept(&head)), (200, 0, kept(&first)), "{path}");
    }
}

#[test]
fn the_page_is_all_there_and_asks_nobody_else() {
    let server = TestServer::start();
    let page = server.get("/docs");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let text = String::from_utf8(page.body.clone()).unwrap();
    let links: Vec<&str> = text.split(['"']).filter(|part| part.contains('.') && !part.contains(['<', ' '])).collect();
    assert_eq!(links.len(), 6, "{links:?}");
    for link in links {
        let part = server.get(&format!("/{link}"));
        let media_type = part.header("content-type").unwrap().to_owned();
        let expected = match link.rsplit('.').next().unwrap() {
            "js" => "text/javascript",
            "css" => "text/css",
            "json" => "application/json",
            _ => "image/png",
        };
        assert_eq!((part.status, &*media_type), (200, expected), "{link}");
        assert_eq!(part.header("x-content-type-options"), Some("nosniff"), "{link}");
        assert!(!part.body.is_empty(), "{link}");
    }
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("http"), "{policy}");
    let settings = String::from_utf8(server.get("/docs/swagger-initializer.js").body).unwrap();
    assert!(!settings.contains("://"), "{settings}");
    assert!(settings.contains(r#""supportedSubmitMethods": []"#), "{settings}");

    for path in ["/docs/index.html", "/docs/nothing", "/docs/..%2fopenapi.json"] {
        assert_eq!(server.get(path).refusal(), (404, "not_found".into()), "{path}");
    }
    for path in ["/docs", "/openapi.json"] {
        let reply = server.send("GET", path, &[("origin", "https://example.com")], b"");
        assert_eq!(reply.refusal(), (403, "forbidden".into()), "{path}");
    }
}
