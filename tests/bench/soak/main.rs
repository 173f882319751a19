//! A soak: the real server under mixed load for as long as one likes, with hostile policies and clients, while it is
//! killed, stopped, suspended, and loses its disk, its cache and its compilers.
//!
//! ```text
//! main ── faults, one after the other, and a round of checks after each
//!   ├ traffic, one thread for each client: does things, and notes in its ledger what was acknowledged
//!   ├ hostile: policies among the traffic, and a client who is a nuisance
//!   └ gauges: memory, descriptors, threads and counters, every second
//! ```
//!
//! Whatever was acknowledged must be there after every fault and at the end, and nothing that was deleted may be back.
//! Every answer must be an envelope with a code that fits what was asked. In its first half the server is not ended, so
//! that it shows whether it grows. What is drawn by lot is drawn again by the same `--seed`, as far as threads allow.

mod chance;
mod connection;
mod faults;
mod gauges;
mod hostile;
mod ledger;
mod report;
mod server;
mod supplies;
mod traffic;
mod world;

use std::{
    env,
    error::Error,
    process::ExitCode,
    sync::Mutex,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use lictor::decisions::{
    FOLDER,
    verify::{Trust, verify},
};
use lictor_bench::Res;

use crate::{
    chance::Chance,
    faults::Faults,
    gauges::Life,
    server::{Place, Server},
    supplies::Supplies,
    traffic::{Part, parts, work},
    world::{Desk, World},
};

const USAGE: &str = "usage: soak --minutes N [--seed N] [--clients N]";
/// Well-behaved clients, unless it is said.
const CLIENTS: u64 = 4;
/// Who is none of the clients.
const DIRECTOR: u64 = 1_000;
const NUISANCE: u64 = 1_001;

/// What one client does, each with its number.
type Parts = Vec<(usize, Box<dyn Part>)>;

struct Options {
    time: Duration,
    seed: u64,
    clients: u64,
}

fn options() -> Res<Options> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut options = Options { time: Duration::ZERO, seed: now, clients: CLIENTS };
    let mut arguments = env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match name.as_str() {
            "--minutes" => options.time = Duration::try_from_secs_f64(value.parse::<f64>()? * 60.0)?,
            "--seed" => options.seed = value.parse()?,
            "--clients" => options.clients = value.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    if options.time.is_zero() { Err(USAGE.into()) } else { Ok(options) }
}

fn main() -> ExitCode {
    match options().and_then(|options| soak(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs it; says whether everything was as it must be.
fn soak(options: &Options) -> Res<bool> {
    let home = tempfile::Builder::new().prefix("lictor-soak-").tempdir()?;
    let place = Place::new(home.path())?;
    println!("seed {}, {:.1} minutes, in {}", options.seed, options.time.as_secs_f64() / 60.0, home.path().display());
    let world = World::new(options.seed);
    let mut faults = Faults::new(&place);
    let lives = Mutex::default();
    let ran = run(options, &world, &place, &mut faults, &lives);
    // Whoever still waits must not wait for ever.
    world.end();
    faults.clear();
    if let Err(error) = &ran {
        world.violation(&format!("the run came to an end: {error}"));
    }
    for line in server::panics(&place.log())? {
        world.violation(&format!("a panic: {line}"));
    }
    let lives = lives.into_inner()?;
    report::resources(&world, &lives);
    report::print(&world, &lives, &faults.left_out);
    let well = world.violations().0 == 0;
    if !well {
        // The log is what tells why.
        println!("everything but the data is kept in {}", home.keep().display());
    }
    Ok(well)
}

fn run(options: &Options, world: &World, place: &Place, faults: &mut Faults<'_>, lives: &Mutex<Vec<Life>>) -> Res<()> {
    let server = place.start(None)?;
    world.moves_to(&server);
    let mut desk = Desk::new(world, DIRECTOR);
    let supplies = Supplies::make(place, &mut desk, options.clients)?;
    let all_parts = (0..options.clients).map(|number| parts(&supplies, number)).collect::<Res<Vec<_>>>()?;
    println!("set up after {:.1} s", world.began.elapsed().as_secs_f64());
    let (server, clients) = thread::scope(|scope| {
        let clients: Vec<_> = all_parts
            .into_iter()
            .zip(0..)
            .map(|(mut parts, number)| {
                scope.spawn(move || {
                    work(&mut Desk::new(world, number), &mut parts);
                    (number, parts)
                })
            })
            .collect();
        scope.spawn(|| hostile::nuisance(&mut Desk::new(world, NUISANCE)));
        scope.spawn(|| gauges::watch(world, lives));
        let directed = direct(options, &mut desk, faults, server);
        world.end();
        let clients = clients.into_iter().map(|client| client.join().map_err(|_| "a client panicked"));
        Ok::<_, Box<dyn Error + Send + Sync>>((directed?, clients.collect::<Result<Vec<_>, _>>()?))
    })?;
    close(world, place, server, clients)
}

/// Injects one fault after the other, in the first half of the time only those that the server outlives.
fn direct(options: &Options, desk: &mut Desk<'_>, faults: &mut Faults<'_>, mut server: Server) -> Res<Server> {
    let began = Instant::now();
    let mut chance = Chance::new(desk.world.seed, DIRECTOR + 10);
    while began.elapsed() < options.time {
        let pause = Duration::from_millis(2_000 + chance.below(8_000) as u64);
        thread::sleep(pause.min(options.time / 8));
        if let Some(status) = server.ended()? {
            return Err(format!("the server ended by itself: {status}").into());
        }
        let fault = faults.draw(&mut chance, options.time / 2 < began.elapsed());
        println!("{:7.1} s  {fault:?}", desk.world.began.elapsed().as_secs_f64());
        desk.world.count_fault(&format!("{fault:?}"));
        server = faults.inject(fault, server, desk)?;
        desk.world.check_all(options.clients);
    }
    Ok(server)
}

/// When nobody asks for anything any more: everything must be there, what was used must be given back, and all of it must
/// also be there after a stop and a start.
fn close(world: &World, place: &Place, server: Server, clients: Vec<(u64, Parts)>) -> Res<()> {
    println!("the last checks");
    world.again();
    let mut clients: Vec<_> = clients.into_iter().map(|(number, parts)| (Desk::new(world, number), parts)).collect();
    let mut check = |world: &World| {
        for (desk, parts) in &mut clients {
            parts.iter_mut().for_each(|(_, part)| part.check_at_the_end(desk));
        }
        gauges::given_back(world);
    };
    check(world);
    world.ends.turn();
    server.stop()?;
    let server = place.start(None)?;
    world.moves_to(&server);
    world.ends.turn();
    check(world);
    world.ends.turn();
    server.stop()?;
    let report = verify(&place.data().join(FOLDER), &Trust::default())?;
    println!(
        "the decision log has the records {} to {}, {} of them decisions",
        report.first, report.last, report.decisions
    );
    report.notes.iter().for_each(|note| println!("  {note}"));
    if let Some(finding) = report.finding {
        world.violation(&format!("the decision log is not whole: {finding}"));
    }
    Ok(())
}
