//! Filters, updates, and the options of queries, over HTTP.

use lictor_tests::{TestServer, record};
use serde_json::{Map, Value, json};

const SEED_GRAPH: &str = include_str!("../data/seed/graph.json");
const SEED_GRAPH_UPDATE: &str = include_str!("../data/seed/update_graph.json");
const SEED_GRAPH_QUERY: &str = include_str!("../data/seed/query_graphs.json");
const SEED_FUNCTION_QUERY: &str = include_str!("../data/seed/query_functions.json");
const SEED_JOB_QUERY: &str = include_str!("../data/seed/query_jobs.json");
const SEED_POLICY: &str = include_str!("../data/seed/policy.json");
const SEED_POLICY_QUERY: &str = include_str!("../data/seed/query_policies.json");

/// What is said of its one function.
const NOT_DEPLOYED: &str = "no function is deployed yet as `a`: the graph can be executed once it is";

/// A graph with this metadata, which is any value: what filters and updates are tried on.
fn graph(name: &str, metadata: &Value) -> Value {
    json!({
        "graph_name": name, "graph_version": "1.0", "graph_release_tag": "test", "graph_metadata": metadata,
        "graph_function_ids": ["a"], "graph_connection_data": {}, "graph_search_tags": [name, "all"],
        "graph_description": "", "graph_input_schema": {}, "graph_output_schema": {}
    })
}

fn put_text(server: &TestServer, path: &str, body: &str) -> lictor_tests::Reply {
    server.send("PUT", path, &[("Content-Type", "application/json")], body.as_bytes())
}

/// The names of the graphs that a query finds, in its order.
#[track_caller]
fn names(server: &TestServer, options: &str, filter: &Value) -> String {
    let found = server.post(&format!("/graphs/query{options}"), filter).data();
    found.as_array().unwrap().iter().filter_map(|graph| graph["graph_name"].as_str()).collect()
}

fn four_graphs() -> TestServer {
    let server = TestServer::start();
    for (name, metadata) in [
        (
            "a",
            json!({"n": 1, "s": "alpha", "list": [1, 2, 3], "obj": {"k": "x"}, "items": [{"p": 1, "q": "r"}, {"p": 5, "q": "g"}]}),
        ),
        (
            "b",
            json!({"n": 5, "s": "Beta", "list": [], "obj": {"k": "y"}, "items": [{"p": 1, "q": "g"}], "nothing": null}),
        ),
        ("c", json!({"n": 10.5, "s": "gamma", "list": ["x"], "flag": true})),
        ("d", json!({"n": "5", "s": "delta\nline", "list": "x"})),
    ] {
        server.post("/graphs", &graph(name, &metadata)).data();
    }
    server
}

#[test]
fn every_operator_of_a_filter_finds_what_it_says() {
    let server = four_graphs();
    for (filter, expected) in [
        (json!({}), "abcd"),
        (json!({"graph_metadata.n": 5}), "b"),
        (json!({"graph_metadata.n": {"$eq": 5.0}}), "b"),
        (json!({"graph_metadata.n": {"$ne": 5}}), "acd"),
        (json!({"graph_metadata.n": {"$gt": 1}}), "bc"),
        (json!({"graph_metadata.n": {"$gte": 5, "$lt": 10.5}}), "b"),
        (json!({"graph_metadata.n": {"$lte": 5}}), "ab"),
        (json!({"graph_metadata.n": {"$gt": ""}}), "d"),
        (json!({"graph_metadata.s": {"$in": ["alpha", "gamma", 5]}}), "ac"),
        (json!({"graph_metadata.s": {"$nin": ["alpha", "gamma"]}}), "bd"),
        (json!({"graph_metadata.nothing": null}), "abcd"),
        (json!({"graph_metadata.nothing": {"$exists": true}}), "b"),
        (json!({"graph_metadata.flag": {"$exists": false}}), "abd"),
        (json!({"graph_metadata.n": {"$type": "string"}}), "d"),
        (json!({"graph_metadata.n": {"$type": ["number", "string"]}}), "abcd"),
        (json!({"graph_metadata.nothing": {"$type": "null"}}), "b"),
        (json!({"graph_metadata.s": {"$regex": "^.?eta"}}), "b"),
        (json!({"graph_metadata.s": {"$regex": "^b", "$options": "i"}}), "b"),
        (json!({"graph_metadata.s": {"$regex": "^line$", "$options": "m"}}), "d"),
        (json!({"graph_metadata.list": 2}), "a"),
        (json!({"graph_metadata.list": "x"}), "cd"),
        (json!({"graph_metadata.list": [1, 2, 3]}), "a"),
        (json!({"graph_metadata.list": {"$all": [3, 1]}}), "a"),
        (json!({"graph_metadata.list": {"$size": 0}}), "b"),
        (json!({"graph_metadata.list": {"$elemMatch": {"$gt": 1, "$lt": 3}}}), "a"),
        (json!({"graph_metadata.list.1": 2}), "a"),
        (json!({"graph_metadata.items": {"$elemMatch": {"p": 1, "q": "g"}}}), "b"),
        (json!({"graph_metadata.items.p": 1, "graph_metadata.items.q": "g"}), "ab"),
        (json!({"graph_metadata.items.0.q": "g"}), "b"),
        (json!({"graph_metadata.n": {"$mod": [5, 0]}}), "bc"),
        (json!({"graph_metadata.n": {"$not": {"$gt": 1}}}), "ad"),
        (json!({"graph_metadata.obj": {"k": "x"}}), "a"),
        (json!({"$and": [{"graph_metadata.n": {"$gt": 1}}, {"graph_metadata.n": {"$lt": 6}}]}), "b"),
        (json!({"$or": [{"graph_name": "d"}, {"graph_metadata.n": 1}]}), "ad"),
        (json!({"$nor": [{"graph_name": "d"}, {"graph_metadata.n": 1}]}), "bc"),
        // What an index narrows by.
        (json!({"graph_name": "c"}), "c"),
        (json!({"graph_name": {"$in": ["c", "a", "z"]}}), "ac"),
        (json!({"graph_name": {"$gt": "a", "$lte": "c"}}), "bc"),
        (json!({"graph_uri": "b:1.0-test"}), "b"),
        (json!({"graph_uri": {"$gte": "c"}}), "cd"),
        (json!({"graph_search_tags": "d"}), "d"),
        (json!({"graph_search_tags": {"$all": ["all", "a"]}}), "a"),
        (json!({"graph_search_tags": "all", "graph_metadata.n": 1}), "a"),
        (json!({"graph_version": "1.0", "graph_release_tag": "other"}), ""),
    ] {
        assert_eq!(names(&server, "", &filter), expected, "{filter}");
    }
}

// attack 67
#[test]
fn a_filter_that_makes_no_sense_is_refused_by_what_is_wrong_with_it() {
    let server = four_graphs();
    for (filter, named) in [
        (json!({"$where": "1"}), "$where"),
        (json!({"graph_name": {"$near": 1}}), "$near"),
        (json!({"$and": [{"a": {"$nope": 1}}]}), "$nope"),
        (json!({"a": {"$in": "x"}}), "$in"),
        (json!({"a": {"$regex": "("}}), "$regex"),
        (json!({"a": {"$regex": "x", "$options": "q"}}), "$options"),
        (json!({"a": {"$mod": [0, 1]}}), "$mod"),
        (json!({"a": {"$size": -1}}), "$size"),
        (json!({"$or": []}), "$or"),
    ] {
        let text = filter.to_string();
        for route in ["/policy/query", "/executor/query", "/graphs/query", "/jobs/query"] {
            let reply = server.post(route, &filter);
            assert_eq!(reply.refusal(), (200, "invalid_input".into()), "{route} {text}");
            assert!(reply.text().contains(named), "{route} {text}: {}", reply.text());
        }
        let reply = server.post("/function/query", &filter);
        assert_eq!(reply.refusal(), (400, "invalid_input".into()), "{text}");
        assert!(reply.json()["message"].as_str().unwrap().starts_with("Invalid query filter."), "{}", reply.text());
    }
    for body in [json!([]), json!("x"), json!(null)] {
        assert_eq!(server.post("/graphs/query", &body).refusal(), (200, "invalid_input".into()), "{body}");
        assert_eq!(server.post("/function/query", &body).refusal(), (400, "invalid_input".into()), "{body}");
        let jobs = server.post("/jobs/query", &body);
        assert_eq!(jobs.refusal(), (200, "invalid_input".into()), "{body}");
        assert!(
            jobs.json()["message"].as_str().unwrap().starts_with("Invalid query filter format."),
            "{}",
            jobs.text()
        );
    }
}

#[test]
fn options_order_page_and_thin_out() {
    let server = four_graphs();
    for (options, expected) in [
        ("", "abcd"),
        ("?limit=2", "ab"),
        ("?limit=0", "abcd"),
        ("?skip=1", "bcd"),
        ("?skip=1&limit=2", "bc"),
        ("?skip=9", ""),
        ("?sort=-graph_name", "dcba"),
        ("?sort=-graph_name&limit=1&skip=1", "c"),
        ("?sort=graph_metadata.n", "abcd"),
        ("?sort=-graph_metadata.n", "dcba"),
        ("?sort=graph_version,-graph_name&limit=3", "dcb"),
        ("?sort=%7B%22graph_metadata.s%22%3A%201%7D", "badc"),
        ("?sort=graph_metadata.no.such", "abcd"),
    ] {
        assert_eq!(names(&server, options, &json!({})), expected, "{options}");
    }
    assert_eq!(names(&server, "?sort=-graph_name&limit=2", &json!({"graph_name": {"$ne": "d"}})), "cb");
    let first =
        |options: &str| server.post(&format!("/graphs/query{options}"), &json!({"graph_name": "a"})).data()[0].take();
    assert_eq!(
        first("?projection=graph_name,graph_metadata.n"),
        json!({"graph_name": "a", "graph_metadata": {"n": 1}})
    );
    assert_eq!(first("?projection=%7B%22graph_uri%22%3A1%7D"), json!({"graph_uri": "a:1.0-test"}));
    assert_eq!(first("?projection=graph_metadata.items.p")["graph_metadata"], json!({"items": [{"p": 1}, {"p": 5}]}));
    let without = first("?projection=-graph_metadata");
    assert_eq!((without.get("graph_metadata"), &without["graph_name"]), (None, &json!("a")));
}

#[test]
fn options_work_on_every_registry() {
    let server = four_graphs();
    for name in ["p", "q", "r"] {
        server.create_policy(&record(name, "file:///nowhere/x.wasm"));
    }
    let found = server.post("/policy/query?sort=-name&limit=2&projection=name,load.state", &json!({})).data();
    let found: Vec<&Value> = found.as_array().unwrap().iter().map(|policy| &policy["name"]).collect();
    assert_eq!(found, ["r", "q"]);
    for route in ["/executor/query", "/function/query", "/jobs/query"] {
        server.post(&format!("{route}?limit=1&skip=0&sort=name&projection=name"), &json!({})).data();
    }
    for (options, field) in [
        ("?limits=1", "limits"),
        ("?limit=x", "limit"),
        ("?limit=-1", "limit"),
        ("?skip=1.5", "skip"),
        ("?limit=1&limit=2", "limit"),
        ("?sort=", "sort"),
        ("?sort=a..b", "sort"),
        ("?sort=%7B%22a%22%3A2%7D", "sort"),
        ("?projection=a,-b", "projection"),
        ("?projection=%7B", "projection"),
    ] {
        for (route, status) in [
            ("/policy/query", 200),
            ("/executor/query", 200),
            ("/graphs/query", 200),
            ("/jobs/query", 200),
            ("/function/query", 400),
        ] {
            let reply = server.post(&format!("{route}{options}"), &json!({}));
            assert_eq!(reply.refusal(), (status, "invalid_input".into()), "{route}{options}");
            assert_eq!(reply.json()["field"], field, "{route}{options}: {}", reply.text());
        }
    }
}

#[test]
fn a_query_sees_how_loading_stands() {
    let server = TestServer::start();
    let good = server.load(&record("good", &server.put_file("p.wasm", &lictor_tests::policy("1"))));
    let bad = server.create_policy(&record("bad", &server.put_file("q.wasm", b"no component")));
    server.wait_loaded(&bad);
    for (filter, expected) in [
        (json!({"load.state": "ready"}), &good),
        (json!({"load.state": "failed"}), &bad),
        (json!({"load.code": "bad_archive"}), &bad),
        (json!({"component_digest": {"$regex": "^sha256:"}}), &good),
        (json!({"component_digest": null}), &bad),
        (json!({"name": "good", "load": {"state": "ready"}}), &good),
    ] {
        let found = server.post("/policy/query", &filter).data();
        let uris: Vec<&Value> = found.as_array().unwrap().iter().map(|policy| &policy["policy_rule_uri"]).collect();
        assert_eq!(uris, [expected], "{filter}");
        // The same as when it is read by its uri.
        assert_eq!(found[0], server.policy(expected), "{filter}");
    }
    let sorted = server.post("/policy/query?sort=-load.state&projection=name,load", &json!({})).data();
    assert_eq!(sorted[0], json!({"name": "good", "load": {"state": "ready"}}));
}

#[test]
fn every_operator_of_an_update_does_what_it_says() {
    let server = TestServer::start();
    let before =
        json!({"n": 2, "list": [1, 2, 2], "items": [{"p": 1}, {"p": 2}], "old": "x", "deep": {"gone": 1, "kept": 2}});
    server.post("/graphs", &graph("u", &before)).data();
    let path = "/graphs/u:1.0-test";
    for (update, expected) in [
        (
            json!({"$set": {"m.deep.made": 1, "m.list.4": 9}}),
            json!({"deep": {"gone": 1, "kept": 2, "made": 1}, "list": [1, 2, 2, null, 9]}),
        ),
        (json!({"$set": {"m.items.1.p": 7}}), json!({"items": [{"p": 1}, {"p": 7}]})),
        (json!({"$unset": {"m.deep.gone": ""}}), json!({"deep": {"kept": 2}})),
        (json!({"$inc": {"m.n": 3, "m.fresh": 1}}), json!({"n": 5, "fresh": 1})),
        (json!({"$mul": {"m.n": 1.5}}), json!({"n": 3.0})),
        (json!({"$min": {"m.n": 1}}), json!({"n": 1})),
        (json!({"$min": {"m.n": 3}}), json!({"n": 2})),
        (json!({"$max": {"m.n": 3}}), json!({"n": 3})),
        (json!({"$rename": {"m.old": "m.new"}}), json!({"new": "x", "old": null})),
        (json!({"$push": {"m.list": 3}}), json!({"list": [1, 2, 2, 3]})),
        (json!({"$push": {"m.list": {"$each": [3, 4]}}}), json!({"list": [1, 2, 2, 3, 4]})),
        (json!({"$pull": {"m.list": 2}}), json!({"list": [1]})),
        (json!({"$pull": {"m.items": {"p": {"$gt": 1}}}}), json!({"items": [{"p": 1}]})),
        (json!({"$addToSet": {"m.list": 2}}), json!({"list": [1, 2, 2]})),
        (json!({"$addToSet": {"m.list": {"$each": [2, 3]}}}), json!({"list": [1, 2, 2, 3]})),
        (json!({"$inc": {"m.n": 1}, "$push": {"m.list": 0}}), json!({"n": 3, "list": [1, 2, 2, 0]})),
    ] {
        server.put(path, &json!({"$set": {"graph_metadata": before}})).data();
        let text = update.to_string().replace("\"m.", "\"graph_metadata.");
        assert_eq!(put_text(&server, path, &text).data(), json!({"graph_uri": "u:1.0-test"}), "{text}");
        let after = server.get(path).data();
        let mut wanted = before.as_object().unwrap().clone();
        wanted.extend(expected.as_object().unwrap().clone());
        wanted.retain(|_, value| !value.is_null());
        assert_eq!(after["graph_metadata"], Value::Object(wanted), "{text}");
    }
}

#[test]
fn an_update_that_makes_no_sense_changes_nothing() {
    let server = TestServer::start();
    server.post("/graphs", &graph("u", &json!({"n": 1, "s": "x", "list": [1]}))).data();
    let path = "/graphs/u:1.0-test";
    let before = server.get(path).data();
    for (update, field) in [
        (json!({"$nope": {"a": 1}}), "$nope"),
        (json!({"$set": {"graph_metadata.n": 2}, "graph_name": "x"}), "graph_name"),
        (json!({"$set": 1}), "$set"),
        (json!({"$inc": {"graph_metadata.s": 1}}), "graph_metadata.s"),
        (json!({"$push": {"graph_metadata.n": 1}}), "graph_metadata.n"),
        (json!({"$set": {"graph_metadata.n.deeper": 1}}), "graph_metadata.n.deeper"),
        (json!({"$unset": {"graph_description": ""}}), "graph_description"),
        (json!({"$set": {"graph_name": "a/b"}}), "graph_name"),
        (json!({"$set": {"graph_function_ids": "x"}}), "graph_function_ids"),
    ] {
        let reply = server.put(path, &update);
        assert_eq!(reply.refusal(), (200, "invalid_input".into()), "{update}");
        assert!(reply.text().contains(field), "{update}: {}", reply.text());
        assert_eq!(server.get(path).data(), before, "{update}");
    }
    assert_eq!(server.put("/graphs/no:1-such", &json!({"$set": {"a": 1}})).refusal(), (200, "not_found".into()));
}

#[test]
fn what_is_computed_is_not_changed_by_an_update() {
    let server = TestServer::start();
    server.post("/graphs", &graph("u", &json!({}))).data();
    let reply = server.put("/graphs/u:1.0-test", &json!({"$set": {"graph_uri": "x:1-y"}}));
    let warnings = json!(["`graph_uri` is computed: what the update says of it has no effect", NOT_DEPLOYED]);
    assert_eq!((reply.data(), &reply.json()["warnings"]), (json!({"graph_uri": "u:1.0-test"}), &warnings));
    let moved = server.put("/graphs/u:1.0-test", &json!({"$set": {"graph_version": "2.0"}}));
    assert_eq!(moved.json()["warnings"], json!([NOT_DEPLOYED]));
    server.put("/graphs/u:2.0-test", &json!({"$set": {"graph_version": "1.0"}})).data();
    assert_eq!(server.get("/graphs/u:1.0-test").data()["graph_uri"], "u:1.0-test");
    let uri = server.load(&record("p", &server.put_file("p.wasm", &lictor_tests::policy("1"))));
    let before = server.policy(&uri);
    let update =
        json!({"$set": {"policy_rule_uri": "x:1-y", "load": {"state": "failed"}, "component_digest": "sha256:00"}});
    let reply = server.put(&format!("/policy/{uri}"), &update);
    assert_eq!(reply.json()["warnings"].as_array().map(Vec::len), Some(3), "{}", reply.text());
    assert_eq!(server.policy(&uri), before);
    // What a client reads it may send back.
    assert_eq!(server.put(&format!("/policy/{uri}"), &before).json()["warnings"], Value::Null);
    assert_eq!(server.policy(&uri), before);
}

#[test]
fn the_seeds_graph_lives_its_life_verbatim() {
    let server = TestServer::start();
    let uri = json!({"graph_uri": "ip_risk_analysis:1.0-stable"});
    let path = "/graphs/ip_risk_analysis:1.0-stable";
    assert_eq!(server.post_text("/graphs", SEED_GRAPH).data(), uri);
    assert_eq!(server.post_text("/graphs", SEED_GRAPH).data(), uri, "the same again");
    let mut wanted: Map<String, Value> = serde_json::from_str(SEED_GRAPH).unwrap();
    wanted.insert("graph_uri".into(), uri["graph_uri"].clone());
    assert_eq!(server.get(path).data(), Value::Object(wanted.clone()));
    // The sample query asks for a tag that the sample graph has only in its metadata.
    assert_eq!(server.post_text("/graphs/query", SEED_GRAPH_QUERY).data(), json!([]));
    server.put(path, &json!({"$push": {"graph_search_tags": "security"}})).data();
    assert_eq!(server.post_text("/graphs/query", SEED_GRAPH_QUERY).data()[0]["graph_uri"], uri["graph_uri"]);
    // Another version is another uri; the answer names the one in the path.
    assert_eq!(put_text(&server, path, SEED_GRAPH_UPDATE).data(), uri);
    assert_eq!(server.get(path).json()["message"], "Graph with URI 'ip_risk_analysis:1.0-stable' not found.");
    let moved = server.get("/graphs/ip_risk_analysis:2.0-stable").data();
    assert_eq!(moved["graph_search_tags"], json!(["ip", "network-analysis", "ip-access-check"]));
    assert_eq!(moved["graph_function_ids"], wanted["graph_function_ids"]);
    let path = "/graphs/ip_risk_analysis:2.0-stable";
    assert_eq!(server.delete(path).data(), json!({"graph_uri": "ip_risk_analysis:2.0-stable"}));
    assert_eq!(server.delete(path).refusal(), (200, "not_found".into()));
    assert_eq!(server.get(path).refusal(), (200, "not_found".into()));
}

#[test]
fn a_graph_is_replaced_moved_and_not_put_onto_another() {
    let server = TestServer::start();
    server.post("/graphs", &graph("a", &json!({"n": 1}))).data();
    server.post("/graphs", &graph("b", &json!({"n": 2}))).data();
    let other = graph("a", &json!({"n": 3}));
    assert_eq!(server.post("/graphs", &other).refusal(), (200, "conflict".into()));
    server.put("/graphs/a:1.0-test", &other).data();
    assert_eq!(server.get("/graphs/a:1.0-test").data()["graph_metadata"]["n"], 3);
    server.put("/graphs/a:1.0-test", &other).data();
    for onto in [json!({"$set": {"graph_name": "b"}}), graph("b", &json!({"n": 2}))] {
        let reply = server.put("/graphs/a:1.0-test", &onto);
        assert_eq!(reply.refusal(), (200, "conflict".into()), "{onto}");
        assert!(reply.text().contains("b:1.0-test"), "{}", reply.text());
    }
    assert_eq!(names(&server, "", &json!({})), "ab");
    server.put("/graphs/a:1.0-test", &json!({"$set": {"graph_name": "c"}})).data();
    assert_eq!(names(&server, "", &json!({})), "bc");
    // An index finds it under its new name, and not under the old one.
    assert_eq!(
        (names(&server, "", &json!({"graph_name": "a"})), names(&server, "", &json!({"graph_name": "c"}))),
        (String::new(), "c".into())
    );
}

#[test]
fn a_graph_that_is_wrong_is_refused_by_field() {
    let server = TestServer::start();
    for (field, value) in [
        ("graph_name", json!("a/b")),
        ("graph_name", json!(1)),
        ("graph_version", Value::Null),
        ("graph_function_ids", json!("a")),
        ("graph_connection_data", json!([])),
        ("graph_input_schema", json!([])),
        ("graph_description", json!({})),
    ] {
        let mut body = graph("wrong", &json!({}));
        body[field] = value.clone();
        let reply = server.post("/graphs", &body);
        assert_eq!(reply.refusal(), (200, "invalid_input".into()), "{field}: {value}");
        assert_eq!(reply.json()["field"], field, "{value}");
        body.as_object_mut().unwrap().remove(field);
        assert_eq!(server.post("/graphs", &body).json()["field"], field, "without {field}");
    }
    let mut unknown = graph("kept", &json!({}));
    unknown["colour"] = json!("red");
    assert_eq!(
        server.post("/graphs", &unknown).json()["warnings"],
        json!(["unknown field `colour` is kept and not used", NOT_DEPLOYED])
    );
    assert_eq!(server.get("/graphs/kept:1.0-test").data()["colour"], "red");
}

#[test]
fn the_seeds_queries_are_answered() {
    let server = TestServer::start();
    server.post_text("/policy", SEED_POLICY).data();
    let mut other: Value = serde_json::from_str(SEED_POLICY).unwrap();
    for (version, tags) in [("0.9", json!("security")), ("2.0", json!("network")), ("3.0", json!(["x-security-y"]))] {
        other["version"] = json!(version);
        other["tags"] = tags;
        server.post("/policy", &other).data();
    }
    let found = server.post_text("/policy/query", SEED_POLICY_QUERY).data();
    let uris: Vec<&Value> = found.as_array().unwrap().iter().map(|policy| &policy["policy_rule_uri"]).collect();
    assert_eq!(uris, ["ip_allowlist:1.0-beta", "ip_allowlist:3.0-beta"]);
    assert_eq!(server.post_text("/function/query", SEED_FUNCTION_QUERY).data(), json!([]));
    assert_eq!(server.post_text("/jobs/query", SEED_JOB_QUERY).data(), json!([]));
}

#[test]
fn functions_and_jobs_that_are_not_there_are_told_as_the_original_tells_it() {
    let server = TestServer::start();
    let function = server.get("/function/check-ip-fn");
    assert_eq!(
        (function.refusal(), &function.json()["message"]),
        ((404, "not_found".into()), &json!("Function not found."))
    );
    let job = server.get("/jobs/1a2b3c4d-5678-9012-efgh-1234567890ab");
    assert_eq!(job.refusal(), (200, "not_found".into()));
    assert_eq!(job.json()["message"], "Job with ID '1a2b3c4d-5678-9012-efgh-1234567890ab' not found.");
    assert_eq!(server.get("/graphs/a:1-b").json()["message"], "Graph with URI 'a:1-b' not found.");
    assert_eq!(server.get("/policy/a:1-b").json()["message"], "Policy not found.");
    // Read and query only: what makes them is another matter.
    for (method, path) in [("POST", "/function/x"), ("DELETE", "/jobs/x"), ("PUT", "/jobs/x"), ("GET", "/jobs/query")] {
        let reply = server.send(method, path, &[("Content-Type", "application/json")], b"{}");
        assert!(
            [404, 405].contains(&reply.status) || reply.json()["code"] == "not_found",
            "{method} {path}: {}",
            reply.text()
        );
    }
}
