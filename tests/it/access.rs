//! Who may come in, as whom, and what is kept of it.

mod pages;
mod roles;
mod tls;

use std::{io::Write as _, net::Shutdown};

use lictor_tests::{Client, Command, Reply, TestServer, eventually, guest_zip, policy, record, sandbox::Guest};
use serde_json::{Value, json};

const EXECUTE: &str = "/executor/executor-001/execute_policy";

/// A server that needs a token, as its admin speaks to it.
fn closed() -> (TestServer, Client) {
    let builder = TestServer::builder();
    let token = builder.token("admin");
    let server = builder.start();
    let admin = server.with_token(&token);
    (server, admin)
}

/// A client with a new token of this role, once the server knows it.
fn client(server: &TestServer, role: &str) -> Client {
    let client = server.with_token(&server.same_place().token(role));
    eventually("the token to be taken up", || known(&client));
    client
}

fn known(client: &Client) -> Result<(), Reply> {
    let reply = client.get("/policy/no-such:1.0-x");
    if reply.status == 401 { Err(reply) } else { Ok(()) }
}

fn execute(client: &Client, uri: &str) -> Reply {
    client.post(EXECUTE, &json!({"policy_rule_uri": uri, "input_data": {}}))
}

/// What is recorded of changes: method, path, role, status and code.
fn trail(server: &TestServer) -> Vec<Value> {
    let text = std::fs::read_to_string(server.data_dir().join("audit/audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

// attack 69
#[test]
fn without_tokens_it_is_open_on_this_machine_only_and_says_so() {
    let server = TestServer::start();
    assert_eq!(execute(&server, "a:1-b").status, 404);
    assert!(server.log().contains("open to every program on this machine"), "{}", server.log());
    let reached = TestServer::builder().bare().flag("--listen", "0.0.0.0:0").flag("--admin", "127.0.0.1:0");
    let refused = reached.clone().try_start().err().unwrap();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("there are no tokens") && refused.stderr.contains("lictor token create"));
    // With a token that is good it may.
    let token = reached.token("caller");
    let server = reached.start();
    assert_eq!(execute(&server, "a:1-b").refusal(), (401, "unauthorized".into()));
    assert_eq!(execute(&server.with_token(&token), "a:1-b").status, 404);
    assert!(server.log().contains("there is no TLS"), "{}", server.log());
}

// attack 69: a token that is good no longer is none.
#[test]
fn a_token_that_was_revoked_does_not_open_an_address_that_others_reach() {
    let reached = TestServer::builder().bare().flag("--listen", "0.0.0.0:0").flag("--admin", "127.0.0.1:0");
    reached.token("admin");
    let listed = reached.token_command(&["list"]).run().exits(0).json();
    reached.token_command(&["revoke", listed["id"].as_str().unwrap()]).run().exits(0);
    assert_eq!(reached.try_start().err().unwrap().code, Some(2));
}

// attack 68
#[test]
fn a_request_without_a_good_token_is_refused_everywhere() {
    let (server, admin) = closed();
    let uri = admin.load(&record("p", &server.put_file("p.wasm", &policy("7"))));
    assert_eq!(execute(&admin, &uri).data(), 7);
    for authorization in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer lictor_0",
        "Bearer lictor_0000000000000000000000000000000000000000000000000000000000000000",
        "Basic YWRtaW46YWRtaW4=",
        "\u{e9}",
    ] {
        let headers = [("Authorization", authorization), ("Content-Type", "application/json")];
        let body = json!({"policy_rule_uri": uri, "input_data": {}}).to_string();
        for (method, path) in [("POST", EXECUTE), ("GET", "/policy/p:1.0-x"), ("DELETE", "/policy/p:1.0-x")] {
            let reply = server.send(method, path, &headers, body.as_bytes());
            assert_eq!(reply.refusal(), (401, "unauthorized".into()), "{method} {path} with `{authorization}`");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
    }
    // Health says nothing of policies or callers, and needs none.
    assert_eq!(server.admin().get("/healthz").status, 200);
    assert_eq!(server.get("/openapi.json").status, 200);
}

#[test]
fn a_token_is_shown_once_and_stored_as_its_digest() {
    let builder = TestServer::builder();
    let made = builder.token_command(&["create", "first", "--role", "caller", "--days", "30"]).run().exits(0);
    let token = made.stdout.trim_end();
    assert!(token.starts_with("lictor_") && made.stderr.contains("is good until 2"), "{made:?}");
    let listed = builder.token_command(&["list"]).run().exits(0);
    let row = listed.json();
    assert_eq!((&row["name"], &row["role"], &row["state"]), (&json!("first"), &json!("caller"), &json!("good")));
    assert!(!listed.stdout.contains(token));
    let server = builder.start();
    known(&server.with_token(token)).unwrap();
    if !server.is_on_postgres() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(server.data_dir().join("lictor.db")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
        let secret = token.trim_start_matches("lictor_").as_bytes();
        for file in ["lictor.db", "lictor.db-wal"] {
            let bytes = std::fs::read(server.data_dir().join(file)).unwrap_or_default();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{file}");
        }
    }
    assert!(!server.log().contains(token));
}

#[test]
fn commands_about_tokens_say_what_is_wrong() {
    let builder = TestServer::builder();
    for (args, says) in [
        (&["create", "a", "--role", "root"][..], "there are the roles admin, author"),
        (&["create", "", "--role", "admin"], "not empty"),
        (&["create", "a\nb", "--role", "admin"], "control characters"),
        (&["create", "a", "--role", "admin", "--days", "0"], "0 is not in"),
        (&["create", "a"], "--role"),
        (&["revoke", "no-such"], "no token `no-such`"),
    ] {
        let output = builder.token_command(args).run().exits(2);
        assert!(output.stderr.contains(says), "{args:?}: {}", output.stderr);
    }
    let output = Command::new(["token", "list"]).run().exits(2);
    assert!(output.stderr.contains("--data-dir"), "{}", output.stderr);
}

#[test]
fn a_revoked_token_is_good_for_nothing_also_on_a_connection_that_showed_it_before() {
    let (server, admin) = closed();
    let builder = server.same_place();
    let uri = admin.load(&record("p", &server.put_file("p.wasm", &policy("7"))));
    let token = builder.token("caller");
    let caller = server.with_token(&token);
    eventually("the token to be taken up", || known(&caller));
    let body = json!({"policy_rule_uri": uri, "input_data": {}}).to_string();
    let request = format!(
        "POST {EXECUTE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = server.connect().unwrap();
    let mut status = || {
        stream.write_all(request.as_bytes()).unwrap();
        answer(&mut stream)
    };
    assert_eq!(status(), 200);
    let id = builder.token_command(&["list"]).run().exits(0).stdout;
    let id = id.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|row| row["name"] == "caller");
    builder.token_command(&["revoke", id.unwrap()["id"].as_str().unwrap()]).run().exits(0);
    eventually("the token to be revoked", || match status() {
        401 => Ok(()),
        other => Err(other),
    });
    drop(stream.shutdown(Shutdown::Both));
    // The last good token but one is still good.
    assert_eq!(execute(&admin, &uri).data(), 7);
    // All revoked, it is as closed as before.
    let listed = builder.token_command(&["list"]).run().exits(0).stdout;
    for row in listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        builder.token_command(&["revoke", row["id"].as_str().unwrap()]).run();
    }
    eventually("all to be revoked", || match execute(&admin, &uri).status {
        401 => Ok(()),
        other => Err(other),
    });
    assert_eq!(execute(&server, &uri).status, 401);
    let again = server.stop().start();
    assert_eq!(execute(&again, &uri).status, 401);
}

/// The status of one answer on a connection that stays open.
fn answer(stream: &mut std::net::TcpStream) -> u16 {
    use std::io::{BufRead as _, BufReader, Read as _};
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    status
}

// attack 68: what was changed, and by whom, and who was not let.
#[test]
fn every_change_is_recorded_with_who_made_it_and_so_is_every_refusal() {
    let (server, admin) = closed();
    let author = client(&server, "author");
    let code = server.put_file("p.wasm", &policy("7"));
    let uri = author.create_policy(&record("p", &code));
    admin.wait_loaded(&uri);
    assert_eq!(author.delete("/executor/executor-001").status, 403);
    assert_eq!(server.delete(&format!("/policy/{uri}")).status, 401);
    assert_eq!(author.delete("/policy/no-such:1.0-x").status, 200);
    assert_eq!(author.delete(&format!("/policy/{uri}")).status, 200);
    // What changes nothing is not recorded.
    execute(&author, &uri);
    author.get("/policy/a:1-b");
    let seen: Vec<_> = trail(&server)
        .into_iter()
        .map(|line| {
            assert_eq!(line["address"], "127.0.0.1");
            let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
            (
                format!("{} {}", text("method"), text("path")),
                text("role"),
                line["status"].as_u64().unwrap(),
                text("code"),
            )
        })
        .collect();
    let line = |what: &str, role: &str, status, code: &str| (what.to_owned(), role.to_owned(), status, code.to_owned());
    let expected = [
        line("POST /policy", "author", 200, "-"),
        line("DELETE /executor/executor-001", "author", 403, "forbidden"),
        line(&format!("DELETE /policy/{uri}"), "-", 401, "unauthorized"),
        line("DELETE /policy/no-such:1.0-x", "author", 200, "not_found"),
        line(&format!("DELETE /policy/{uri}"), "author", 200, "-"),
    ];
    assert_eq!(seen, expected);
    // It survives kill -9, and goes on.
    let server = server.kill().start();
    assert_eq!(trail(&server).len(), expected.len());
    server.delete("/policy/no-such:1.0-x");
    assert_eq!(trail(&server).len(), expected.len() + 1);
}

// attack 68: going away does not keep a change out of the record.
#[test]
fn a_change_is_recorded_also_if_nobody_waits_for_its_answer() {
    let server = TestServer::start();
    let code = server.put_file("p.wasm", &policy("7"));
    let uris: Vec<_> = (0..20).map(|i| server.create_policy(&record(&format!("p{i}"), &code))).collect();
    let mut open = Vec::new();
    for (i, uri) in uris.iter().enumerate() {
        let mut stream = server.connect().unwrap();
        stream.write_all(format!("DELETE /policy/{uri} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
        // Half of them are gone before they are answered.
        open.extend((i % 2 == 0).then_some(stream));
    }
    let is_gone = |uri: &&String| server.get(&format!("/policy/{uri}")).json()["success"] == false;
    eventually("what changed to be recorded", || {
        let gone: Vec<_> = uris.iter().filter(is_gone).map(|uri| format!("/policy/{uri}")).collect();
        let trail = trail(&server);
        let recorded =
            |path: &&String| trail.iter().any(|line| line["method"] == "DELETE" && line["path"] == path.as_str());
        let all = open.len() <= gone.len() && gone.iter().all(|path| recorded(&path));
        if all { Ok(()) } else { Err((gone, trail)) }
    });
}

#[test]
fn one_caller_has_so_many_requests_at_the_same_time() {
    let builder = TestServer::builder().config("max_concurrent_requests = 1");
    let tokens = ["admin", "caller", "caller"].map(|role| builder.token(role));
    let server = builder.start();
    let [admin, one, other] = tokens.map(|token| server.with_token(&token));
    let quick = admin.load(&record("quick", &server.put_file("quick.wasm", &policy("7"))));
    let mut record = record("sleeps", &server.put_file("sleeps.wasm", &Guest::named("sleeps").component()));
    record["limits"] = json!({"timeout_ms": 60_000});
    let slow = admin.load(&record);
    let body = json!({"policy_rule_uri": slow, "input_data": 0}).to_string();
    let met = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        // One after the other, until another one has met them: on a slow machine the first is over before.
        let sleeping = scope.spawn(|| {
            while !met.load(std::sync::atomic::Ordering::Relaxed) {
                let reply = one.post_text(&format!("{EXECUTE}?timeout_ms=3000"), &body);
                assert!(matches!(reply.json()["code"].as_str(), Some("timeout" | "busy")), "{reply:?}");
            }
        });
        let refused = eventually("a second request to be refused", || {
            let reply = execute(&one, &quick);
            if reply.status == 429 { Ok(reply) } else { Err(reply) }
        });
        assert_eq!((refused.refusal().1.as_str(), refused.header("retry-after")), ("busy", Some("1")));
        // Others have what is theirs.
        assert_eq!(execute(&other, &quick).data(), 7);
        met.store(true, std::sync::atomic::Ordering::Relaxed);
        sleeping.join().unwrap();
    });
    assert_eq!(execute(&one, &quick).data(), 7);
}

#[test]
fn one_caller_sends_so_many_requests_a_second() {
    let server = TestServer::builder().config("max_requests_per_second = 5").start();
    let refused = (0..1000).find_map(|_| {
        let reply = execute(&server, "a:1-b");
        (reply.status == 429).then_some(reply)
    });
    assert_eq!(refused.unwrap().header("retry-after"), Some("1"));
    eventually("time to bring new ones", || match execute(&server, "a:1-b").status {
        404 => Ok(()),
        other => Err(other),
    });
    assert_eq!(server.admin().get("/healthz").status, 200);
}

#[test]
fn a_system_and_its_executor_show_each_other_a_token() {
    let builder = TestServer::builder().allow_loopback();
    let (admin_token, peer_token) = (builder.token("admin"), builder.token("deployer"));
    let system = builder.start();
    let admin = system.with_token(&admin_token);
    let executor = TestServer::builder().allow_loopback().env("LICTOR_PEER_TOKEN", &peer_token);
    let executor =
        executor.flag("--system", format!("http://{}", system.address())).flag("--executor-id", "remote").start();
    let host = format!("http://{}", executor.address());
    let registered = json!({"executor_id": "remote", "executor_host_uri": host});
    assert_eq!(admin.post("/executor", &registered).data(), "Executor created successfully.");
    eventually("the executor to report itself", || {
        let health = admin.get("/executor/remote").json()["data"]["executor_status"].clone();
        if health["status"] == "healthy" || health == "healthy" { Ok(()) } else { Err(health) }
    });
    let web = lictor_tests::CodeServer::start();
    web.answer("/p.wasm", lictor_tests::Answer::ok(policy("7")));
    let uri = admin.load(&record("p", &web.url("/p.wasm")));
    let body = json!({"policy_rule_uri": uri, "input_data": {}});
    assert_eq!(admin.post("/executor/remote/execute_policy", &body).data(), 7);
    // One that shows none is told nothing.
    let stranger = TestServer::builder().allow_loopback();
    let stranger =
        stranger.flag("--system", format!("http://{}", system.address())).flag("--executor-id", "other").start();
    let reply = stranger.post("/executor/other/execute_policy", &body);
    assert!(reply.json()["success"] == false && reply.text().contains("token"), "{reply:?}");
}

#[test]
fn packages_are_published_and_fetched_with_a_token() {
    let (server, _admin) = closed();
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("ip_allowlist.zip");
    std::fs::copy(guest_zip("ip_allowlist"), &package).unwrap();
    std::fs::write(folder.path().join("ip_allowlist.json"), lictor_tests::guest_record("ip_allowlist").to_string())
        .unwrap();
    let url = format!("http://{}", server.address());
    let push = || Command::new(["push", package.to_str().unwrap(), "--to", &url]);
    let refused = push().run();
    assert!(refused.code != Some(0) && refused.stderr.contains("needs a token"), "{refused:?}");
    let token = server.same_place().token("deployer");
    eventually("the token to be taken up", || known(&server.with_token(&token)));
    let pushed = push().env("LICTOR_TOKEN", &token).run().exits(0);
    assert!(pushed.stdout.contains("Bearer $LICTOR_TOKEN") && !pushed.stdout.contains(&token), "{pushed:?}");
    let out = folder.path().join("out");
    let pull = Command::new(["pull", "ip_allowlist:1.0-beta", "--from", &url]).arg("--out").arg(&out);
    pull.env("LICTOR_TOKEN", &token).run().exits(0);
    assert!(out.join("policy.json").exists());
}
