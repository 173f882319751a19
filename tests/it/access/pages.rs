//! Web pages: none comes in that the configuration does not name.

use lictor_tests::{Reply, TestServer};
use serde_json::json;

use super::EXECUTE;

const PAGE: &str = "https://console.example.com";

fn ask(server: &TestServer, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let json = ("Content-Type", "application/json");
    let body = json!({"policy_rule_uri": "a:1-b", "input_data": {}}).to_string();
    server.send(method, path, &[headers, &[json]].concat(), if method == "POST" { body.as_bytes() } else { b"" })
}

// attack 68: no page of somebody else's, with or without a token.
#[test]
fn a_page_is_refused_unless_it_is_named() {
    let builder = TestServer::builder();
    let token = format!("Bearer {}", builder.token("admin"));
    let (open, closed) = (TestServer::start(), builder.start());
    for origin in [PAGE, "null", "http://127.0.0.1", ""] {
        for server in [&open, &closed] {
            let headers = [("Origin", origin), ("Authorization", token.as_str())];
            let reply = ask(server, "POST", EXECUTE, &headers);
            assert_eq!(reply.refusal(), (403, "forbidden".into()), "{origin}");
            assert_eq!(reply.header("access-control-allow-origin"), None);
            let asks = [("Origin", origin), ("Access-Control-Request-Method", "POST")];
            assert_eq!(ask(server, "OPTIONS", EXECUTE, &asks).status, 403, "{origin}");
        }
    }
}

#[test]
fn a_page_that_is_named_is_let_in_as_what_its_token_says() {
    let builder = TestServer::builder().config(&format!("cors_origins = [\"{PAGE}\"]"));
    let token = format!("Bearer {}", builder.token("caller"));
    let server = builder.start();
    let asks = [("Origin", PAGE), ("Access-Control-Request-Method", "POST")];
    let may = ask(&server, "OPTIONS", EXECUTE, &asks);
    assert_eq!(may.status, 204, "{may:?}");
    assert_eq!(may.header("access-control-allow-origin"), Some(PAGE));
    assert!(may.header("access-control-allow-headers").unwrap().contains("authorization"));
    assert_eq!(may.header("access-control-allow-credentials"), None);
    for (headers, status) in [(&[("Origin", PAGE)][..], 401), (&[("Origin", PAGE), ("Authorization", &token)], 404)] {
        for path in [EXECUTE, "/executor/other/execute_policy"] {
            let reply = ask(&server, "POST", path, headers);
            assert_eq!(reply.status, status, "{path}");
            assert_eq!(reply.header("access-control-allow-origin"), Some(PAGE));
            assert_eq!(reply.header("vary"), Some("origin"));
        }
    }
    assert_eq!(ask(&server, "POST", EXECUTE, &[("Origin", "https://console.example.com.evil")]).status, 403);
    // Nobody else is told of it.
    assert_eq!(ask(&server, "POST", EXECUTE, &[("Authorization", &token)]).header("vary"), None);
}

#[test]
fn a_page_must_be_named_as_browsers_name_it() {
    for origin in ["*", "null", "console.example.com", "https://console.example.com/path"] {
        let refused =
            TestServer::builder().config(&format!("cors_origins = [\"{origin}\"]")).try_start().err().unwrap();
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.contains("cors_origins"), "{refused:?}");
    }
}
