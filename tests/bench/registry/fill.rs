//! The records: of the seed's size, no two alike, some of them rare, so that each kind of query has little to find.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use lictor::store::{Kind, LoadState, Store};
use lictor_model::{Digest, record::Draft};
use lictor_tests::{Builder, TestServer, file_url, guest_zip};
use serde_json::{Value, json};

use crate::{Res, client::Client};

/// Policies in the large registry.
pub(crate) const ALL: usize = 100_000;
/// Tasks that fill it.
const TASKS: usize = 16;

/// How many policies have a name, a version, a team's tag, and each rare thing.
pub(crate) const OF_A_NAME: usize = 10;
pub(crate) const OF_A_VERSION: usize = 100;
pub(crate) const OF_A_TEAM: usize = 100;
pub(crate) const RARE: usize = 20;
/// The one that a scan looks for.
pub(crate) const NEEDLE: usize = 77_777;

/// Policy number `n`.
pub(crate) fn policy(n: usize) -> Value {
    let mut record: Value = serde_json::from_str(include_str!("../../data/seed/policy.json")).unwrap_or_default();
    let tag = match n % 5000 {
        0 => "nightly",
        _ if n.is_multiple_of(2) => "beta",
        _ => "stable",
    };
    record["name"] = json!(format!("policy-{:05}", n / OF_A_NAME));
    record["version"] = json!(format!("{}.{}", n % 10, n / 10 % 100));
    record["release_tag"] = json!(tag);
    record["tags"] = json!(["network", "security", "ip", "access", format!("team-{}", n / OF_A_TEAM)]);
    record["type"] = json!(if n % 5000 == 1 { "python_class_v1" } else { "wasm_component_v1" });
    record["code"] = json!(file_url(&guest_zip("ip_allowlist")));
    // Without an API to ask, the policy makes no call of its own.
    record["policy_settings"] = json!({});
    record["metadata"]["rank"] = json!(n * 7919 % 100_003);
    if n == NEEDLE {
        record["description"] = json!("The needle in the haystack.");
    }
    record
}

pub(crate) fn uri(n: usize) -> String {
    let record = policy(n);
    let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
    format!("{}:{}-{}", text("name"), text("version"), text("release_tag"))
}

/// Creates policies `from..to` over HTTP on so many connections; gives how many there were each second.
pub(crate) fn write(server: &TestServer, from: usize, to: usize, connections: usize) -> Res<f64> {
    let (next, address) = (Arc::new(AtomicUsize::new(from)), server.address());
    let started = Instant::now();
    let writers: Vec<_> = (0..connections)
        .map(|_| {
            let next = Arc::clone(&next);
            thread::spawn(move || -> Res<()> {
                let mut client = Client::new(address)?;
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if to <= n {
                        return Ok(());
                    }
                    client.data("POST", "/policy", &policy(n).to_string())?;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().map_err(|_| "a writer panicked")??;
    }
    Ok((to - from) as f64 / started.elapsed().as_secs_f64())
}

/// Stores policies `from..to` as a server stores them and notes them as loaded, without asking a server.
pub(crate) fn store(builder: &Builder, from: usize, to: usize, component: Digest) -> Res<Duration> {
    let started = Instant::now();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let store = builder.store().await;
        let next = Arc::new(AtomicUsize::new(from));
        let tasks = (0..TASKS).map(|_| {
            let (store, next) = (store.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if to <= n {
                        return Ok(());
                    }
                    store_one(&store, n, component).await?;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await?.map_err(|error: String| error)?;
        }
        store.close().await;
        Res::Ok(())
    })?;
    Ok(started.elapsed())
}

async fn store_one(store: &Store, n: usize, component: Digest) -> Result<(), String> {
    let draft = Draft::parse(policy(n)).map_err(|error| error.to_string())?;
    let id = draft.spec.uri.as_str();
    let stored = store.insert(Kind::Policy, id, &draft.document).await.map_err(|error| error.to_string())?;
    let revision = stored.ok_or_else(|| format!("there is a `{id}` already"))?;
    let load = match draft.document.get("type") {
        Some(kind) if kind == "python_class_v1" => {
            LoadState::Failed { code: "not_available".into(), message: "cannot be run by this version".into() }
        }
        _ => LoadState::Ready,
    };
    store.loaded(id, revision, Some(component), &load).await.map_err(|error| error.to_string())
}
