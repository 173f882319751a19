//! HTTP of policies in Python: `requests` and `urllib`, through the grants.

use lictor_tests::{Answer, CodeServer, class, python_cell, python_cell_reaching, sandbox::Cell};
use serde_json::{Value, json};

use super::{answer, failure, on};

fn cell(server: &CodeServer, eval: &str) -> Cell {
    let code = class(eval);
    python_cell_reaching(&[("function.py", &code)], &["127.0.0.1"]).grant(&json!({"http": [server.origin()]}))
}

#[test]
fn requests_gets_and_posts() {
    let server = CodeServer::start();
    server.answer("/list?a=1&b=x+y&b=z", Answer::json(&json!({"allowlist": ["10.0.0.1"]})).header("x-one", "1"));
    server.answer("/post", Answer::ok("späte").header("content-type", "text/plain; charset=utf-8").with_status(201));
    server.answer("/gone", Answer::status(404));
    server.answer("/moved", Answer::redirect("/post"));
    let code = "import requests
url = input_data
got = requests.get(url + '/list', params={'a': 1, 'b': ['x y', 'z'], 'c': None}, headers={'X-Test': 'yes'}, timeout=5)
got.raise_for_status()
with requests.Session() as session:
    session.headers['Authorization'] = 'Bearer t'
    posted = session.post(url + '/post', json={'ip': '10.0.0.1'}, timeout=(1, 2))
    form = session.post(url + '/post', data={'a': 'b c', 'd': ['1', '2']}, auth=('u', 'p'))
try:
    requests.get(url + '/gone').raise_for_status()
except requests.exceptions.HTTPError as error:
    gone = [str(error), error.response.status_code]
moved = requests.get(url + '/moved')
return [got.json(), got.ok, got.headers['X-One'], posted.status_code, posted.text, posted.reason, gone, [r.status_code for r in moved.history], moved.text]";
    on(&cell(&server, code), async |cell| {
        let gone = json!([format!("404 Client Error: Not Found for url: {}", server.url("/gone")), 404]);
        let expected = json!([{"allowlist": ["10.0.0.1"]}, true, "1", 201, "späte", "Created", gone, [302], "späte"]);
        assert_eq!(answer(cell, &json!(server.origin()).to_string()).await, expected);
    });
    let seen = server.seen();
    let header =
        |n: usize, name: &str| seen[n].headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    assert_eq!(header(0, "x-test").as_deref(), Some("yes"));
    assert_eq!((seen[1].method.as_str(), &seen[1].body[..]), ("POST", &br#"{"ip": "10.0.0.1"}"#[..]));
    assert_eq!(header(1, "content-type").as_deref(), Some("application/json"));
    assert_eq!(header(1, "authorization").as_deref(), Some("Bearer t"));
    assert_eq!(&seen[2].body[..], b"a=b+c&d=1&d=2");
    assert_eq!(header(2, "authorization").as_deref(), Some("Basic dTpw"));
}

#[test]
fn urllib_and_http_client_work_too() {
    let server = CodeServer::start();
    server.answer("/", Answer::json(&json!({"a": 1})));
    server.answer("/gone", Answer::status(410));
    let code = "import http.client, json, urllib.error, urllib.parse, urllib.request
with urllib.request.urlopen(input_data + '/', timeout=5) as answer:
    first = [json.load(answer), answer.status, answer.headers.get_content_type()]
asked = urllib.request.Request(input_data + '/', data=b'{}', headers={'X-Test': 'yes'}, method='PUT')
urllib.request.urlopen(asked).read()
try:
    urllib.request.urlopen(input_data + '/gone')
except urllib.error.HTTPError as error:
    gone = error.code
connection = http.client.HTTPConnection(urllib.parse.urlsplit(input_data).netloc)
connection.request('GET', '/')
answer = connection.getresponse()
return [first, gone, answer.status, answer.read().decode()]";
    on(&cell(&server, code), async |cell| {
        let expected = json!([[{"a": 1}, 200, "application/json"], 410, 200, r#"{"a":1}"#]);
        assert_eq!(answer(cell, &json!(server.origin()).to_string()).await, expected);
    });
    let seen = server.seen();
    assert_eq!((seen[1].method.as_str(), &seen[1].body[..]), ("PUT", &b"{}"[..]));
}

#[test]
fn what_was_not_granted_raises_what_its_author_expects() {
    let code = "import requests, urllib.error, urllib.request
res = []
try:
    requests.get('https://api.example.com/list?key=1')
except requests.exceptions.ConnectionError as error:
    res.append(str(error))
try:
    urllib.request.urlopen('https://api.example.com/list')
except urllib.error.URLError as error:
    res.append(str(error.reason))
return res";
    on(&python_cell(&[("function.py", &class(code))]), async |cell| {
        let why = "the policy was not granted requests to https://api.example.com (`capabilities.http`)";
        assert_eq!(answer(cell, "1").await, json!([why, why]));
        let heard = cell.heard.messages();
        assert!(
            heard.iter().any(|line| line.contains("`capabilities.http` with `https://api.example.com`")),
            "{heard:?}"
        );
    });
}

#[test]
fn what_goes_wrong_is_the_exception_of_its_kind() {
    let server = CodeServer::start();
    server.answer("/held", Answer::ok("").held());
    server.answer("/text", Answer::ok("no json"));
    let raised = |call: &str| format!("import requests\n{call}");
    for (call, expected) in [
        ("requests.get(input_data + '/held', timeout=0.05)", "ReadTimeout"),
        ("requests.get(input_data + '/text').json()", "JSONDecodeError"),
        ("requests.get('no-scheme')", "MissingSchema"),
        ("requests.get('ftp://example.com/')", "InvalidSchema"),
        ("requests.get('http://')", "InvalidURL"),
        ("requests.get(input_data, verify=False)", "SSLError"),
        ("requests.post(input_data, json={'n': float('nan')})", "InvalidJSONError"),
    ] {
        on(&cell(&server, &raised(call)), async |cell| {
            let failure = failure(cell, &json!(server.origin()).to_string()).await;
            assert_eq!(failure.code, expected, "{failure:?}");
        });
    }
    let closed = { CodeServer::start().origin() };
    let refused = class("import requests\nrequests.get(input_data)");
    let cell = python_cell_reaching(&[("function.py", &refused)], &["127.0.0.1"]).grant(&json!({"http": [closed]}));
    on(&cell, async |cell| assert_eq!(failure(cell, &json!(closed).to_string()).await.code, "ConnectionError"));
    let private = python_cell(&[("function.py", &refused)]).grant(&json!({"http": [server.origin()]}));
    on(&private, async |cell| {
        let failure = failure(cell, &json!(server.origin()).to_string()).await;
        assert_eq!(failure.code, "ConnectionError");
        assert_eq!(server.hits("/"), 0, "{failure:?}");
    });
}

#[test]
fn a_redirect_takes_no_credentials_to_another_server() {
    let (first, second) = (CodeServer::start(), CodeServer::start());
    first.answer("/", Answer::redirect(&second.url("/")));
    second.answer("/", Answer::json(&Value::Null));
    let code = class(
        "import requests\nreturn requests.get(input_data, headers={'Authorization': 'Bearer t', 'X-Mine': '1'}).status_code",
    );
    let grant = json!({"http": [first.origin(), second.origin()]});
    on(&python_cell_reaching(&[("function.py", &code)], &["127.0.0.1"]).grant(&grant), async |cell| {
        assert_eq!(answer(cell, &json!(first.origin()).to_string()).await, json!(200));
    });
    let names: Vec<_> = second.seen()[0].headers.iter().map(|(name, _)| name.clone()).collect();
    assert!(names.contains(&"x-mine".to_owned()) && !names.contains(&"authorization".to_owned()), "{names:?}");
}
