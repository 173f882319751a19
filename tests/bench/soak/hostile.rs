//! Hostile policies, each with the end that it must meet, and hostile clients, who are owed nothing.

use std::{
    collections::VecDeque,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use lictor_tests::sandbox::Guest;
use serde_json::{Value, json};

use crate::{
    supplies::Supplies,
    traffic::Part,
    world::{Answer, Desk},
};

/// What a nuisance does on a connection of its own, which stays open for a while.
type Trick = fn(&mut Desk<'_>, SocketAddr) -> std::io::Result<TcpStream>;

/// Connections that a hostile client leaves open.
const LEFT_OPEN: usize = 24;
const EXECUTE: &str =
    "POST /executor/executor-001/execute_policy HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

/// A hostile guest, what it is asked, and the code that it meets.
pub(crate) fn policies() -> Vec<(&'static str, Guest, Value, &'static str)> {
    let spin = "(loop $for_ever (br $for_ever)) (unreachable)";
    let in_init = format!("(func $on_init (param $in i32) (param $n i32) (result i32) {spin})");
    vec![
        ("spins", Guest::eval(spin), json!({}), "timeout"),
        ("spins-init", Guest::new(in_init), json!({}), "timeout"),
        ("spins-start", Guest::new("(func $on_start (loop $for_ever (br $for_ever)))"), json!({}), "timeout"),
        ("sleeps", Guest::named("sleeps"), json!(0), "timeout"),
        ("traps", Guest::eval("(unreachable)"), json!({}), "trap"),
        (
            "recurses",
            Guest::eval("(call $on_eval (local.get $in) (local.get $n)) (drop) (call $null)"),
            json!({}),
            "stack_overflow",
        ),
        ("hoards", Guest::named("hoards"), json!(1), "out_of_memory"),
        ("floods", Guest::named("logs"), json!(1_000_000), "hostcall_limit"),
        ("claims", Guest::eval("(call $ok (i32.const 0) (i32.const -1))"), json!({}), "output_too_large"),
        ("garbles", Guest::eval("(call $ok (i32.const 1024) (i32.const 3))"), json!({}), "bad_output"),
        ("prints", Guest::named("prints"), json!(0), "ok"),
        ("fields", Guest::named("headers"), json!(0), "hostcall_limit"),
    ]
}

/// Calls of hostile policies.
pub(crate) struct Hostile(Vec<(String, Value, &'static str)>);

impl Hostile {
    pub(crate) fn new(supplies: &Supplies) -> Self {
        Self(supplies.hostile.clone())
    }
}

impl Part for Hostile {
    fn step(&mut self, desk: &mut Desk<'_>) {
        let (uri, input, code) = desk.chance.pick(&self.0).clone();
        let time =
            if code == "timeout" { format!("?timeout_ms={}", 1 + desk.chance.below(150)) } else { String::new() };
        let body = json!({"policy_rule_uri": uri, "input_data": input});
        let line = format!("POST /executor/executor-001/execute_policy{time}");
        let answer = desk.ask("call a hostile policy", &line, &body, &[code]);
        if let Answer::Done(body) = answer
            && code != "ok"
        {
            desk.world.violation(&format!("{uri} was answered, and not with `{code}`: {body}"));
        }
    }
}

/// Is a nuisance until the world is over, and looks each time whether somebody else is answered.
pub(crate) fn nuisance(desk: &mut Desk<'_>) {
    let mut open = VecDeque::new();
    while !desk.world.is_over() {
        thread::sleep(Duration::from_millis(30 + desk.chance.below(100) as u64));
        let Some((address, ..)) = desk.world.at().filter(|_| !desk.world.ends.is_on()) else { continue };
        let kinds: [(&str, Trick); 8] = [
            ("says nothing", silent),
            ("ends amid its head", half_a_head),
            ("ends amid its body", half_a_body),
            ("sends its body slowly", slow_body),
            ("sends garbage", garbage),
            ("sends a huge head", huge_head),
            ("goes away amid its call", goes_away),
            ("reads nothing of a long answer", reads_nothing),
        ];
        let (name, attack) = *desk.chance.pick(&kinds);
        desk.world.count_operation(&format!("hostile client {name}"));
        // What the server does with it is its own affair: a refusal, or the end of the connection.
        open.extend(attack(desk, address));
        if LEFT_OPEN < open.len() {
            open.pop_front();
        }
    }
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    stream.set_read_timeout(Some(Duration::from_millis(300)))?;
    Ok(stream)
}

fn silent(_desk: &mut Desk<'_>, address: SocketAddr) -> std::io::Result<TcpStream> {
    connect(address)
}

fn half_a_head(desk: &mut Desk<'_>, address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = connect(address)?;
    stream.write_all(&EXECUTE.as_bytes()[..desk.chance.below(EXECUTE.len())])?;
    Ok(stream)
}

fn half_a_body(_desk: &mut Desk<'_>, address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = connect(address)?;
    write!(stream, "{EXECUTE}Content-Length: 100000\r\n\r\n{{\"policy_rule_uri\": \"echo:1.0-test\", ")?;
    Ok(stream)
}

fn slow_body(desk: &mut Desk<'_>, address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = connect(address)?;
    write!(stream, "{EXECUTE}Transfer-Encoding: chunked\r\n\r\n")?;
    for _ in 0..desk.chance.below(8) {
        stream.write_all(b"1\r\n{\r\n")?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(stream)
}

fn garbage(desk: &mut Desk<'_>, address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = connect(address)?;
    let length = 1 + desk.chance.below(10_000);
    let bytes: Vec<u8> = (0..length).map(|_| desk.chance.next() as u8).collect();
    stream.write_all(&bytes)?;
    read_some(&mut stream);
    Ok(stream)
}

fn huge_head(_desk: &mut Desk<'_>, address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = connect(address)?;
    write!(stream, "{EXECUTE}X-Filler: {}\r\n\r\n", "x".repeat(1 << 20))?;
    read_some(&mut stream);
    Ok(stream)
}

fn goes_away(desk: &mut Desk<'_>, address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = connect(address)?;
    let policy = *desk.chance.pick(&["spins", "sleeps", "floods", "hoards"]);
    let body = format!(r#"{{"policy_rule_uri":"{policy}:1.0-test","input_data":0}}"#);
    let head = EXECUTE.replacen(" HTTP", "?timeout_ms=2000 HTTP", 1);
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len())?;
    thread::sleep(Duration::from_millis(desk.chance.below(50) as u64));
    Err(std::io::ErrorKind::ConnectionAborted.into())
}

fn reads_nothing(_desk: &mut Desk<'_>, address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = connect(address)?;
    let body = format!(r#"{{"policy_rule_uri":"echo:1.0-test","input_data":"{}"}}"#, "x".repeat(900 << 10));
    let request = format!("{EXECUTE}Content-Length: {}\r\n\r\n{body}", body.len());
    for _ in 0..4 {
        stream.write_all(request.as_bytes())?;
    }
    Ok(stream)
}

fn read_some(stream: &mut TcpStream) {
    let _nothing_may_come = stream.read(&mut [0; 1024]);
}
