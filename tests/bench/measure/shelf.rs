//! Many small policies with components of their own: `ip_allowlist` with a custom section of its own appended, which is in
//! its digest and not in its code. Put into the cache and the registry of a server that does not run, as if that server had
//! loaded them, because compiling a thousand of them takes minutes.

use lictor::store::{Kind, LoadState, Store};
use lictor_loader::DiskCache;
use lictor_model::{Digest, record::Draft};
use lictor_sandbox::{
    Bounds, Compiler, Facts,
    aot::{Artifact, Code},
};
use lictor_tests::{Builder, file_url, guest, guest_bytes, record};
use serde_json::{Value, json};

use crate::{PARAMETERS, Res};

/// What all of them have in common.
pub(crate) struct Shelf {
    component: Vec<u8>,
    code: Code,
    engine: [u8; 32],
}

impl Shelf {
    /// Compiles `ip_allowlist` once.
    pub(crate) fn new() -> Res<Self> {
        let component = guest_bytes("ip_allowlist");
        let facts = Facts::read(&component, &Bounds::default())?;
        let compiler = Compiler::new(false)?;
        let code = compiler.code(&facts, &component)?;
        Ok(Self { component, code, engine: compiler.hash() })
    }

    /// The digest of policy number `n`.
    fn digest(&self, n: usize) -> Digest {
        let content = format!("\u{6}number{n:08}");
        let section = [&[0, u8::try_from(content.len()).unwrap_or(0)], content.as_bytes()].concat();
        Digest::of(&[self.component.as_slice(), &section].concat())
    }

    /// Puts policies `0..n` where a server made by `builder` finds them.
    pub(crate) fn fill(&self, builder: &Builder, n: usize) -> Res<()> {
        let cache = DiskCache::open(&builder.data_dir().join("cache"))?;
        for n in 0..n {
            let artifact = Artifact::new(self.digest(n), self.engine, self.code.clone());
            cache.keep_artifact(&artifact, &self.engine);
        }
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            let store = builder.store().await;
            for n in 0..n {
                put(&store, &self.record(n), self.digest(n)).await?;
            }
            store.close().await;
            Ok(())
        })
    }

    fn record(&self, n: usize) -> Value {
        // The code itself is in the cache, and is not fetched.
        let mut record = record(&name(n), &file_url(&guest("ip_allowlist")));
        record["policy_parameters"] = serde_json::from_str(PARAMETERS).unwrap_or_default();
        record["policy_settings"] = json!({});
        record
    }
}

fn name(n: usize) -> String {
    format!("number-{n:04}")
}

/// The uri of policy number `n`.
pub(crate) fn uri(n: usize) -> String {
    format!("{}:1.0-test", name(n))
}

async fn put(store: &Store, record: &Value, component: Digest) -> Res<()> {
    let draft = Draft::parse(record.clone())?;
    let id = draft.spec.uri.as_str();
    let stored = store.insert(Kind::Policy, id, &draft.document).await?;
    let revision = stored.ok_or_else(|| format!("there is a `{id}` already"))?;
    Ok(store.loaded(id, revision, Some(component), &LoadState::Ready).await?)
}
