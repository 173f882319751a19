//! Servers and files that misbehave. The servers are threads that write bytes by hand: no server library would.

use std::{
    fmt::Write as _,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::Path,
    thread,
};

use super::*;

fn rules() -> FetchRules {
    FetchRules { allow_private: AllowPrivate::parse(["127.0.0.1"]).unwrap(), max_bytes: 1000, ..FetchRules::default() }
}

async fn fetch_with(rules: FetchRules, code: &str) -> Result<Fetched, LoadError> {
    Fetcher::new(rules).unwrap().fetch(&code.parse()?).await
}

#[track_caller]
fn check_refused(res: Result<Fetched, LoadError>, code: LoadCode, expected: &str) {
    let error = res.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.message().contains(expected), "{expected:?} in {error}");
    let chain = format!("{error:?} {error}");
    assert!(!chain.contains("s3cret"), "{chain}");
}

/// Answers each connection with whatever `answer` does with the head of its request, for as long as the test runs.
fn serve(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            answer(&String::from_utf8(head).unwrap(), &mut stream);
        }
    });
    origin
}

/// Answers every request with the same bytes.
fn serve_bytes(bytes: impl Into<Vec<u8>>) -> String {
    let bytes = bytes.into();
    serve(move |_, stream| {
        let _gone = stream.write_all(&bytes);
    })
}

fn redirect(to: &str) -> String {
    serve_bytes(format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"))
}

#[tokio::test]
async fn gets_the_bytes_and_their_digest() {
    let origin = serve(|head, stream| {
        let head = head.to_lowercase();
        let plain = head.starts_with("get /p.zip?sig=1 ") && head.contains("accept-encoding: identity\r\n");
        let bare = ["cookie", "authorization", "referer"].iter().all(|name| !head.contains(name));
        let body = if plain && bare { "abc" } else { "wrong" };
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    });
    let fetched = fetch_with(rules(), &format!("{origin}/p.zip?sig=1")).await.unwrap();
    assert_eq!(fetched.bytes(), &b"abc"[..]);
    assert_eq!(fetched.digest(), Digest::of(b"abc"));
}

// attack 51
#[tokio::test]
async fn digest_pin_is_held() {
    let fetched = Fetched::of(&b"abc"[..]);
    let (right, wrong) = (Digest::of(b"abc"), Digest::of(b"abd"));
    assert_eq!(fetched.clone().verify(None).unwrap().digest(), right);
    assert_eq!(fetched.clone().verify(Some(&right)).unwrap().bytes(), &b"abc"[..]);
    let error = fetched.verify(Some(&wrong)).unwrap_err();
    assert_eq!(error.code(), LoadCode::DigestMismatch);
    assert_eq!(error.message(), format!("digest mismatch: expected {wrong}, got {right}"));
}

// attack 53
#[tokio::test]
async fn private_address_is_refused_however_it_is_written() {
    let origin = serve_bytes("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    let port = origin.rsplit(':').next().unwrap();
    let hosts = [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "localhost",
        "LOCALHOST",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "１２７.0.0.1",
    ];
    for host in hosts {
        let res = fetch_with(FetchRules::default(), &format!("http://{host}:{port}/?sig=s3cret")).await;
        check_refused(res, LoadCode::CodeUnreachable, "has no public address");
    }
    let listed = FetchRules { allow_private: AllowPrivate::parse(["localhost"]).unwrap(), ..FetchRules::default() };
    assert!(fetch_with(listed.clone(), &format!("http://localhost:{port}/")).await.is_ok());
    check_refused(fetch_with(listed, &format!("{origin}/")).await, LoadCode::CodeUnreachable, "has no public address");
}

// attack 53
#[tokio::test]
async fn redirects_are_followed_a_few_times_and_judged_each_time() {
    let last = serve_bytes("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    let one = redirect(&format!("{last}/x"));
    let two = redirect(&one);
    let three = redirect(&two);
    let four = redirect(&three);
    assert_eq!(fetch_with(rules(), &three).await.unwrap().bytes(), &b"abc"[..]);
    check_refused(fetch_with(rules(), &four).await, LoadCode::CodeUnreachable, "more than 3 redirects");
    let rows = [
        ("http://169.254.169.254/latest/meta-data", "has no public address"),
        ("http://[::ffff:10.0.0.1]/", "has no public address"),
        ("http://[::1]:1/", "has no public address"),
        ("file:///etc/passwd", "not on the web"),
        ("gopher://a.com/", "`gopher`"),
        ("http://u:s3cret@127.0.0.1/", "user name or password"),
    ];
    for (to, expected) in rows {
        check_refused(fetch_with(rules(), &redirect(to)).await, LoadCode::CodeUnreachable, expected);
    }
}

// attack 53
#[tokio::test]
async fn body_is_capped_whatever_its_length_is_said_to_be() {
    let body = "x".repeat(1001);
    let mut chunked = String::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    write!(chunked, "1f4\r\n{0}\r\n1f4\r\n{0}\r\n1\r\nx\r\n0\r\n\r\n", "x".repeat(500)).unwrap();
    let rows = [
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n{body}"),
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".into(),
        format!("HTTP/1.1 200 OK\r\n\r\n{body}"),
        chunked,
    ];
    for answer in rows {
        check_refused(
            fetch_with(rules(), &serve_bytes(answer)).await,
            LoadCode::CodeUnreachable,
            "more than 1000 bytes",
        );
    }
    let exact = serve_bytes(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1000)));
    assert_eq!(fetch_with(rules(), &exact).await.unwrap().bytes().len(), 1000);
    let endless = serve(|_, stream| {
        let mut res = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while res.is_ok() {
            res = stream.write_all(&[b'x'; 4096]);
        }
    });
    check_refused(fetch_with(rules(), &endless).await, LoadCode::CodeUnreachable, "more than 1000 bytes");
}

// attacks 50, 53
#[tokio::test]
async fn answers_other_than_the_bytes_are_refused() {
    let rows = [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "status 404"),
        ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "status 500"),
        ("HTTP/1.1 206 Partial\r\nContent-Length: 0\r\n\r\n", "status 206"),
        ("HTTP/1.1 304 Not Modified\r\n\r\n", "status 304"),
        ("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "without saying where"),
        ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", "content encoding `gzip`"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "cannot be fetched"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "cannot be fetched"),
        ("SSH-2.0-OpenSSH_9.9\r\n", "cannot be fetched"),
        ("", "cannot be fetched"),
    ];
    for (answer, expected) in rows {
        let origin = serve_bytes(answer);
        check_refused(
            fetch_with(rules(), &format!("{origin}/p?sig=s3cret")).await,
            LoadCode::CodeUnreachable,
            expected,
        );
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check_refused(
        fetch_with(rules(), &format!("http://{closed}/?s3cret")).await,
        LoadCode::CodeUnreachable,
        "cannot be fetched",
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let not_tls = format!("https://{}/?s3cret", listener.local_addr().unwrap());
    thread::spawn(move || listener.accept().unwrap().0.write_all(b"SSH-2.0-OpenSSH_9.9\r\n"));
    check_refused(fetch_with(rules(), &not_tls).await, LoadCode::CodeUnreachable, "cannot be fetched");
}

// attack 53
#[tokio::test]
async fn slow_server_is_left() {
    let quick =
        FetchRules { idle_timeout: Duration::from_millis(50), connect_timeout: Duration::from_millis(50), ..rules() };
    let stuck = |head: &'static str| {
        serve(move |_, stream| {
            stream.write_all(head.as_bytes()).unwrap();
            // Holds the connection until the other side has closed it.
            let _closed = stream.read(&mut [0]);
        })
    };
    for head in ["", "HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\n\r\nabc"] {
        check_refused(fetch_with(quick.clone(), &stuck(head)).await, LoadCode::CodeUnreachable, "in time");
    }
    // Never idle, and never done.
    let drip = serve(|_, stream| {
        let mut res = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while res.is_ok() {
            res = stream.write_all(b"x").and_then(|()| stream.flush());
            thread::yield_now();
        }
    });
    let patient = FetchRules { total_timeout: Duration::from_millis(200), max_bytes: u64::MAX, ..rules() };
    check_refused(fetch_with(patient, &drip).await, LoadCode::CodeUnreachable, "too long altogether");
}

// attack 53
#[tokio::test]
async fn other_references_say_why_not() {
    check_refused(fetch_with(rules(), "p.wasm").await, LoadCode::InvalidInput, "bare path");
    check_refused(fetch_with(rules(), "asset:a:1-b").await, LoadCode::NotAvailable, "registry of assets");
    check_refused(fetch_with(rules(), "gopher://a/s3cret").await, LoadCode::InvalidInput, "`gopher`");
    check_refused(fetch_with(rules(), "http://u:s3cret@a/").await, LoadCode::InvalidInput, "user name or password");
}

// ---- files ----

/// A folder that is admitted, beside one that is not, with links between them.
fn folders() -> (tempfile::TempDir, FetchRules) {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir_all(at("in/deep")).unwrap();
    fs::create_dir_all(at("out")).unwrap();
    fs::create_dir_all(at("inner")).unwrap();
    for name in ["in/p.wasm", "in/deep/p.wasm", "out/p.wasm", "inner/p.wasm", "in/a b.wasm"] {
        fs::write(at(name), "abc").unwrap();
    }
    fs::write(at("in/large"), vec![0; 1001]).unwrap();
    symlink(at("out/p.wasm"), at("in/escape.wasm")).unwrap();
    symlink(at("out"), at("in/escape")).unwrap();
    symlink("deep/p.wasm", at("in/link.wasm")).unwrap();
    symlink(at("in"), at("alias")).unwrap();
    symlink("loop", at("in/loop")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("in/pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let rules = FetchRules { allow_file: vec![at("missing"), at("in")], ..rules() };
    (root, rules)
}

fn url(root: &Path, name: &str) -> String {
    format!("file://{}/{name}", root.display())
}

#[tokio::test]
async fn file_in_an_admitted_folder_is_read() {
    let (root, rules) = folders();
    for name in ["in/p.wasm", "in/deep/p.wasm", "in/link.wasm", "alias/p.wasm", "in/a%20b.wasm", "out/../in/p.wasm"] {
        let fetched = fetch_with(rules.clone(), &url(root.path(), name)).await;
        assert_eq!(fetched.unwrap().digest(), Digest::of(b"abc"), "{name}");
    }
    let by_alias = FetchRules { allow_file: vec![root.path().join("alias")], ..rules };
    assert!(fetch_with(by_alias, &url(root.path(), "in/p.wasm")).await.is_ok());
}

// attack 53
#[tokio::test]
async fn file_elsewhere_is_refused_without_saying_whether_it_is_there() {
    let (root, rules) = folders();
    let expected = "does not exist, or is not in a folder that `--allow-file` admits";
    for name in [
        "out/p.wasm",
        "out/missing",
        "inner/p.wasm",
        "in/escape.wasm",
        "in/escape/p.wasm",
        "in/loop",
        "in/missing",
        "in/p.wasm/x",
    ] {
        check_refused(fetch_with(rules.clone(), &url(root.path(), name)).await, LoadCode::CodeUnreachable, expected);
    }
    for code in ["file:///etc/passwd", "file:///proc/self/environ"] {
        check_refused(fetch_with(rules.clone(), code).await, LoadCode::CodeUnreachable, expected);
    }
    let none = FetchRules { allow_file: Vec::new(), ..rules };
    check_refused(fetch_with(none, &url(root.path(), "in/p.wasm")).await, LoadCode::CodeUnreachable, expected);
}

#[tokio::test]
async fn only_regular_files_of_fair_size_are_read() {
    let (root, rules) = folders();
    let rules = FetchRules { admit_paths: true, ..rules };
    let mut rows = Vec::new();
    for (name, expected) in
        [("in/pipe", "not a regular file"), ("in/deep", "is a folder"), ("in/large", "larger than 1000 bytes")]
    {
        rows.push((url(root.path(), name), expected));
        rows.push((root.path().join(name).display().to_string(), expected));
    }
    rows.push((url(root.path(), "in"), "is a folder"));
    rows.push(("/dev/zero".into(), "not a regular file"));
    rows.push(("./no/such/file".into(), "does not exist"));
    for (code, expected) in rows {
        check_refused(fetch_with(rules.clone(), &code).await, LoadCode::CodeUnreachable, expected);
    }
    let outside = root.path().join("out/p.wasm").display().to_string();
    assert_eq!(fetch_with(rules, &outside).await.unwrap().bytes(), &b"abc"[..]);
}
