//! Requests of policies: where they go, and how much may come back.

use lictor_model::StopKind;
use lictor_tests::{
    Answer, CodeServer,
    sandbox::{Cell, Guest, finished, stopped},
};
use serde_json::json;

use super::{DENIED, PROHIBITED};

fn authority(web: &CodeServer) -> String {
    format!("127.0.0.1:{}", web.port())
}

fn input(authority: &str) -> String {
    json!(authority).to_string()
}

/// A guest that may send requests to this server, which is private and allowed.
fn sending(guest: &str, web: &CodeServer) -> Cell {
    Cell::reaching(&Guest::named(guest), &["127.0.0.1"]).grant(&json!({"http": [web.origin()]}))
}

// attack 37: every other way to say that it is here, or near.
#[tokio::test]
async fn what_is_no_public_address_is_prohibited_however_it_is_written() {
    let web = CodeServer::start();
    for host in [
        "0",
        "0x7f.1",
        "017700000001",
        "0x7f.0.0.1",
        "127.255.255.254",
        "169.254.0.1",
        "168.63.129.16",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "[ff02::1]",
        "[fe80::a9fe:a9fe]",
        "[fd00:ec2::254]",
        "[::ffff:169.254.169.254]",
        "[::ffff:10.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::7f00:1]",
        "[2002:a9fe:a9fe::1]",
        "[2001::1]",
        "LOCALHOST",
    ] {
        let authority = format!("{host}:{}", web.port());
        let cell = Cell::of(&Guest::named("fetches")).grant(&json!({"http": [format!("http://{authority}")]}));
        assert_eq!(finished(&cell.eval(&input(&authority)).await), PROHIBITED, "{host}");
    }
    assert!(web.seen().is_empty());
}

// attack 37: where a redirect leads to is another request, and needs a grant and an address of its own.
#[tokio::test]
async fn the_place_of_a_redirect_is_checked_like_any_other() {
    let (inner, outer) = (CodeServer::start(), CodeServer::start());
    inner.answer("/", Answer::ok("secret"));
    outer.answer("/", Answer::redirect(&inner.url("/")));
    let cell = sending("fetches", &outer);
    assert_eq!(finished(&cell.eval(&input(&authority(&outer))).await), "302");
    assert_eq!(finished(&cell.eval(&input(&authority(&inner))).await), DENIED);
    // Granted, and still not allowed: the operator allowed one address.
    let elsewhere = format!("127.0.0.2:{}", inner.port());
    let cell = cell.grant(&json!({"http": [format!("http://{elsewhere}")]}));
    assert_eq!(finished(&cell.eval(&input(&elsewhere)).await), PROHIBITED);
    assert!(inner.seen().is_empty());
}

/// What an answer that came whole is counted as by the guest below.
const FAILED: u64 = 1_000_000_000_000;
const MOST: u64 = 16 << 20;

// attack 94
#[tokio::test]
async fn a_response_is_read_up_to_its_bound() {
    let web = CodeServer::start();
    let cell = sending("downloads", &web);
    let read = async || finished(&cell.eval(&input(&authority(&web))).await).parse::<u64>().unwrap();
    web.answer("/", Answer::ok(vec![7; 3 << 20]));
    assert_eq!(read().await, 3 << 20);
    web.answer("/", Answer::ok(vec![7; 1 << 20]).without_length());
    assert_eq!(read().await, 1 << 20);
    for answer in [Answer::ok(vec![7; 1 << 20]).endless(), Answer::ok(vec![7; (16 << 20) + 1])] {
        web.answer("/", answer);
        let n = read().await;
        assert!((FAILED..=FAILED + MOST).contains(&n), "{n}");
    }
    assert_eq!(cell.sandbox.live_instances(), 0);
}

// attack 94
#[tokio::test]
async fn a_response_that_stops_coming_meets_the_timeout() {
    let web = CodeServer::start();
    web.answer("/", Answer::ok(vec![7; 1 << 20]).half_then_held());
    let cell = sending("downloads", &web).limits(&json!({"timeout_ms": 300}));
    stopped(&cell.eval(&input(&authority(&web))).await, StopKind::Timeout);
    assert_eq!(cell.sandbox.live_instances(), 0);
    web.release();
}

// attack 94
#[tokio::test]
async fn a_response_whose_head_is_without_measure_is_an_error() {
    let web = CodeServer::start();
    let cell = sending("downloads", &web);
    let long = "x".repeat(1 << 20);
    let many = (0..20_000).fold(Answer::ok("x"), |answer, n| answer.header(&format!("X-{n}"), "y"));
    for answer in [Answer::ok("x").header("X-Long", &long), many] {
        web.answer("/", answer);
        let said = cell.eval(&input(&authority(&web))).await;
        let code: u64 = finished(&said).parse().unwrap();
        assert!((1000..2000).contains(&code), "{code}");
    }
    web.answer("/", Answer::ok("as ever"));
    assert_eq!(finished(&cell.eval(&input(&authority(&web))).await), "7");
}
