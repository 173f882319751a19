//! Which policies have a candidate beside them.
//!
//! A row goes by its id while it lives: what a process counted is added to the candidate that it was counted of, also
//! after its policy was moved, and never to another one.

use super::{Kind, Store, db::Tx, terms::encode};
use crate::error::Error;

/// A candidate as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowRow {
    /// Another one with every candidate.
    pub id: String,
    /// What is known of it, JSON text.
    pub document: String,
}

impl Store {
    /// The candidate beside a policy.
    pub async fn shadow(&self, policy_rule_uri: &str) -> Result<Option<ShadowRow>, Error> {
        let sql = "SELECT id, document FROM shadows WHERE policy_rule_uri = $1";
        let row = self.db.fetch_one(sql, &[(&*encode(policy_rule_uri)).into()]).await?;
        row.map(|row| Ok(ShadowRow { id: row.text(0)?.to_owned(), document: row.text(1)?.to_owned() })).transpose()
    }

    /// Puts a candidate beside a policy, where there is what `before` says; false if that changed.
    pub async fn put_shadow(
        &self,
        policy_rule_uri: &str,
        before: Option<&ShadowRow>,
        row: &ShadowRow,
    ) -> Result<bool, Error> {
        let uri = encode(policy_rule_uri);
        let mut tx = self.db.begin().await?;
        let (id, document) = ((&row.id).into(), (&row.document).into());
        let done = match before {
            Some(before) => {
                let sql = "UPDATE shadows SET id = $2, document = $3
                     WHERE policy_rule_uri = $1 AND id = $4 AND document = $5";
                let args = [(&*uri).into(), id, document, (&before.id).into(), (&before.document).into()];
                tx.execute(sql, &args).await?
            }
            None => {
                let sql = "INSERT INTO shadows (policy_rule_uri, id, document) VALUES ($1, $2, $3)
                     ON CONFLICT (policy_rule_uri) DO NOTHING";
                tx.execute(sql, &[(&*uri).into(), id, document]).await?
            }
        };
        self.announce(&mut tx, Kind::Policy, &uri).await?;
        tx.commit().await?;
        Ok(done == 1)
    }

    /// Puts what `change` makes of it in the place of what is known of a candidate; false if there is no such one any
    /// more.
    pub async fn change_shadow(&self, id: &str, change: impl Fn(&str) -> Result<String, Error>) -> Result<bool, Error> {
        loop {
            let found = self.db.fetch_one("SELECT document FROM shadows WHERE id = $1", &[id.into()]).await?;
            let Some(row) = found else { return Ok(false) };
            let (before, after) = (row.text(0)?, change(row.text(0)?)?);
            let sql = "UPDATE shadows SET document = $2 WHERE id = $1 AND document = $3";
            // None if another process was faster.
            if self.db.execute(sql, &[id.into(), (&after).into(), before.into()]).await? == 1 {
                return Ok(true);
            }
        }
    }

    /// Takes the candidate beside a policy away; false if there is none.
    pub async fn remove_shadow(&self, policy_rule_uri: &str) -> Result<bool, Error> {
        let uri = encode(policy_rule_uri);
        let mut tx = self.db.begin().await?;
        let found = self.remove_shadow_within(&mut tx, &uri).await?;
        self.announce(&mut tx, Kind::Policy, &uri).await?;
        tx.commit().await?;
        Ok(found)
    }

    /// See [`Store::remove_shadow`]; the uri is encoded, and whoever asks announces it.
    pub(super) async fn remove_shadow_within(&self, tx: &mut Tx, uri: &str) -> Result<bool, Error> {
        Ok(tx.execute("DELETE FROM shadows WHERE policy_rule_uri = $1", &[uri.into()]).await? == 1)
    }

    /// Moves the candidate of a policy that gets another uri; the uris are encoded.
    pub(super) async fn move_shadow(&self, tx: &mut Tx, old: &str, new: &str) -> Result<(), Error> {
        self.remove_shadow_within(tx, new).await?;
        let sql = "UPDATE shadows SET policy_rule_uri = $1 WHERE policy_rule_uri = $2";
        tx.execute(sql, &[new.into(), old.into()]).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::store::tests::Place;

    fn row(id: &str, document: &str) -> ShadowRow {
        ShadowRow { id: id.into(), document: document.into() }
    }

    #[tokio::test]
    async fn a_candidate_is_put_changed_moved_and_goes_with_its_policy() {
        let place = Place::new().await;
        let store = place.open().await;
        let revision = store.insert(Kind::Policy, "p:1-\0", &Map::new()).await.unwrap().unwrap();
        let (a, b) = (row("a", "1"), row("b", "2"));
        assert!(store.put_shadow("p:1-\0", None, &a).await.unwrap());
        // Somebody else was faster.
        assert!(!store.put_shadow("p:1-\0", None, &b).await.unwrap());
        assert!(!store.put_shadow("p:1-\0", Some(&row("a", "0")), &b).await.unwrap());
        assert_eq!(store.shadow("p:1-\0").await.unwrap(), Some(a.clone()));
        assert!(store.put_shadow("p:1-\0", Some(&a), &b).await.unwrap());
        assert!(!store.change_shadow("a", |_| panic!()).await.unwrap());
        store.replace(Kind::Policy, "p:1-\0", revision, "p:2-x", &Map::new()).await.unwrap().unwrap();
        assert_eq!(store.shadow("p:1-\0").await.unwrap(), None);
        assert!(store.change_shadow("b", |before| Ok(format!("{before}3"))).await.unwrap());
        assert_eq!(store.shadow("p:2-x").await.unwrap(), Some(row("b", "23")));
        assert!(store.remove(Kind::Policy, "p:2-x").await.unwrap());
        assert_eq!(store.shadow("p:2-x").await.unwrap(), None);
        assert!(!store.remove_shadow("p:2-x").await.unwrap());
    }

    #[tokio::test]
    async fn changes_at_the_same_time_are_all_made() {
        let place = Place::new().await;
        let (one, other) = (place.open().await, place.open().await);
        assert!(one.put_shadow("p:1-x", None, &row("a", "0")).await.unwrap());
        let count = async |store: &Store| {
            for _ in 0..50 {
                let next = |n: &str| Ok((n.parse::<u32>().unwrap() + 1).to_string());
                assert!(store.change_shadow("a", next).await.unwrap());
            }
        };
        tokio::join!(count(&one), count(&other), count(&one));
        assert_eq!(one.shadow("p:1-x").await.unwrap(), Some(row("a", "150")));
    }
}
