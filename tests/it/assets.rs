//! The assets registry, `push` and `pull`.

mod cli;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use lictor_tests::{
    Answer, Builder, Client, CodeServer, Reply, TestServer, eventually, guest_zip, policy, record, zip_of,
};
use serde_json::{Value, json};

const BOUNDARY: &str = "------------------------d74496d66958873e";
const SEED: &str = include_str!("../data/seed/asset_metadata.json");

/// One part of a form: its head after `form-data; `, and what it holds.
type Part<'a> = (&'a str, &'a [u8]);

fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut form = Vec::new();
    for (head, body) in parts {
        form.extend(format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes());
        form.extend(*body);
        form.extend(b"\r\n");
    }
    form.extend(format!("--{BOUNDARY}--\r\n").as_bytes());
    form
}

const FILE: &str = "name=\"asset\"; filename=\"ip-allow-list-checker.zip\"\r\nContent-Type: application/zip";
const METADATA: &str = "name=\"asset_metadata\"";

fn send(client: &Client, form: &[u8]) -> Reply {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    client.send("POST", "/upload_asset", &[("Content-Type", &kind)], form)
}

fn upload(client: &Client, metadata: &str, bytes: &[u8]) -> Reply {
    send(client, &form(&[(FILE, bytes), (METADATA, metadata.as_bytes())]))
}

fn metadata(name: &str) -> String {
    json!({"asset_name": name, "asset_version": {"version": "1.0", "tag": "test"}}).to_string()
}

/// Uploads, which must succeed; returns the id.
#[track_caller]
fn keep(client: &Client, name: &str, bytes: &[u8]) -> String {
    let reply = upload(client, &metadata(name), bytes);
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["asset_id"].as_str().unwrap().to_owned()
}

fn package(answer: &str) -> Vec<u8> {
    zip_of(&[("code/policy.wasm", &policy(answer))])
}

fn path_of(url: &str) -> String {
    format!("/{}", url.splitn(4, '/').nth(3).unwrap())
}

#[track_caller]
fn refused(reply: &Reply) -> (u16, String, String) {
    let (status, code) = reply.refusal();
    (status, code, reply.json()["message"].as_str().unwrap().to_owned())
}

#[test]
fn the_seeds_upload_is_kept_and_can_be_repeated() {
    let server = TestServer::start();
    let bytes = std::fs::read(guest_zip("ip_allowlist")).unwrap();
    let first = upload(&server, SEED, &bytes);
    let said = first.json();
    assert_eq!(
        (first.status, &said["success"], &said["asset_uri"]),
        (201, &json!(true), &json!("IP-allow-list:1.0-beta"))
    );
    let id = said["asset_id"].as_str().unwrap();
    assert_eq!(said["public_url"], format!("http://{}/asset-object/{id}", server.client().address()));

    let back = server.get(&path_of(said["public_url"].as_str().unwrap()));
    assert_eq!((back.status, back.body == bytes), (200, true));
    let header = |name: &str| back.header(name).unwrap_or_default().to_owned();
    assert_eq!(header("content-type"), "application/octet-stream");
    assert!(header("content-disposition").starts_with("attachment"), "{:?}", back.headers);
    assert_eq!(header("x-content-type-options"), "nosniff");
    let known = server.send("GET", &format!("/asset-object/{id}"), &[("If-None-Match", &header("etag"))], b"");
    assert_eq!((known.status, known.body.len()), (304, 0));

    let record = server.get("/asset/IP-allow-list:1.0-beta").data();
    assert_eq!(record["asset_metadata"], json!({"description": "IP allow list policy code"}));
    assert_eq!((&record["asset_id"], &record["asset_public_url"]), (&json!(id), &said["public_url"]));
    let info = &record["asset_file_info"];
    assert_eq!((&info["file_name"], &info["file_size"]), (&json!("ip-allow-list-checker.zip"), &json!(bytes.len())));
    assert_eq!(json!(header("etag")), format!("\"{}\"", info["digest"].as_str().unwrap()));

    assert_eq!(upload(&server, SEED, &bytes).json(), said, "the same again");
    let other = SEED.replace("example", "sample");
    for (what, reply) in [
        ("another file", upload(&server, SEED, b"other")),
        ("the same file with another record", upload(&server, &other, &bytes)),
    ] {
        let (status, code, message) = refused(&reply);
        assert_eq!((status, code.as_str()), (409, "conflict"), "{message}");
        assert!(message.contains(what), "{message}");
    }
    let server = server.kill().start();
    assert!(server.get(&format!("/asset-object/{id}")).body == bytes, "is there after kill -9");
}

// attack 83
#[test]
fn a_form_that_is_wrong_says_how() {
    let server = TestServer::start();
    let good = metadata("a");
    let file = (FILE, b"bytes".as_slice());
    let meta = |text: &'static str| (METADATA, text.as_bytes());
    let many: Vec<Part<'_>> = vec![("name=\"other\"", b"x"); 17];
    let rows: [(Vec<Part<'_>>, &str, &str); 16] = [
        (vec![], "asset", "No file part"),
        (vec![(METADATA, good.as_bytes())], "asset", "No file part"),
        (vec![("name=\"asset\"", b"text"), (METADATA, good.as_bytes())], "asset", "No file part"),
        (vec![("name=\"asset\"; filename=\"\"", b""), (METADATA, good.as_bytes())], "asset", "No selected file"),
        (vec![file], "asset_name", "asset_name is required"),
        (vec![file, meta("{}")], "asset_name", "asset_name is required"),
        (
            vec![file, meta(r#"{"asset_name": "a"}"#)],
            "asset_version",
            "Both version and tag are required in asset_version",
        ),
        (
            vec![file, meta(r#"{"asset_name": "a", "asset_version": {"version": "1"}}"#)],
            "asset_version",
            "Both version and tag are required in asset_version",
        ),
        (vec![file, meta("{")], "asset_metadata", "is not valid JSON"),
        (vec![file, meta("[]")], "", "must be a JSON object"),
        (vec![file, (METADATA, b"\xff")], "asset_metadata", "UTF-8"),
        (
            vec![file, meta(r#"{"asset_name": "a b", "asset_version": {"version": "1", "tag": "b"}}"#)],
            "asset_name",
            "ASCII letters",
        ),
        (
            vec![file, meta(r#"{"asset_name": "a", "asset_version": {"version": "1", "tag": "b"}, "asset_tags": 5}"#)],
            "asset_tags",
            "list of strings",
        ),
        (vec![file, file, (METADATA, good.as_bytes())], "asset", "twice"),
        (vec![file, (METADATA, good.as_bytes()), (METADATA, good.as_bytes())], "asset_metadata", "twice"),
        (many, "", "more than 16 parts"),
    ];
    for (parts, field, says) in rows {
        let reply = send(&server, &form(&parts));
        let (status, code, message) = refused(&reply);
        assert_eq!((status, code.as_str()), (400, "invalid_input"), "{message}");
        assert!(message.contains(says), "{message}, not {says}");
        assert_eq!(reply.json()["field"].as_str().unwrap_or_default(), field, "{message}");
    }
    assert_eq!(send(&server, b"--x").refusal(), (400, "invalid_input".into()));
    let whole = form(&[file, (METADATA, good.as_bytes())]);
    assert_eq!(send(&server, &whole[..whole.len() / 2]).refusal(), (400, "invalid_input".into()));
    for kind in ["application/json", "multipart/form-data", "text/plain"] {
        let reply = server.send("POST", "/upload_asset", &[("Content-Type", kind)], &whole);
        assert_eq!(reply.refusal(), (415, "invalid_input".into()), "{kind}");
    }
    assert_eq!(server.post("/assets", &json!({})).data(), json!([]), "nothing was kept");
}

// attack 83
#[test]
fn a_file_beyond_the_bound_is_refused_and_one_within_is_not() {
    let server = TestServer::builder().config("max_asset_mb = 1").start();
    let (most, more) = (vec![7; 1 << 20], vec![7; (1 << 20) + 1]);
    keep(&server, "most", &most);
    assert_eq!(upload(&server, &metadata("more"), &more).refusal(), (413, "invalid_input".into()));
    // Without a length nobody knows before it came.
    let body = form(&[(FILE, &vec![7; 40 << 20]), (METADATA, metadata("huge").as_bytes())]);
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let mut chunked = Vec::new();
    for chunk in body.chunks(1 << 20) {
        chunked.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend(chunk);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    let head = format!(
        "POST /upload_asset HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n",
        server.client().address()
    );
    let reply = server.raw(&[head.as_bytes(), &chunked].concat());
    // A server that says no and closes may do so before its answer is read.
    assert!(matches!(reply.status(), Some(413) | None) && reply.closed, "{:?}", reply.status());
    assert_eq!(server.post("/assets", &json!({})).data().as_array().unwrap().len(), 1);
    let length = format!("{}", 1u64 << 40);
    let headers = [("Content-Type", kind.as_str()), ("Content-Length", length.as_str())];
    assert_eq!(server.send("POST", "/upload_asset", &headers, b"").refusal().0, 413);
    server.assert_serving();
}

#[test]
fn records_are_read_changed_found_and_removed() {
    let server = TestServer::start();
    let body = json!({
        "asset_name": "far", "asset_version": {"version": "1.0", "tag": "x"}, "asset_tags": ["sample"],
        "asset_public_url": "https://example.com/far.zip", "asset_metadata": {"type": "image"},
    });
    let made = server.post("/asset", &body);
    assert_eq!((made.status, &made.json()["data"]["message"]), (201, &json!("Asset created")));
    let id = made.json()["data"]["id"].clone();
    assert_eq!(server.post("/asset", &body).json(), made.json(), "the same again");
    keep(&server, "near", b"bytes");

    let record = server.get("/asset/far:1.0-x").data();
    assert_eq!((&record["asset_id"], &record["asset_public_url"]), (&id, &body["asset_public_url"]));
    for (filter, found) in [
        (json!({}), vec!["far:1.0-x", "near:1.0-test"]),
        (json!({"asset_tags": {"$in": ["sample", "image"]}, "asset_metadata.type": "image"}), vec!["far:1.0-x"]),
        (json!({"asset_version.version": {"$gte": "1.0"}, "asset_name": "near"}), vec!["near:1.0-test"]),
        (json!({"asset_public_url": {"$regex": "/asset-object/"}}), vec!["near:1.0-test"]),
        (json!({"asset_uri": "none:1-x"}), vec![]),
        (json!({"asset_id": id}), vec!["far:1.0-x"]),
    ] {
        let answer = server.post("/assets", &filter).data();
        let uris: Vec<_> =
            answer.as_array().unwrap().iter().map(|asset| asset["asset_uri"].as_str().unwrap()).collect();
        assert_eq!(uris, found, "{filter}");
    }
    let one = server.post("/assets?sort=-asset_uri&limit=1&projection=asset_uri", &json!({})).data();
    assert_eq!(one[0]["asset_uri"], "near:1.0-test", "{one}");

    // What is read may be sent back, fields are changed one by one, operators work, and a file stays what it is.
    let read = server.get("/asset/near:1.0-test").data();
    assert_eq!(server.put("/asset/near:1.0-test", &read).data(), json!({"message": "Asset updated"}));
    assert_eq!(server.get("/asset/near:1.0-test").data(), read);
    server
        .put("/asset/near:1.0-test", &json!({"asset_tags": ["updated"], "asset_id": "x", "asset_file_info": {}}))
        .data();
    server.put("/asset/near:1.0-test", &json!({"$set": {"asset_metadata.by": "me"}})).data();
    let mut expected = read.clone();
    expected["asset_tags"] = json!(["updated"]);
    expected["asset_metadata"] = json!({"by": "me"});
    assert_eq!(server.get("/asset/near:1.0-test").data(), expected);

    // A change of its identity moves it, with its file.
    let taken = server
        .put("/asset/near:1.0-test", &json!({"asset_name": "far", "asset_version": {"version": "1.0", "tag": "x"}}));
    assert_eq!(taken.refusal(), (409, "conflict".into()));
    server.put("/asset/near:1.0-test", &json!({"asset_name": "there"})).data();
    assert_eq!(server.get("/asset/near:1.0-test").refusal(), (404, "not_found".into()));
    let id = read["asset_id"].as_str().unwrap();
    assert_eq!(server.get("/asset/there:1.0-test").data()["asset_id"], id);
    assert_eq!(server.get(&format!("/asset-object/{id}")).body, b"bytes");

    for uri in ["there:1.0-test", "far:1.0-x"] {
        assert_eq!(server.delete(&format!("/asset/{uri}")).data(), json!({"message": "Asset deleted"}));
    }
    assert_eq!(server.get(&format!("/asset-object/{id}")).refusal(), (404, "not_found".into()));
    assert_eq!(server.get("/health").json(), json!({"success": true, "message": "healthy"}));
}

#[test]
fn a_request_that_is_wrong_says_how_under_both_keys() {
    let server = TestServer::start();
    let external =
        |url: &str| json!({"asset_name": "a", "asset_version": {"version": "1", "tag": "x"}, "asset_public_url": url});
    server.post("/asset", &external("https://example.com/a.zip"));
    let put = |body: Value| server.put("/asset/a:1-x", &body);
    for (reply, status, code, says) in [
        (server.get("/asset/none:1-x"), 404, "not_found", "none:1-x"),
        (server.put("/asset/none:1-x", &json!({})), 404, "not_found", "none:1-x"),
        (server.delete("/asset/none:1-x"), 404, "not_found", "none:1-x"),
        (server.get("/asset-object/none"), 404, "not_found", "none"),
        (server.post("/asset", &json!([])), 400, "invalid_input", "JSON object"),
        (server.post_text("/asset", "{"), 400, "invalid_input", "EOF"),
        (server.post("/asset", &json!({})), 400, "invalid_input", "asset_name is required"),
        (server.post("/asset", &external("gopher://x/")), 400, "invalid_input", "asset_public_url"),
        (server.post("/asset", &external("asset:a:1-x")), 400, "invalid_input", "asset_public_url"),
        (server.post("/asset", &external("https://example.com/b.zip")), 409, "conflict", "a:1-x"),
        (put(json!([])), 400, "invalid_input", "JSON object"),
        (put(json!({"$frob": {}})), 400, "invalid_input", "$frob"),
        (put(json!({"asset_name": 5})), 400, "invalid_input", "asset_name"),
        (put(json!({"asset_public_url": "a.zip"})), 400, "invalid_input", "asset_public_url"),
        (server.post("/assets", &json!({"a": {"$frob": 1}})), 400, "invalid_input", "$frob"),
        (server.post("/assets?limit=x", &json!({})), 400, "invalid_input", "limit"),
    ] {
        let (had, kind, message) = refused(&reply);
        assert_eq!((had, kind.as_str()), (status, code), "{message}");
        assert!(message.contains(says), "{message}");
        assert_eq!(reply.json()["error"], message);
    }
}

#[test]
fn a_policy_runs_from_an_asset_by_every_name_of_it() {
    let server = TestServer::start();
    let id = keep(&server, "p", &package("7"));
    let at = server.client().address();
    let codes = [
        "asset:p:1.0-test".to_owned(),
        format!("asset://{id}"),
        format!("http://{at}/asset-object/{id}"),
        format!("http://localhost:{}/asset-object/{id}", at.port()),
    ];
    for (idx, code) in codes.iter().enumerate() {
        // Loopback is not admitted: nothing is fetched.
        let uri = server.load(&record(&format!("p{idx}"), code));
        assert_eq!(server.execute(&uri, &json!({})).data(), 7, "{code}");
        assert_eq!(server.policy(&uri)["code"], *code);
    }
    let mut pinned = record("pinned", "asset:p:1.0-test");
    pinned["code_digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    let uri = server.create_policy(&pinned);
    assert_eq!(server.wait_loaded(&uri)["code"], "digest_mismatch");
    for code in ["asset:none:1-x", "asset://none", &format!("http://{at}/asset-object/none")] {
        let uri = server.create_policy(&record("none", code));
        let load = server.wait_loaded(&uri);
        assert_eq!(load["code"], "code_unreachable", "{code}");
        assert!(load["message"].as_str().unwrap().contains("registry of assets"), "{load}");
        assert_eq!(server.execute(&uri, &json!({})).refusal().0, 502);
        server.delete(&format!("/policy/{uri}"));
    }
}

#[test]
fn an_own_public_url_is_never_fetched() {
    let server = TestServer::builder().flag("--public-url", "https://policies.example/lictor").start();
    let reply = upload(&server, &metadata("p"), &package("8")).json();
    let url = reply["public_url"].as_str().unwrap();
    assert!(url.starts_with("https://policies.example/lictor/asset-object/"), "{url}");
    let uri = server.load(&record("p", url));
    assert_eq!(server.execute(&uri, &json!({})).data(), 8);
    assert_eq!(server.get("/asset/p:1.0-test").data()["asset_public_url"], url);
}

#[test]
fn an_asset_elsewhere_is_fetched_under_the_usual_rules() {
    let web = CodeServer::start();
    web.answer("/p.zip", Answer::ok(package("9")));
    let external = |url: &str| json!({"asset_name": "far", "asset_version": {"version": "1", "tag": "x"}, "asset_public_url": url});
    for (builder, state) in [(TestServer::builder().allow_loopback(), "ready"), (TestServer::builder(), "failed")] {
        let server = builder.start();
        let id = server.post("/asset", &external(&web.url("/p.zip"))).json()["data"]["id"].clone();
        for code in ["asset:far:1-x".to_owned(), format!("asset://{}", id.as_str().unwrap())] {
            let uri = server.create_policy(&record("far", &code));
            assert_eq!(server.wait_loaded(&uri)["state"], state, "{code}");
            server.delete(&format!("/policy/{uri}"));
        }
    }
    // An asset at its own URL leads nowhere, and that is found out.
    let server = TestServer::start();
    let id = server.post("/asset", &external("")).json()["data"]["id"].clone();
    let uri = server.create_policy(&record("far", "asset:far:1-x"));
    assert!(server.wait_loaded(&uri)["message"].as_str().unwrap().contains("asset_public_url"));
    let own = format!("http://{}/asset-object/{}", server.client().address(), id.as_str().unwrap());
    server.put("/asset/far:1-x", &json!({"asset_public_url": own})).data();
    let reply = server.execute(&uri, &json!({}));
    assert_eq!(reply.refusal(), (502, "code_unreachable".into()));
    assert!(reply.text().contains("times"), "{}", reply.text());
}

#[test]
fn an_asset_that_comes_late_or_goes_early() {
    let server = TestServer::start();
    let uri = server.create_policy(&record("late", "asset:late:1.0-test"));
    assert_eq!(server.wait_loaded(&uri)["code"], "code_unreachable");
    let id = keep(&server, "late", &package("10"));
    assert_eq!(server.execute(&uri, &json!({})).data(), 10, "it is tried again");
    assert_eq!(server.delete("/asset/late:1.0-test").status, 200);
    assert_eq!(server.execute(&uri, &json!({})).data(), 10, "what was loaded goes on");
    let server = server.stop().start();
    assert_eq!(server.execute(&uri, &json!({})).data(), 10, "from the cache after a restart too");
    let other = server.create_policy(&record("later", &format!("asset://{id}")));
    assert_eq!(server.wait_loaded(&other)["code"], "code_unreachable");
}

#[test]
fn two_assets_with_the_same_bytes_do_not_depend_on_each_other() {
    let server = TestServer::start();
    let bytes = vec![5; 3 << 20];
    let ids = ["a", "b"].map(|name| keep(&server, name, &bytes));
    assert_ne!(ids[0], ids[1]);
    server.delete("/asset/a:1.0-test").data();
    assert_eq!(server.get(&format!("/asset-object/{}", ids[0])).status, 404);
    assert!(server.get(&format!("/asset-object/{}", ids[1])).body == bytes);
    // Deleted and uploaded at the same time, over and over: what is there is whole.
    thread::scope(|scope| {
        scope.spawn(|| (0..10).for_each(|_| drop(server.delete("/asset/b:1.0-test"))));
        scope.spawn(|| (0..10).for_each(|_| drop(keep(&server, "c", &bytes))));
        scope.spawn(|| (0..10).for_each(|_| drop(keep(&server, "b", &bytes))));
    });
    let id = keep(&server, "c", &bytes);
    assert!(server.get(&format!("/asset-object/{id}")).body == bytes);
}

#[test]
fn killed_during_uploads_it_has_whole_assets_or_none() {
    let mut builder = TestServer::builder();
    let mut acknowledged: Vec<(String, Vec<u8>)> = Vec::new();
    for round in 0..4 {
        let server = builder.start();
        let client = Arc::new(server.client().clone());
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let threads: Vec<_> = (0..3)
            .map(|lane| {
                let (client, stop, done) = (Arc::clone(&client), Arc::clone(&stop), Arc::clone(&done));
                thread::spawn(move || {
                    let mut kept = Vec::new();
                    for n in 0.. {
                        let name = format!("a-{round}-{lane}-{n}");
                        let bytes = name.as_bytes().repeat(300_000);
                        let body = form(&[(FILE, &bytes), (METADATA, metadata(&name).as_bytes())]);
                        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
                        match client.try_send("POST", "/upload_asset", &[("Content-Type", &kind)], &body) {
                            Ok(reply) if reply.status == 201 => kept.push((name, bytes)),
                            _ if stop.load(Ordering::Relaxed) => return kept,
                            _ => {}
                        }
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    kept
                })
            })
            .collect();
        eventually("some uploads", || if 2 < done.load(Ordering::Relaxed) { Ok(()) } else { Err(()) });
        stop.store(true, Ordering::Relaxed);
        builder = server.kill();
        acknowledged.extend(threads.into_iter().flat_map(|thread| thread.join().unwrap()));
    }
    let server = builder.start();
    let listed = server.post("/assets", &json!({})).data();
    for asset in listed.as_array().unwrap() {
        let name = asset["asset_name"].as_str().unwrap();
        let back = server.get(&format!("/asset-object/{}", asset["asset_id"].as_str().unwrap()));
        assert!(back.status == 200 && back.body == name.as_bytes().repeat(300_000), "{name}: {}", back.status);
    }
    let there = |name: &str| listed.as_array().unwrap().iter().any(|asset| asset["asset_name"] == name);
    assert!(3 <= acknowledged.len(), "{}", acknowledged.len());
    for (name, _) in &acknowledged {
        assert!(there(name), "{name} was acknowledged");
    }
}

#[test]
fn on_one_postgresql_every_server_has_every_asset() {
    let one = TestServer::on_postgres().start();
    let other = Builder::beside(&one).flag("--executor-id", "executor-002").start();
    let id = keep(&one, "p", &package("7"));
    assert!(other.get(&format!("/asset-object/{id}")).body == package("7"));
    let uri = other.create_policy(&record("p", "asset:p:1.0-test"));
    assert_eq!(other.wait_loaded(&uri)["state"], "ready");
    other.delete("/asset/p:1.0-test").data();
    assert_eq!(one.get(&format!("/asset-object/{id}")).status, 404);
}
