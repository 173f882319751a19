//! From `code` to something that runs. The loader's own tests have every kind of hostile archive and server; here a
//! few of each go all the way through the real one.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use lictor_tests::{
    Answer, CodeServer, Guest, TestServer, component, guest, guest_bytes, guest_zip, policy, record, tar_gz_of, tar_of,
    tar_xz_of, zip_of,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const MEMBER: &str = "code/policy.wasm";

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

/// Creates a policy that must fail to load, and to run, with this code and status. Returns what is said.
#[track_caller]
fn refused(server: &TestServer, record: &Value, status: u16, code: &str) -> String {
    let uri = server.create_policy(record);
    let load = server.wait_loaded(&uri);
    assert_eq!((&load["state"], &load["code"]), (&json!("failed"), &json!(code)), "{load}");
    let reply = server.execute(&uri, &json!(null));
    assert_eq!(reply.refusal(), (status, code.into()), "{}", reply.text());
    server.delete(&format!("/policy/{uri}")).data();
    reply.json()["message"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn every_package_is_read_from_files_and_from_the_web() {
    let web = CodeServer::start();
    let server = TestServer::builder().allow_loopback().start();
    let wasm = policy("7");
    let entries: [(&str, &[u8]); 3] = [("code/", b""), ("code/requirements.txt", b"# none\n"), (MEMBER, &wasm)];
    for (name, bytes) in [
        ("bare.wasm", wasm.clone()),
        // What it is decides, not what it is called.
        ("misnamed.zip", wasm.clone()),
        ("p.zip", zip_of(&entries[1..])),
        ("p.tar", tar_of(&entries)),
        ("p.tar.gz", tar_gz_of(&entries)),
        ("p.tar.xz", tar_xz_of(&entries)),
    ] {
        let path = format!("/{name}");
        web.answer(&path, Answer::ok(bytes.clone()));
        for code in [server.put_file(name, &bytes), web.url(&path)] {
            let uri = server.load(&record("packed", &code));
            assert_eq!(server.execute(&uri, &json!(null)).data(), 7, "{code}");
            let read = server.policy(&uri);
            assert_eq!(read["component_digest"], digest(&wasm), "the digest is the component's: {code}");
            server.delete(&format!("/policy/{uri}")).data();
        }
        assert_eq!(web.hits(&path), 1, "{path}");
    }
}

// attack 53
#[test]
fn loopback_is_not_fetched_from_unless_it_was_admitted() {
    let web = CodeServer::start();
    web.answer("/p.wasm", Answer::ok(policy("7")));
    let server = TestServer::start();
    for host in ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let code = format!("http://{host}:{}/p.wasm", web.port());
        let said = refused(&server, &record("private", &code), 502, "code_unreachable");
        assert!(said.contains("--allow-private"), "{host}: {said}");
    }
    assert!(web.seen().is_empty());
    server.assert_serving();
}

#[test]
fn files_are_read_below_admitted_folders_only() {
    let server = TestServer::start();
    let wasm = policy("7");
    server.put_file("folder/p.wasm", &wasm);
    let files = server.same_place().files();
    let outside = files.parent().unwrap().join("outside.wasm");
    fs::write(&outside, &wasm).unwrap();
    std::os::unix::fs::symlink(&outside, files.join("link.wasm")).unwrap();
    let url = |path: &Path| format!("file://{}", path.display());
    let inside = server.load(&record("inside", &url(&files.join("folder/p.wasm"))));
    assert_eq!(server.execute(&inside, &json!(null)).data(), 7);
    for path in [&outside, &files.join("link.wasm"), &files.join("missing.wasm"), Path::new("/etc/passwd"), &files] {
        let said = refused(&server, &record("outside", &url(path)), 502, "code_unreachable");
        assert!(!said.contains("root:"), "{said}");
    }
    // Whether something is there outside is nobody's business.
    let there = refused(&server, &record("outside", "file:///etc/passwd"), 502, "code_unreachable");
    let not_there = refused(&server, &record("outside", "file:///etc/no-such"), 502, "code_unreachable");
    assert_eq!(there.replace("/etc/passwd", ""), not_there.replace("/etc/no-such", ""));
}

// attack 51
#[test]
fn a_digest_is_that_of_the_file_and_is_kept_to() {
    let server = TestServer::start();
    let wasm = policy("7");
    let zip = zip_of(&[(MEMBER, &wasm)]);
    let mut record = record("pinned", &server.put_file("p.zip", &zip));
    record["code_digest"] = json!(digest(&zip));
    let uri = server.load(&record);
    assert_eq!(server.execute(&uri, &json!(null)).data(), 7);
    server.delete(&format!("/policy/{uri}")).data();
    for (what, wrong) in [("that of the component", digest(&wasm)), ("another one", digest(b"x"))] {
        record["code_digest"] = json!(wrong);
        let said = refused(&server, &record, 422, "digest_mismatch");
        assert!(said.contains(&wrong) && said.contains(&digest(&zip)), "{what}: {said}");
    }
    server.assert_serving();
}

// attack 51
#[test]
fn what_does_not_match_its_digest_is_not_kept() {
    let server = TestServer::start();
    let mut record = record("pinned", &server.put_file("p.wasm", &policy("7")));
    record["code_digest"] = json!(digest(b"x"));
    refused(&server, &record, 422, "digest_mismatch");
    assert_eq!(files_in(&server.data_dir().join("cache/components")).len(), 0);
    assert_eq!(files_in(&server.data_dir().join("cache/artifacts")).len(), 0);
}

// attacks 44, 46, 49: all the way through the server.
#[test]
fn an_archive_that_no_honest_tool_makes_is_refused_whole() {
    let server = TestServer::start();
    let wasm = policy("7");
    let with = |name: &str| zip_of(&[(MEMBER, &wasm), (name, b"x")]);
    let zip = zip_of(&[(MEMBER, &wasm)]);
    for (what, bytes) in [
        ("a name that climbs", with("../../etc/x")),
        ("an absolute name", with("/etc/x")),
        ("a drive", with("C:\\x")),
        ("a backslash", with("code\\..\\x")),
        ("the same name in another case", with("code/POLICY.wasm")),
        ("a climbing name in a tar", tar_gz_of(&[(MEMBER, &wasm), ("../x", b"x")])),
        ("a truncated zip", zip[..zip.len() / 2].to_vec()),
        ("a truncated tar.gz", {
            let gz = tar_gz_of(&[(MEMBER, &wasm)]);
            gz[..gz.len() / 2].to_vec()
        }),
        ("a truncated tar.xz", {
            let xz = tar_xz_of(&[(MEMBER, &wasm)]);
            xz[..xz.len() / 2].to_vec()
        }),
        ("no policy", zip_of(&[("code/other.wasm", &wasm)])),
        ("the original's archive", zip_of(&[("code/function.py", b"class AIOSv1PolicyRule: pass")])),
        ("an archive in an archive", zip_of(&[("code.zip", &zip)])),
        ("a bomb", zip_of(&[(MEMBER, &vec![0; 8 << 20])])),
        ("nothing", Vec::new()),
        ("a web page", b"<!doctype html><title>404</title>".to_vec()),
    ] {
        let code = server.put_file("bad.zip", &bytes);
        let said = refused(&server, &record("bad", &code), 422, "bad_archive");
        assert!(!said.is_empty() && said.len() < 400, "{what}: {said}");
    }
    server.assert_serving();
}

// attacks 40, 56
#[test]
fn what_is_no_component_is_told_so() {
    let server = TestServer::start();
    // Native code from this very server's cache: never run because somebody hands it in.
    server.load(&record("honest", &server.put_file("honest.wasm", &policy("7"))));
    let native = fs::read(&files_in(&server.data_dir().join("cache/artifacts"))[0]).unwrap();
    let wasm = policy("8");
    for (what, bytes) in [
        ("a core module", component("(module)")),
        ("a component in text form", b"(component)".to_vec()),
        ("machine code", fs::read("/proc/self/exe").unwrap()[..4096].to_vec()),
        ("a truncated component", wasm[..wasm.len() - 10].to_vec()),
        ("a component with an end that is none", [&wasm[..], b"\x07\xff\xff"].concat()),
        ("eight bytes", b"\0asm\x0d\0\x01\0"[..4].to_vec()),
    ] {
        let said = refused(&server, &record("no", &server.put_file("no.wasm", &bytes)), 422, "not_a_component");
        assert!(!said.is_empty(), "{what}");
        let in_zip = server.put_file("no.zip", &zip_of(&[(MEMBER, &bytes)]));
        refused(&server, &record("no", &in_zip), 422, "not_a_component");
    }
    refused(&server, &record("no", &server.put_file("no.cwasm", &native)), 422, "bad_archive");
    let in_zip = server.put_file("no.zip", &zip_of(&[(MEMBER, &native)]));
    refused(&server, &record("no", &in_zip), 422, "not_a_component");
    server.assert_serving();
}

#[test]
fn a_component_that_is_no_policy_is_told_what_is_missing() {
    let server = TestServer::start();
    let with_export = |name: &str| format!(r#"(component (instance $i) (export "{name}" (instance $i)))"#);
    for (what, text, named) in [
        ("nothing", "(component)".to_owned(), "lictor:policy/rule@1.0.0"),
        ("an interface of that name with nothing in it", with_export("lictor:policy/rule@1.0.0"), "init"),
        ("a later version of it", with_export("lictor:policy/rule@2.0.0"), "lictor:policy/rule@1.0.0"),
        ("another interface", with_export("acme:policy/rule@1.0.0"), "lictor:policy/rule@1.0.0"),
    ] {
        let code = server.put_file("no.wasm", &component(&text));
        let said = refused(&server, &record("no", &code), 422, "missing_export");
        assert!(said.contains(named), "{what}: {said}");
    }
    server.assert_serving();
}

#[test]
fn an_import_outside_the_world_is_named() {
    let server = TestServer::start();
    for name in [
        "acme:files/read@1.0.0",
        "wasi:http/incoming-handler@0.2.0",
        "wasi:cli/environment@0.2.999",
        "wasi:clocks/wall-clock@0.3.0",
        "wasi:keyvalue/store@0.2.0",
        "lictor:policy/host@1.1.0",
    ] {
        let code = server.put_file("no.wasm", &component(&format!(r#"(component (import "{name}" (instance)))"#)));
        let said = refused(&server, &record("no", &code), 422, "unknown_import");
        assert!(said.contains(name), "{name}: {said}");
    }
    server.assert_serving();
}

#[test]
fn what_takes_too_much_is_refused_before_it_is_compiled() {
    let server = TestServer::start();
    let functions = Guest { data: &"(func)".repeat(70_000), ..Guest::default() }.build();
    let table = Guest { data: "(table 1000000 funcref)", ..Guest::default() }.build();
    for (what, bytes) in [("functions", functions), ("table", table)] {
        let said = refused(&server, &record("big", &server.put_file("big.wasm", &bytes)), 422, "too_complex");
        assert!(said.contains(what), "{what}: {said}");
    }
    server.assert_serving();
}

#[test]
fn what_this_version_cannot_run_is_stored_and_says_so() {
    let server = TestServer::start();
    let mut python = record("python", "https://example.com/ip_allowlist.zip");
    python["type"] = json!("python_class_v1");
    let uri = server.create_policy(&python);
    assert_eq!(server.wait_loaded(&uri)["code"], "not_available");
    assert_eq!(server.execute(&uri, &json!({})).refusal(), (422, "not_available".into()));
    assert_eq!(server.policy(&uri)["type"], "python_class_v1");
    for code in ["asset:ip-allow-list:1.0-beta", "asset://0191"] {
        refused(&server, &record("asset", code), 502, "code_unreachable");
    }
    let said = refused(&server, &record("path", "policy.zip"), 422, "invalid_input");
    assert!(said.contains("policy.zip"), "{said}");
}

// attack 53
#[test]
fn the_web_may_redirect_but_not_anywhere() {
    let web = CodeServer::start();
    let server = TestServer::builder().allow_loopback().start();
    web.answer("/p.wasm", Answer::ok(policy("7")));
    for (from, to) in [("/1", "/p.wasm"), ("/2", "/1"), ("/3", "/2"), ("/4", "/3")] {
        web.answer(from, Answer::redirect(to));
    }
    web.answer("/file", Answer::redirect("file:///etc/passwd"));
    web.answer("/meta", Answer::redirect("http://169.254.169.254/latest/meta-data"));
    web.answer("/private", Answer::redirect("http://10.0.0.1/"));
    web.answer("/loop", Answer::redirect("/loop"));
    web.answer("/nowhere", Answer::status(302));
    let uri = server.load(&record("redirected", &web.url("/3")));
    assert_eq!(server.execute(&uri, &json!(null)).data(), 7);
    for path in ["/4", "/file", "/meta", "/private", "/loop", "/nowhere"] {
        refused(&server, &record("redirected-too-far", &web.url(path)), 502, "code_unreachable");
    }
    server.assert_serving();
}

// attacks 50, 53
#[test]
fn a_web_server_that_misbehaves_is_unreachable() {
    let web = CodeServer::start();
    let server = TestServer::builder().allow_loopback().start();
    let gz = tar_gz_of(&[(MEMBER, &policy("7"))]);
    for (what, answer) in [
        ("an error", Answer::status(500)),
        ("a partial answer", Answer::status(206)),
        ("a content encoding", Answer::ok(gz).header("Content-Encoding", "gzip")),
        ("a body without an end", Answer::ok(vec![0; 1 << 20]).endless()),
        ("a length that is a lie", Answer::ok("x").header("Content-Length", "99999999999")),
    ] {
        web.answer("/p", answer);
        let said = refused(&server, &record("odd", &web.url("/p?token=s3cret")), 502, "code_unreachable");
        assert!(!said.contains("s3cret"), "{what}: {said}");
        let said = refused(&server, &record("odd", &web.url("/p")), 502, "code_unreachable");
        assert!(!said.is_empty(), "{what}");
    }
    assert!(!server.log().contains("s3cret"), "{}", server.log());
    web.answer("/p", Answer::ok(policy("7")).without_length());
    let uri = server.load(&record("honest", &web.url("/p")));
    assert_eq!(server.execute(&uri, &json!(null)).data(), 7);
}

#[test]
fn a_slow_source_holds_up_nobody_else() {
    let web = CodeServer::start();
    let server = TestServer::builder().allow_loopback().start();
    web.answer("/slow", Answer::ok(policy("7")).half_then_held());
    let quick = server.load(&record("quick", &server.put_file("q.wasm", &policy("1"))));
    let slow = server.create_policy(&record("slow", &web.url("/slow")));
    lictor_tests::eventually("the slow one to be asked for", || if web.hits("/slow") == 1 { Ok(()) } else { Err(()) });
    assert_eq!(server.policy(&slow)["load"], json!({"state": "pending"}));
    assert_eq!(server.execute(&quick, &json!(null)).data(), 1);
    let other = server.load(&record("other", &server.put_file("o.wasm", &policy("2"))));
    assert_eq!(server.execute(&other, &json!(null)).data(), 2);
    web.release();
    assert_eq!(server.wait_loaded(&slow), json!({"state": "ready"}));
    assert_eq!(server.execute(&slow, &json!(null)).data(), 7);
}

#[test]
fn a_source_that_was_away_is_asked_again() {
    let web = CodeServer::start();
    let server = TestServer::builder().allow_loopback().start();
    let uri = server.create_policy(&record("late", &web.url("/p.wasm")));
    assert_eq!(server.wait_loaded(&uri)["code"], "code_unreachable");
    web.answer("/p.wasm", Answer::ok(policy("7")));
    assert_eq!(server.execute(&uri, &json!(null)).data(), 7);
    assert_eq!(server.wait_loaded(&uri), json!({"state": "ready"}));
}

#[test]
fn a_package_that_was_mended_is_loaded_by_sending_its_record_again() {
    let server = TestServer::start();
    let record = record("mended", &server.put_file("p.zip", b"not yet"));
    let uri = server.create_policy(&record);
    assert_eq!(server.wait_loaded(&uri)["code"], "bad_archive");
    server.put_file("p.zip", &zip_of(&[(MEMBER, &policy("7"))]));
    server.put(&format!("/policy/{uri}"), &record).data();
    assert_eq!(server.wait_loaded(&uri), json!({"state": "ready"}));
    assert_eq!(server.execute(&uri, &json!(null)).data(), 7);
}

// attacks 51, 52
#[test]
fn bytes_that_change_at_their_source_change_nothing_that_runs() {
    let web = CodeServer::start();
    let server = TestServer::builder().allow_loopback().start();
    web.answers("/p.wasm", [Answer::ok(policy("1")), Answer::ok(policy("2"))]);
    let uri = server.load(&record("stable", &web.url("/p.wasm")));
    assert_eq!(server.execute(&uri, &json!(null)).data(), 1);
    let server = server.stop().start();
    assert_eq!(server.execute(&uri, &json!(null)).data(), 1);
    // Even with nothing left of the first one: another component is not the one that was loaded.
    let builder = server.stop();
    fs::remove_dir_all(builder.data_dir().join("cache")).unwrap();
    let server = builder.start();
    assert_eq!(server.execute(&uri, &json!(null)).refusal(), (422, "digest_mismatch".into()));
}

#[test]
fn a_restart_needs_no_source() {
    let server = TestServer::start();
    let uri = server.load(&record("kept", &server.put_file("p.wasm", &policy("7"))));
    let builder = server.stop();
    fs::remove_file(builder.files().join("p.wasm")).unwrap();
    let server = builder.start();
    assert_eq!(server.policy(&uri)["load"], json!({"state": "ready"}));
    assert_eq!(server.execute(&uri, &json!(null)).data(), 7);
    // Nor compiled code.
    let builder = server.stop();
    for path in files_in(&builder.data_dir().join("cache/artifacts")) {
        fs::remove_file(path).unwrap();
    }
    let server = builder.start();
    assert_eq!(server.execute(&uri, &json!(null)).data(), 7);
    // But something.
    let builder = server.kill();
    fs::remove_dir_all(builder.data_dir().join("cache")).unwrap();
    let server = builder.start();
    assert_eq!(server.execute(&uri, &json!(null)).refusal(), (502, "code_unreachable".into()));
    server.put_file("p.wasm", &policy("7"));
    assert_eq!(server.execute(&uri, &json!(null)).data(), 7);
}

// attacks 56, 58
#[test]
fn a_file_of_the_cache_that_was_changed_is_made_again() {
    let server = TestServer::start();
    let uri = server.load(&record("cached", &server.put_file("p.wasm", &guest_bytes("plain_wit"))));
    let input = json!({"change": "x"});
    let before = server.execute(&uri, &input).text();
    let mut builder = server.stop();
    // A byte at the start, in the middle and at the end; cut short; empty; something else.
    let damages: [fn(&mut Vec<u8>); 6] = [
        |bytes| bytes[0] ^= 1,
        |bytes| {
            let n = bytes.len() / 2;
            bytes[n] ^= 0x40;
        },
        |bytes| {
            let n = bytes.len() - 1;
            bytes[n] ^= 0x80;
        },
        |bytes| bytes.truncate(bytes.len() / 3),
        Vec::clear,
        |bytes| *bytes = b"\x7fELF".repeat(100),
    ];
    for (n, damage) in damages.iter().enumerate() {
        let folders: &[&str] = if n % 2 == 0 { &["artifacts"] } else { &["artifacts", "components"] };
        for folder in folders {
            let paths = files_in(&builder.data_dir().join("cache").join(folder));
            assert!(!paths.is_empty(), "{folder}");
            for path in paths {
                let mut bytes = fs::read(&path).unwrap();
                damage(&mut bytes);
                fs::write(&path, bytes).unwrap();
            }
        }
        let server = builder.start();
        assert_eq!(server.execute(&uri, &input).text(), before, "damage {n}");
        assert!(server.log().contains("a file in the cache is not used"), "{}", server.log());
        builder = server.stop();
    }
}

// attack 56
#[test]
fn a_cache_of_another_key_is_not_trusted() {
    let server = TestServer::start();
    let uri = server.load(&record("cached", &server.put_file("p.wasm", &policy("7"))));
    let builder = server.stop();
    fs::write(builder.data_dir().join("cache/key"), [7; 32]).unwrap();
    let server = builder.start();
    assert_eq!(server.execute(&uri, &json!(null)).data(), 7);
    assert!(server.log().contains("a file in the cache is not used"), "{}", server.log());
}

// attack 56
#[test]
fn what_is_kept_is_its_owners_alone() {
    let server = TestServer::start();
    for path in ["", "cache", "cache/artifacts", "cache/components"] {
        let mode = fs::metadata(server.data_dir().join(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{path}: {mode:o}");
    }
}

// attack 57
#[test]
fn a_cache_that_cannot_be_written_only_costs_time() {
    let server = TestServer::start();
    for folder in ["artifacts", "components"] {
        let path = server.data_dir().join("cache").join(folder);
        fs::remove_dir(&path).unwrap();
        // A file in the place of the folder: even root cannot write below it.
        fs::write(path, b"").unwrap();
    }
    let uri = server.load(&record("uncached", &server.put_file("p.wasm", &policy("7"))));
    assert_eq!(server.execute(&uri, &json!(null)).data(), 7);
    assert!(server.log().contains("cannot keep a file in the cache"), "{}", server.log());
}

#[test]
fn callers_at_the_same_time_share_one_load() {
    let web = CodeServer::start();
    let server = TestServer::builder().allow_loopback().start();
    web.answer("/p.wasm", Answer::ok(fs::read(guest("ip_allowlist")).unwrap()).held());
    let uri = server.create_policy(&record("shared", &web.url("/p.wasm")));
    std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..8).map(|_| scope.spawn(|| server.execute(&uri, &json!({"ip": "1.1.1.1"})).data())).collect();
        lictor_tests::eventually("a fetch", || if web.hits("/p.wasm") == 0 { Err(()) } else { Ok(()) });
        web.release();
        for call in calls {
            assert_eq!(call.join().unwrap()["reason"], "denied");
        }
    });
    let compiled = files_in(&server.data_dir().join("cache/artifacts"));
    assert_eq!(compiled.len(), 1, "{compiled:?}");
}

#[test]
fn the_packages_of_all_examples_load() {
    let server = TestServer::start();
    for name in ["autoscaler", "ip_allowlist", "load_balancer", "plain_wit", "template_parser"] {
        let packed = lictor_tests::guest_record(name);
        assert_eq!(packed["code_digest"], digest(&fs::read(guest_zip(name)).unwrap()), "{name}");
        server.load(&packed);
    }
}

fn files_in(folder: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}
