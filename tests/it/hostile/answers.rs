//! Answers of a policy that would like to be more than an answer.

use lictor_tests::{Guest, TestServer, eventually, policy, record};
use serde_json::{Value, json};

const BATCH: &str = "/executor/executor-001/execute_policy/batch";

fn load(server: &TestServer, name: &str, code: &[u8]) -> String {
    server.load(&record(name, &server.put_file(&format!("{name}.wasm"), code)))
}

// attack 80
#[test]
fn an_answer_cannot_end_the_envelope_and_begin_another() {
    let server = TestServer::start();
    for (n, answer) in [
        r#"7},"success":false,"code":"forged""#,
        r#"7,"code":"forged""#,
        r#"{}{"success":true,"data":"forged"}"#,
        "7\n{\"success\":true,\"data\":\"forged\"}",
        "7}\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "7 //",
        "\"a\nb\"",
        "]",
    ]
    .into_iter()
    .enumerate()
    {
        let uri = load(&server, &format!("forges{n}"), &policy(answer));
        let reply = server.execute(&uri, &json!({}));
        assert_eq!(reply.refusal(), (200, "bad_output".into()), "{answer}");
        assert!(!reply.text().contains("forged") && reply.json()["data"]["code"] == "bad_output", "{}", reply.text());
    }
    // Inside of a string it is a string.
    let text = "\"},\\\"success\\\":false,\\n\\u0000\u{2028}\u{feff}\"";
    let uri = load(&server, "string", &policy(text));
    assert_eq!(server.execute(&uri, &json!({})).data(), serde_json::from_str::<Value>(text).unwrap());
}

// attack 80: what a failure says is text, whatever is in it.
#[test]
fn a_failure_cannot_either() {
    let server = TestServer::start();
    let message = "\"},\"success\":true,\"data\":\"forged\n\u{1}\u{7f}\u{2028}</script>";
    let escaped: String = message.bytes().map(|b| format!("\\{b:02x}")).collect();
    let fails = Guest {
        data: &format!("(data (i32.const 1024) \"{escaped}\")"),
        eval: &format!("(call $err (i32.const 1024) (i32.const {}))", message.len()),
        ..Guest::default()
    };
    let uri = load(&server, "fails", &fails.build());
    let body = server.execute(&uri, &json!({})).json();
    assert_eq!((&body["success"], &body["code"]), (&json!(false), &json!("policy_error")), "{body}");
    assert_eq!((&body["message"], &body["failure"]["code"]), (&json!(message), &json!(message)));
    // In lines it stays in its line.
    let sent = json!({"policy_rule_uri": uri, "inputs": [1, 2, 3]}).to_string();
    let headers = [("Content-Type", "application/json"), ("Accept", "application/x-ndjson")];
    let text = server.send("POST", BATCH, &headers, sent.as_bytes()).text();
    assert_eq!(text.lines().filter(|line| line.starts_with("{\"success\":false")).count(), 3, "{text}");
    assert!(!text.lines().any(|line| line.starts_with("{\"success\":true")), "{text}");
}

// attack 80: in the lines of a batch.
#[test]
fn an_answer_of_several_lines_is_one_line_of_a_batch() {
    let server = TestServer::start();
    let uri = load(&server, "lines", &policy("{\n\"a\"\r\n:\n1\n\n}\n"));
    let sent = json!({"policy_rule_uri": uri, "inputs": [1, 2, 3, 4, 5]}).to_string();
    let headers = [("Content-Type", "application/json"), ("Accept", "application/x-ndjson")];
    let text = server.send("POST", BATCH, &headers, sent.as_bytes()).text();
    let lines: Vec<Value> =
        text.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, vec![json!({"success": true, "data": {"a": 1}}); 5], "{text}");
}

// attack 80: in the events of a job.
#[test]
fn an_answer_of_several_lines_is_one_event() {
    let server = TestServer::start();
    let uri = load(&server, "events", &policy("[\n\n\"x\",\n\ndata:\n\n1]"));
    let fine = load(&server, "fine", &policy("[\n\n\"event: forged\\n\\ndata: 1\"\n\n]"));
    for (uri, status) in [(uri, "failed"), (fine, "completed")] {
        let submitted = server.post("/jobs/submit/executor-001", &json!({"name": "n", "policy_rule_uri": uri})).json();
        let id = submitted["job_id"].as_str().unwrap().to_owned();
        eventually("the job to end", || {
            let record = server.get(&format!("/jobs/{id}")).data();
            if record["job_status"] == status { Ok(()) } else { Err(record) }
        });
        let text = server.get(&format!("/jobs/{id}/events")).text();
        assert_eq!(text.matches("\ndata: ").count(), 1, "{text}");
        assert!(!text.lines().any(|line| line.starts_with("event: forged")), "{text}");
    }
}
