use serde_json::json;

use super::*;

fn parse(body: Value) -> Result<ExecutorDraft, FieldError> {
    ExecutorDraft::parse(body, None)
}

fn with(fields: &Value) -> Value {
    let mut body = json!({"executor_id": "e", "executor_host_uri": "http://a.example"});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

#[test]
fn a_small_record_reads_back_whole() {
    let draft = parse(with(&json!({}))).unwrap();
    let expected = json!({
        "executor_id": "e", "executor_host_uri": "http://a.example", "executor_metadata": {}, "executor_hardware_info": {},
        "executor_status": "healthy",
    });
    assert_eq!(Value::Object(draft.document.clone()), expected);
    assert_eq!((draft.spec.max_processes, draft.warnings), (0, vec![]));
    assert_eq!(parse(Value::Object(draft.document.clone())).unwrap().document, draft.document);
}

#[test]
fn a_host_is_one_text_however_it_is_written() {
    let rows = [
        (json!({"executor_host_uri": "HTTP://A.Example:80/"}), "http://a.example"),
        (json!({"executor_host_uri": "https://a.example/executor/e/"}), "https://a.example/executor/e"),
        (json!({"executor_host_uri": "http://0x7f.1:1"}), "http://127.0.0.1:1"),
        (json!({"executor_host_uri": null, "cluster_public_ip": "203.0.113.7"}), "http://203.0.113.7:30900"),
        (json!({"cluster_public_ip": "2001:db8::7"}), "http://[2001:db8::7]:30900"),
        (json!({"cluster_public_ip": "node.example"}), "http://node.example:30900"),
    ];
    for (fields, expected) in rows {
        let draft = parse(with(&fields)).unwrap();
        assert_eq!(draft.document["executor_host_uri"], expected, "{fields}");
        assert_eq!(draft.spec.host.as_str(), expected, "{fields}");
        assert!(!draft.document.contains_key("cluster_public_ip"));
    }
    let both = parse(with(&json!({"cluster_public_ip": "203.0.113.7"}))).unwrap();
    assert!(both.warnings[0].contains("wins"), "{:?}", both.warnings);
}

#[test]
fn the_host_of_an_address_is_what_its_text_would_be() {
    for address in ["127.0.0.1:10000", "127.0.0.1:80", "[::1]:8080", "[::1]:80"] {
        let of = HostUri::of_address(address.parse().unwrap(), false);
        assert_eq!(of, HostUri::parse(&format!("http://{address}/")).unwrap(), "{address}");
    }
    let host = HostUri::parse("https://a.example/x").unwrap();
    assert_eq!((host.host(), host.ip(), host.port()), ("a.example", None, 443));
    assert_eq!(host.below("https://a.example/x/y/z"), Some("y/z"));
    assert_eq!(host.below("https://a.example/xy"), None);
}

#[test]
fn each_wrong_field_is_named() {
    let rows = [
        (json!({"executor_id": 5}), "executor_id"),
        (json!({"executor_id": ""}), "executor_id"),
        (json!({"executor_id": "a/b"}), "executor_id"),
        (json!({"executor_host_uri": 5}), "executor_host_uri"),
        (json!({"executor_host_uri": ""}), "executor_host_uri"),
        (json!({"executor_host_uri": "a.example:80"}), "executor_host_uri"),
        (json!({"executor_host_uri": "ftp://a.example"}), "executor_host_uri"),
        (json!({"executor_host_uri": "http://u:s3cret@a.example"}), "executor_host_uri"),
        (json!({"executor_host_uri": "http://u:s3cret@a.example:999999"}), "executor_host_uri"),
        (json!({"executor_host_uri": "http://u:s3cret@a.example "}), "executor_host_uri"),
        (json!({"executor_host_uri": "http://a.example/?s3cret=1"}), "executor_host_uri"),
        (json!({"executor_host_uri": "http://a.example/#x"}), "executor_host_uri"),
        (json!({"executor_host_uri": "http://a.ex\nample/"}), "executor_host_uri"),
        (json!({"cluster_public_ip": 5}), "cluster_public_ip"),
        (json!({"cluster_public_ip": "http://a"}), "cluster_public_ip"),
        (json!({"cluster_public_ip": "a/b"}), "cluster_public_ip"),
        (json!({"cluster_public_ip": "a:1"}), "cluster_public_ip"),
        (json!({"cluster_public_ip": "u@a"}), "cluster_public_ip"),
        (json!({"cluster_public_ip": ""}), "cluster_public_ip"),
        (json!({"executor_metadata": []}), "executor_metadata"),
        (json!({"executor_hardware_info": "x"}), "executor_hardware_info"),
        (json!({"executor_status": 1}), "executor_status"),
        (json!({"max_processes": -1}), "max_processes"),
        (json!({"max_processes": 1.5}), "max_processes"),
    ];
    for (fields, expected) in rows {
        let error = parse(with(&fields)).unwrap_err();
        assert_eq!(error.field(), expected, "{fields}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
    let neither = parse(json!({"executor_id": "e"})).unwrap_err().to_string();
    assert!(neither.contains("executor_host_uri") && neither.contains("cluster_public_ip"), "{neither}");
    assert_eq!(parse(json!([])).unwrap_err().field(), "");
    assert_eq!(parse(json!({})).unwrap_err().to_string(), "`executor_id` is required");
}

#[test]
fn the_executor_that_is_here_needs_no_host() {
    let (id, own) = ("e".parse().unwrap(), HostUri::parse("http://127.0.0.1:10000").unwrap());
    let parse = |body| ExecutorDraft::parse(body, Some((&id, &own))).unwrap();
    let draft = parse(json!({"executor_id": "e", "cluster_public_ip": 5}));
    assert_eq!((draft.spec.host, draft.warnings), (own.clone(), vec![]));
    assert!(parse(with(&json!({}))).warnings[0].contains("no effect"));
    assert!(parse(with(&json!({"executor_host_uri": own.as_str()}))).warnings.is_empty());
    assert!(ExecutorDraft::parse(json!({"executor_id": "other"}), Some((&id, &own))).is_err());
}

#[test]
fn unknown_fields_are_kept_and_named() {
    let draft = parse(with(&json!({"colour": "red", "_id": 1}))).unwrap();
    assert_eq!(draft.document["colour"], "red");
    assert!(!draft.document.contains_key("_id"));
    assert_eq!(draft.warnings, ["unknown field `colour` is kept and not used"]);
}

// attack 75
#[test]
fn a_kubeconfig_that_runs_programs_is_found_out() {
    let exec = json!({"users": [{"name": "u", "user": {"exec": {"command": "sh"}}}]});
    let rows = [
        (json!({"provider": "kubernetes", "region": "us-west"}), None),
        (json!({"users": [{"name": "exec", "user": {"token": "exec"}}]}), None),
        (exec.clone(), Some("users.0.user.exec")),
        (json!({"users": [{"user": {"auth-provider": {}}}]}), Some("users.0.user.auth-provider")),
        (json!({"kubeconfig": exec}), Some("kubeconfig.users.0.user.exec")),
        (json!({"kubeconfig": exec.to_string()}), Some("kubeconfig.users.0.user.exec")),
        (json!({"a": json!({"b": exec.to_string()}).to_string()}), Some("a.b.users.0.user.exec")),
        (json!({"text": "{exec"}), None),
    ];
    for (config, expected) in rows {
        assert_eq!(forbidden_in_kubeconfig(&config).as_deref(), expected, "{config}");
    }
}
