//! The contexts of policies.

use std::collections::BTreeMap;

use super::{
    Store,
    db::Tx,
    terms::{decode, encode},
};
use crate::error::Error;

/// One change of a policy's context.
pub struct ContextWrite {
    /// Whose.
    pub policy_uri: String,
    /// The key.
    pub key: String,
    /// The new value, or none if the key went.
    pub value: Option<Vec<u8>>,
}

impl Store {
    /// The context of a policy.
    pub async fn context(&self, uri: &str) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let sql = "SELECT key, value FROM context WHERE policy_uri = $1";
        let rows = self.db.fetch(sql, &[(&*encode(uri)).into()]).await?;
        rows.iter().map(|row| Ok((decode(row.text(0)?).into_owned(), row.bytes(1)?.to_vec()))).collect()
    }

    /// Commits changes of contexts, all together.
    pub async fn write_context(&self, writes: &[ContextWrite]) -> Result<(), Error> {
        // In the order of their keys: of two processes that lock the same rows, neither then waits for the other for
        // ever. Several writes of one key stay in theirs.
        let mut writes: Vec<&ContextWrite> = writes.iter().collect();
        writes.sort_by_key(|write| (&write.policy_uri, &write.key));
        let mut tx = self.db.begin().await?;
        let mut changed = None;
        for ContextWrite { policy_uri, key, value } in writes {
            let (id, key) = (encode(policy_uri), encode(key));
            let (uri, key) = ((&*id).into(), (&*key).into());
            match value {
                Some(value) => {
                    let sql = "INSERT INTO context (policy_uri, key, value) VALUES ($1, $2, $3)
                         ON CONFLICT (policy_uri, key) DO UPDATE SET value = excluded.value";
                    tx.execute(sql, &[uri, key, value.as_slice().into()]).await?
                }
                None => tx.execute("DELETE FROM context WHERE policy_uri = $1 AND key = $2", &[uri, key]).await?,
            };
            // Writes of one policy come one after the other.
            if changed != Some(policy_uri) {
                self.announce_context(&mut tx, &id).await?;
                changed = Some(policy_uri);
            }
        }
        tx.commit().await
    }

    /// Moves the context of a policy that gets another uri; what an earlier policy left there is not its.
    pub(super) async fn move_context(&self, tx: &mut Tx, old: &str, new: &str) -> Result<(), Error> {
        self.remove_context(tx, new).await?;
        let sql = "UPDATE context SET policy_uri = $1 WHERE policy_uri = $2";
        if tx.execute(sql, &[new.into(), old.into()]).await? != 0 {
            self.announce_context(tx, old).await?;
            self.announce_context(tx, new).await?;
        }
        Ok(())
    }

    /// Removes the context of a policy that goes.
    pub(super) async fn remove_context(&self, tx: &mut Tx, uri: &str) -> Result<(), Error> {
        if tx.execute("DELETE FROM context WHERE policy_uri = $1", &[uri.into()]).await? != 0 {
            self.announce_context(tx, uri).await?;
        }
        Ok(())
    }
}
